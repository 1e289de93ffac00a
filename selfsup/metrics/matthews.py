"""Matthews correlation: how much labels agree beyond what their frequencies give."""

from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import numpy as np

from selfsup.metrics.labels import Label, marks, occurring
from selfsup.metrics.metric import TallyMetric, both, check_pairs, ratio


class Matthews(TallyMetric):
    """Matthews correlation of two labels or more, from -1 to 1; always the same label scores 0.

    A tally is (right, 1) and, for each label, whether it was predicted and wanted.

    Args:
        labels: all that there are; `compute` alone can do without, and takes those that occur.
        options: of evaluate.Metric.
    Source:
        Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient", equation 8.
    Example:
        >>> Matthews().compute(predictions=["good", "bad", "bad"], references=["good", "bad", "good"])
        {'matthews': 0.5}
    """

    main = "matthews"
    takes: ClassVar[list[datasets.Features]] = [both(datasets.Value("string")), both(datasets.Value("int64"))]

    def __init__(self, labels: Sequence[Label] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.labels = labels

    def tallies(self, predictions: Sequence[Any], references: Sequence[Any]) -> np.ndarray:
        check_pairs(predictions, references)
        predicted = marks(predictions, self.labels, what="prediction")
        wanted = marks(references, self.labels, what="reference")
        right = (predicted & wanted).any(axis=1, keepdims=True)
        return np.concatenate([right, np.ones_like(right), predicted, wanted], axis=1).astype(float)

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        right, count = totals[..., 0], totals[..., 1]
        predicted, wanted = np.split(totals[..., 2:], 2, axis=-1)
        together = right * count - (predicted * wanted).sum(axis=-1)
        spreads = [count**2 - (side**2).sum(axis=-1) for side in (predicted, wanted)]
        return {"matthews": ratio(together, np.sqrt(spreads[0]) * np.sqrt(spreads[1]))}

    def _compute(self, *, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        if self.labels is not None:
            return super()._compute(predictions=predictions, references=references)
        return Matthews(occurring(predictions, references))._compute(predictions=predictions, references=references)

"""F1 of labels: of one, of the mean label and of all together, with one label an example or several."""

from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import numpy as np

from selfsup.metrics.labels import Label, marks, named, occurring
from selfsup.metrics.metric import TallyMetric, both, check_pairs, ratio


class F1(TallyMetric):
    """Harmonic mean of precision and recall, as scikit-learn's.

    `macro_f1` is the mean over the labels that are predicted or wanted at least once, `micro_f1` counts all labels
    together, and `exact_match` is the share of examples with all labels right; with one label an example the last two
    are the accuracy. With `positive`, also `f1`, `precision` and `recall` of that label, and `f1` is the main figure.
    What has neither been predicted nor wanted scores 0.

    A tally is (all right, 1) and, for each label, whether it was found, predicted and wanted.

    Args:
        labels: all that there are; `compute` alone can do without, and takes those that occur.
        positive: the label that is looked for.
        options: of evaluate.Metric.
    Raises:
        ValueError: `positive` is none of `labels`.
    Source:
        van Rijsbergen 1979, "Information Retrieval", chapter 7.
    Example:
        >>> F1(positive="yes").compute(predictions=["yes", "yes", "no"], references=["yes", "no", "no"])["recall"]
        1.0
    """

    main = "macro_f1"
    takes: ClassVar[list[datasets.Features]] = [
        both(datasets.Value("string")),
        both(datasets.Value("int64")),
        both(datasets.List(datasets.Value("string"))),
    ]

    def __init__(self, labels: Sequence[Label] | None = None, *, positive: Label | None = None, **options: Any) -> None:
        super().__init__(**options)
        if labels is not None and positive is not None and positive not in labels:
            raise ValueError(f"`positive` is to be one of the labels {named(labels)}, but {positive!r} came")
        self.labels, self.positive = labels, positive
        if positive is not None:
            self.main = "f1"

    def tallies(self, predictions: Sequence[Any], references: Sequence[Any]) -> np.ndarray:
        check_pairs(predictions, references)
        predicted = marks(predictions, self.labels, what="prediction")
        wanted = marks(references, self.labels, what="reference")
        right = (predicted == wanted).all(axis=1, keepdims=True)
        columns = [right, np.ones_like(right), predicted & wanted, predicted, wanted]
        return np.concatenate(columns, axis=1).astype(float)

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        exact_match = ratio(totals[..., 0], totals[..., 1])
        found, predicted, wanted = np.split(totals[..., 2:], 3, axis=-1)
        scores = ratio(2 * found, predicted + wanted)
        figures = {
            "macro_f1": ratio(scores.sum(axis=-1), (predicted + wanted > 0).sum(axis=-1)),
            "micro_f1": ratio(2 * found.sum(axis=-1), (predicted + wanted).sum(axis=-1)),
            "exact_match": exact_match,
        }
        if self.positive is None:
            return figures
        place = list(self.labels or ()).index(self.positive)
        own = {
            "f1": scores[..., place],
            "precision": ratio(found, predicted)[..., place],
            "recall": ratio(found, wanted)[..., place],
        }
        return own | figures

    def _compute(self, *, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        if self.labels is not None:
            return super()._compute(predictions=predictions, references=references)
        positive = [] if self.positive is None else [self.positive]
        return F1(occurring(predictions, references, positive), positive=self.positive)._compute(
            predictions=predictions, references=references
        )

"""Accuracy: the share of examples whose label is right."""

from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import numpy as np

from selfsup.metrics.metric import TallyMetric, both, check_kinds, check_pairs, ratio


class Accuracy(TallyMetric):
    """The share of right labels; a tally is (right, 1).

    Example:
        >>> Accuracy().compute(predictions=["yes", "no", "no", "no"], references=["yes", "no", "yes", "no"])
        {'accuracy': 0.75}
    """

    main = "accuracy"
    takes: ClassVar[list[datasets.Features]] = [both(datasets.Value("string")), both(datasets.Value("int64"))]

    def tallies(self, predictions: Sequence[Any], references: Sequence[Any]) -> np.ndarray:
        check_pairs(predictions, references)
        check_kinds(predictions, references)
        right = [prediction == reference for prediction, reference in zip(predictions, references, strict=True)]
        return np.stack([right, np.ones(len(right))], axis=-1)

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        return {"accuracy": ratio(totals[..., 0], totals[..., 1])}

"""Exact match: the share of texts that are a reference, spaces aside."""

from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import numpy as np

from selfsup.metrics.metric import TallyMetric, check_texts, one_or_several


class ExactMatch(TallyMetric):
    """The share of predictions that are one of their references, letter for letter.

    Spaces at the ends do not count, and several are one. A tally is (right, 1).

    Example:
        >>> ExactMatch().compute(predictions=[" one  tree", "Two trees"], references=["one tree", ["two trees"]])
        {'exact_match': 0.5}
    """

    main = "exact_match"
    takes: ClassVar[list[datasets.Features]] = one_or_several()

    def tallies(self, predictions: Sequence[str], references: Sequence[Any]) -> np.ndarray:
        pairs = check_texts(predictions, references)
        rows = [(text.split() in [gold.split() for gold in golds], 1) for text, golds in pairs]
        return np.array(rows, dtype=float)

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        return {"exact_match": totals[..., 0] / totals[..., 1]}

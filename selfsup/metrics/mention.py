"""Mention: the share of texts in which a reference stands, word for word."""

from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import numpy as np

from selfsup.metrics.metric import TallyMetric, check_texts, one_or_several


class Mention(TallyMetric):
    """The share of predictions that hold one of their references: the same words, next to each other.

    Letters count as they are, spaces between words do not. A tally is (right, 1).

    Raises:
        ValueError: a reference without a word, which stands everywhere.
    Example:
        >>> Mention().compute(predictions=["Lumo sees a dog.", "Lumos sees it"], references=["Lumo", ["Lumo", "Tarik"]])
        {'mention': 0.5}
    """

    main = "mention"
    takes: ClassVar[list[datasets.Features]] = one_or_several()

    def tallies(self, predictions: Sequence[str], references: Sequence[Any]) -> np.ndarray:
        rows = []
        for row, (text, golds) in enumerate(check_texts(predictions, references)):
            if not all(gold.split() for gold in golds):
                raise ValueError(f"words to be mentioned are wanted, but the reference of example {row} has none")
            said = f" {' '.join(text.split())} "
            rows.append((any(f" {' '.join(gold.split())} " in said for gold in golds), 1))
        return np.array(rows, dtype=float)

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        return {"mention": totals[..., 0] / totals[..., 1]}

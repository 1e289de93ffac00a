"""Characters in common with a reference (chrF): how many runs of one to six stand in both."""

from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import numpy as np
from sacrebleu.metrics import CHRF

from selfsup.metrics.bleu import sentence_statistics, signature
from selfsup.metrics.metric import TallyMetric, check_texts, one_or_several, ratio

BETA = 2  # how much more recall counts than precision


class Chrf(TallyMetric):
    """chrF2 of a corpus as sacrebleu has it, in 0-1. A reference is a text, or a list of several: the nearest counts.

    It knows no words, and so forgives an ending that BLEU does not; spaces do not count.

    A tally is (runs of the prediction, of the reference, of both) for each order. The figure is of the sums.

    Args:
        word_order: words of the longest runs of words that count besides those of characters; 2 for chrF++.
        lowercase: without regard to capitals.
        options: of evaluate.Metric.
    Source:
        Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation"; 2017, "chrF++".
    Example:
        >>> Chrf().compute(predictions=["ab"], references=["abb"])
        {'chrf': 0.6363636363636362}
    """

    main = "chrf"
    takes: ClassVar[list[datasets.Features]] = one_or_several()

    def __init__(self, word_order: int = 0, *, lowercase: bool = False, **options: Any) -> None:
        super().__init__(**options)
        if word_order < 0:
            raise ValueError(f"a word_order of at least 0 is wanted, but {word_order} came")
        self.scorer = CHRF(word_order=word_order, beta=BETA, lowercase=lowercase)
        self.numbers: set[int] = set()

    def tallies(self, predictions: Sequence[str], references: Sequence[Any]) -> np.ndarray:
        pairs = check_texts(predictions, references)
        self.numbers |= {len(golds) for _, golds in pairs}
        return sentence_statistics(self.scorer, pairs)

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        ours, theirs, both = np.moveaxis(totals.reshape(*totals.shape[:-1], -1, 3), -1, 0)
        counts = (ours > 0) & (theirs > 0)  # orders for which both are long enough
        orders = counts.sum(axis=-1)
        precision = ratio(np.where(counts, ratio(both, ours), 0.0).sum(axis=-1), orders)
        recall = ratio(np.where(counts, ratio(both, theirs), 0.0).sum(axis=-1), orders)
        return {"chrf": ratio((1 + BETA**2) * precision * recall, BETA**2 * precision + recall)}

    def signature(self) -> str:
        """All that the figure depends on, as papers are to give it; `nrefs` of what was scored so far."""
        return signature(self.scorer, self.numbers)

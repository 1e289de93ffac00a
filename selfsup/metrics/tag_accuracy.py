"""Tag accuracy: the share of words whose tag is right."""

from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import numpy as np

from selfsup.metrics.metric import TallyMetric, both, check_pairs, check_words, ratio


class TagAccuracy(TallyMetric):
    """The share of right tags among all words; a tally is (right words, words) of a sentence.

    An example is a sentence, so intervals are over sentences: the words of one are not independent of each other.

    Example:
        >>> TagAccuracy().compute(predictions=[["DET", "NOUN"], ["VERB"]], references=[["DET", "ADJ"], ["VERB"]])
        {'accuracy': 0.6666666666666666}
    """

    main = "accuracy"
    takes: ClassVar[list[datasets.Features]] = [both(datasets.List(datasets.Value("string")))]

    def tallies(self, predictions: Sequence[Sequence[Any]], references: Sequence[Sequence[Any]]) -> np.ndarray:
        check_pairs(predictions, references)
        check_words(predictions, references)
        return np.array(
            [
                (sum(tag == wanted for tag, wanted in zip(tags, wanted_tags, strict=True)), len(wanted_tags))
                for tags, wanted_tags in zip(predictions, references, strict=True)
            ],
            dtype=float,
        )

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        return {"accuracy": ratio(totals[..., 0], totals[..., 1])}

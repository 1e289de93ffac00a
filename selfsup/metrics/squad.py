"""SQuAD's exact match and F1: an answer against the best of its gold answers, and against none."""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar

import datasets
import numpy as np

from selfsup.metrics.metric import TallyMetric, check_pairs, ratio

ARTICLES = re.compile(r"\b(a|an|the)\b")
WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII only, as the script has it


class Squad(TallyMetric):
    """Exact match and F1 of words, each the best over the gold answers; 0-1, where the scripts say per cent.

    A question without gold answers has none in its text, and "" is the right prediction. When there are questions of
    both kinds, each kind has figures of its own, too: `answerable_exact_match`, `answerable_f1` and `unanswerable`,
    the share left unanswered.

    A tally is (exact, F1, 1) of an answerable question, or (left unanswered, 1) of another, with zeros for the rest.

    Source:
        Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", section 6.1; Rajpurkar
        et al. 2018, "Know What You Don't Know: Unanswerable Questions for SQuAD"; and the scripts of both.
    Example:
        >>> Squad().compute(predictions=["in Rome", ""], references=[["Rome", "the city of Rome"], []])["f1"]
        0.8333333333333333
    """

    main = "f1"
    takes: ClassVar[list[datasets.Features]] = [
        datasets.Features(
            {"predictions": datasets.Value("string"), "references": datasets.List(datasets.Value("string"))}
        )
    ]

    def tallies(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
        check_pairs(predictions, references)
        tallies = np.zeros((len(predictions), 5))
        for row, (prediction, golds) in enumerate(zip(predictions, references, strict=True)):
            if not isinstance(prediction, str) or isinstance(golds, str | Mapping):
                raise ValueError(
                    "an answer and a list of gold answers are wanted, but "
                    f"{prediction!r} and {golds!r} came for question {row}"
                )
            # Golds of nothing but articles and punctuation: the script of 2018 leaves them out, that of 2016 cannot
            # give them an F1.
            words = [gold for gold in map(words_of, golds) if gold] or [[]]
            answer = words_of(prediction)
            exact, overlap = max(answer == gold for gold in words), max(word_f1(answer, gold) for gold in words)
            tallies[row] = (exact, overlap, 1, 0, 0) if len(golds) else (0, 0, 0, exact, 1)
        return tallies

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        exact, overlap, answerable, silent, unanswerable = np.moveaxis(totals, -1, 0)
        whole = {
            "exact_match": ratio(exact + silent, answerable + unanswerable),
            "f1": ratio(overlap + silent, answerable + unanswerable),
        }
        if not (answerable.any() and unanswerable.any()):
            return whole
        return whole | {
            "answerable_exact_match": ratio(exact, answerable),
            "answerable_f1": ratio(overlap, answerable),
            "unanswerable": ratio(silent, unanswerable),
        }


def words_of(text: str) -> list[str]:
    """Lower-case words without punctuation and articles.

    Example:
        >>> words_of("The dog's  ball, an old one.")
        ['dogs', 'ball', 'old', 'one']
    """
    return ARTICLES.sub(" ", text.lower().translate(WITHOUT_PUNCTUATION)).split()


def word_f1(answer: Sequence[str], gold: Sequence[str]) -> float:
    """F1 of two bags of words; without words on one side, 1 if there are none on the other.

    Example:
        >>> word_f1(["old", "bridge"], ["bridge"])
        0.6666666666666666
    """
    if not answer or not gold:
        return float(answer == gold)
    return 2 * (Counter(answer) & Counter(gold)).total() / (len(answer) + len(gold))

"""Span F1: named things in a text, found with their type and both ends."""

from collections.abc import Sequence
from typing import ClassVar

import datasets
import numpy as np

from selfsup.metrics.metric import TallyMetric, both, check_pairs, check_words, ratio

MARKS = ("B", "I", "E", "S")  # begins, inside, ends, single; O is outside


class SpanF1(TallyMetric):
    """Micro F1, precision and recall of spans, from tags like B-PER, I-PER and O, by the rules of seqeval.

    A span is right when its type and both of its ends are. Ill-formed tags count as in seqeval's default mode, which
    is that of conlleval: a span also begins with an I- that does not go on with one of its type. No span predicted, or
    none to find, scores 0. A tally is (right, predicted, wanted) spans of a sentence, and intervals are over sentences.

    Source:
        Tjong Kim Sang & De Meulder 2003, "Introduction to the CoNLL-2003 Shared Task", section 2.4; Nakayama 2018,
        seqeval.
    Example:
        >>> SpanF1().compute(predictions=[["B-PER", "I-PER", "O", "O"]], references=[["B-PER", "I-PER", "O", "B-LOC"]])
        {'f1': 0.6666666666666666, 'precision': 1.0, 'recall': 0.5}
    """

    main = "f1"
    takes: ClassVar[list[datasets.Features]] = [both(datasets.List(datasets.Value("string")))]

    def tallies(self, predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> np.ndarray:
        check_pairs(predictions, references)
        check_words(predictions, references)
        pairs = [(spans(tags), spans(wanted)) for tags, wanted in zip(predictions, references, strict=True)]
        return np.array([(len(found & wanted), len(found), len(wanted)) for found, wanted in pairs], dtype=float)

    def check_labels(self, labels: Sequence[str]) -> None:
        spans(labels)

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        right, predicted, wanted = totals[..., 0], totals[..., 1], totals[..., 2]
        return {
            "f1": ratio(2 * right, predicted + wanted),
            "precision": ratio(right, predicted),
            "recall": ratio(right, wanted),
        }


def spans(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """The spans that tags mark.

    Args:
        tags: (words) of one sentence: O, or B, I, E or S with a type behind a hyphen, or bare.
    Returns:
        type, first word and last word of each.
    Raises:
        ValueError: another tag.
    Example:
        >>> sorted(spans(["B-LOC", "I-LOC", "I-PER", "O", "B-LOC"]))
        [('LOC', 0, 1), ('LOC', 4, 4), ('PER', 2, 2)]
    """
    found: list[tuple[str, int, int]] = []
    before, kind_before = "O", ""
    for place, tag in enumerate(tags):
        mark, hyphen, kind = str(tag).partition("-")
        if not (mark in MARKS or tag == "O") or (hyphen and not kind):
            raise ValueError(
                f"tags that mark spans are wanted (B-x, I-x and O), but {tag!r} came: score other tags with TagAccuracy"
            )
        if mark in ("I", "E") and before in ("B", "I") and kind == kind_before:
            found[-1] = (kind, found[-1][1], place)
        elif mark != "O":
            found.append((kind, place, place))
        before, kind_before = mark, kind
    return set(found)

"""Quotation: is all that the first segment says taken from the second?"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.random import Generator

from selfsup.objectives.objective import Example
from selfsup.objectives.segment_pairs import SegmentPairs
from selfsup.tokenization.align import Words
from selfsup.tokenization.segments import frame

MOST_FOREIGN = 0.25  # share of the runs of a false quotation that come from elsewhere, at most


class Quotation(SegmentPairs):
    """The first segment of some pairs is exchanged for short runs of words of the second, in any order; half of these
    quotations also hold runs from the text that stood there. The model tells which hold a word that the second lacks.

    Running text hardly ever asks an encoder to look one segment's words up in another, yet inference and questions
    about passages begin with that. Here nothing else answers: both kinds of runs are of one text, equally fluent and
    equally long. `MaskedTokens` beside it finds its hidden words in the other segment.

    Input: `segments` A and B of one document. Examples with one segment ask nothing.
    Answer `quotation`: `next_sentence_label` 0 = all of A's words stand in B, 1 = some do not, -100 = not asked.

    Args:
        share: of the pairs that become quotations, above 0 and at most 1; the others stay as they are, unasked.
        max_run: longest run in words.
        weight: factor of the loss in a `Joint`.
    Raises:
        ValueError: a share or `max_run` out of range.
    Source:
        ours; near to it are the passages rebuilt from shuffled spans in Lewis et al. 2019, "BART", and the answers
        found by recurring spans in Ram et al. 2021, "Few-Shot Question Answering by Pretraining Span Selection".
    """

    name: ClassVar[str] = "quotation"
    rearranges: ClassVar[bool] = True

    def __init__(self, share: float = 0.5, max_run: int = 4, weight: float = 1.0) -> None:
        super().__init__(weight)
        if not 0 < share <= 1:
            raise ValueError(f"the share of pairs that become quotations must be in (0, 1], but {share} came")
        if max_run < 1:
            raise ValueError(f"max_run counts words and must be at least 1, but {max_run} came")
        self.share, self.max_run = share, max_run

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        self.words = Words.of(tokenizer)

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        types = example["token_type_ids"]
        if not types.any() or rng.random() >= self.share:
            return {**example, "next_sentence_label": np.int64(-100)}
        ids, middle = example["input_ids"], int(np.argmax(types))  # [CLS] A [SEP] | B [SEP]
        own, source = self._split(ids[1 : middle - 1]), self._split(ids[middle:-1])
        quote = shred(source, own, max_run=self.max_run, false=rng.random() < 0.5, rng=rng)
        if not quote:
            return {**example, "next_sentence_label": np.int64(-100)}
        input_ids, types = frame((np.concatenate(quote), ids[middle:-1]), self.cls_id, self.sep_id)
        known = {word.tobytes() for word in source}
        foreign = np.int64(any(word.tobytes() not in known for word in quote))
        return {**example, "input_ids": input_ids, "token_type_ids": types, "next_sentence_label": foreign}

    def _split(self, ids: np.ndarray) -> list[np.ndarray]:
        return np.split(ids, np.flatnonzero(np.diff(self.words.ids(ids))) + 1)


def shred(
    source: Sequence[np.ndarray], own: Sequence[np.ndarray], *, max_run: int, false: bool, rng: Generator
) -> list[np.ndarray]:
    """Runs of words of a source, in any order, in place of a text, and at most as long.

    Args:
        source: the words to quote, arrays of ids.
        own: the words of the text that the quotation stands for.
        max_run: longest run in words.
        false: take some runs from `own` instead.
        rng: the only source of chance.
    Returns:
        words; as many whole ones as have room.
    """
    room, runs, size = sum(map(len, own)), list[Sequence[np.ndarray]](), 0

    def draw(words: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        start = int(rng.integers(len(words)))
        return words[start : start + int(rng.integers(1, max_run, endpoint=True))]

    while size < room:
        runs.append(draw(source))
        size += sum(map(len, runs[-1]))
    if false:
        most = max(1, int(MOST_FOREIGN * len(runs)))
        for place in rng.choice(len(runs), rng.integers(1, most, endpoint=True), replace=False):
            runs[place] = draw(own)
    words = [word for run in runs for word in run]
    return [word for word, end in zip(words, np.cumsum([len(word) for word in words]), strict=True) if end <= room]

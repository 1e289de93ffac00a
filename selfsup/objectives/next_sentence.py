"""Next sentence: does the second segment follow the first, or is it of another document?"""

from typing import ClassVar

import numpy as np
from numpy.random import Generator

from selfsup.objectives.objective import Example
from selfsup.objectives.segment_pairs import SegmentPairs


class NextSentence(SegmentPairs):
    """Half of the second segments come from another document, and the model tells which.

    The plan draws the strangers (`strangers = True`), since they are a matter of which tokens are read; so other
    objectives of the same step see the same pairs. The topic alone often gives a stranger away, which is why
    `SentenceOrder` was proposed in its place.

    Input: `segments` A and B, and `stranger`: is B of another document? Nothing is asked where that is None.
    Answer `next`: `next_sentence_label` 0 = B follows A, 1 = it is a stranger, -100 = not asked.

    Source:
        Devlin et al. 2018, "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
        section 3.1.
    """

    name: ClassVar[str] = "next"
    strangers: ClassVar[bool] = True

    def encode(self, example: Example) -> Example:
        stranger = example["stranger"]
        asked = stranger is not None and len(example["segments"]) == 2
        return {**super().encode(example), "next_sentence_label": np.int64(stranger if asked else -100)}

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        return dict(example)

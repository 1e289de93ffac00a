"""Sentence order: were the two segments swapped?"""

from typing import ClassVar

import numpy as np
from numpy.random import Generator

from selfsup.objectives.objective import Example
from selfsup.objectives.segment_pairs import SegmentPairs
from selfsup.tokenization.segments import frame


class SentenceOrder(SegmentPairs):
    """Half of the pairs are swapped, and the model tells which.

    Input: `segments` A and B of one document, A before B. Examples with one segment ask nothing.
    Answer `order`: `next_sentence_label` 0 = in order, 1 = swapped, -100 = not asked.

    Source:
        Lan et al. 2019, "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations", section 3.1.
    """

    name: ClassVar[str] = "order"
    rearranges: ClassVar[bool] = True

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        types = example["token_type_ids"]
        if not types.any():
            return {**example, "next_sentence_label": np.int64(-100)}
        if rng.random() < 0.5:
            return {**example, "next_sentence_label": np.int64(0)}
        ids, middle = example["input_ids"], int(np.argmax(types))  # [CLS] A [SEP] | B [SEP]
        swapped, types = frame((ids[middle:-1], ids[1 : middle - 1]), self.cls_id, self.sep_id)
        return {**example, "input_ids": swapped, "token_type_ids": types, "next_sentence_label": np.int64(1)}

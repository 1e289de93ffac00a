"""Classification: one label for a sequence or a pair."""

from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import cross_entropy

from selfsup.objectives.objective import Batch, Example, Objective
from selfsup.tokenization.segments import frame


class Classification(Objective):
    """Which of some classes an example is of.

    Input: one or two `segments` of ids, cut from the longer one's end where the model reads less, and `label`, the
    number of the class. Answer `label`: `labels` (examples).

    Source:
        Devlin et al. 2018, "BERT", section 4.1.
    """

    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    name: ClassVar[str] = "label"

    @property
    def packs(self) -> bool:
        return False  # the head reads the first token of a row

    def encode(self, example: Example) -> Example:
        if "label" not in example:
            raise ValueError("Classification learns from labelled rows, but running text has no labels: leave it out")
        segments = cut(example["segments"], (self.max_tokens or 10**9) - len(example["segments"]) - 1)
        input_ids, token_type_ids = frame(segments, self.cls_id, self.sep_id)
        return {"input_ids": input_ids, "token_type_ids": token_type_ids, "labels": np.int64(example["label"])}

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        return dict(example)

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: len(batch["labels"])}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        logits = outputs["logits"]
        logits = logits if logits.dtype.itemsize >= 4 else logits.float()
        return {self.name: cross_entropy(logits, batch["labels"], reduction="sum")}

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        return {self.name: (outputs["logits"].argmax(dim=-1) == batch["labels"]).sum()}


def cut(segments: list[np.ndarray], room: int) -> list[np.ndarray]:
    """Cut the longest segment until all fit.

    Args:
        segments: (tokens) of ids each.
        room: tokens for all of them together.
    Example:
        >>> [len(part) for part in cut([np.zeros(9), np.zeros(3)], 8)]
        [5, 3]
    """
    lengths = [len(segment) for segment in segments]
    while sum(lengths) > room:
        longest = lengths.index(max(lengths))
        others = max([length for place, length in enumerate(lengths) if place != longest], default=0)
        excess = sum(lengths) - room
        lengths[longest] -= max(1, min(excess, lengths[longest] - others))
    return [segment[:length] for segment, length in zip(segments, lengths, strict=True)]

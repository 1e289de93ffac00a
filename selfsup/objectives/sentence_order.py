"""Sentence order: were the two segments swapped?"""

from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import cross_entropy

from selfsup.objectives.objective import Batch, Example, Objective
from selfsup.tokenization.segments import frame


class SentenceOrder(Objective):
    """Half of the pairs are swapped, and the model tells which.

    Input: `segments` A and B of one document, A before B. Examples with one segment ask nothing.
    Answer `order`: `next_sentence_label` 0 = in order, 1 = swapped, -100 = not asked.

    Source:
        Lan et al. 2019, "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations", section 3.1.
    """

    auto_class: ClassVar[str] = "AutoModelForNextSentencePrediction"
    name: ClassVar[str] = "order"
    num_segments: ClassVar[int] = 2
    rearranges: ClassVar[bool] = True

    def encode(self, example: Example) -> Example:
        input_ids, token_type_ids = frame(example["segments"], self.cls_id, self.sep_id)
        return {"input_ids": input_ids, "token_type_ids": token_type_ids}

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        types = example["token_type_ids"]
        if not types.any():
            return {**example, "next_sentence_label": np.int64(-100)}
        if rng.random() < 0.5:
            return {**example, "next_sentence_label": np.int64(0)}
        ids, middle = example["input_ids"], int(np.argmax(types))  # [CLS] A [SEP] | B [SEP]
        swapped, types = frame((ids[middle:-1], ids[1 : middle - 1]), self.cls_id, self.sep_id)
        return {**example, "input_ids": swapped, "token_type_ids": types, "next_sentence_label": np.int64(1)}

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: int((batch["next_sentence_label"] != -100).sum())}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        labels = batch["next_sentence_label"]
        return {self.name: cross_entropy(_logits(outputs), labels, ignore_index=-100, reduction="sum")}

    def hits(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        return {self.name: (_logits(outputs).argmax(dim=-1) == batch["next_sentence_label"]).sum()}


def _logits(outputs: Any) -> Tensor:
    """(examples, 2), under the name that the model's head gives them."""
    logits = outputs.get("seq_relationship_logits")
    if logits is None:
        logits = outputs.get("logits")
    if logits is None or logits.shape[-1] != 2:
        raise ValueError(
            "SentenceOrder needs a model with a next-sentence head (AutoModelForPreTraining or "
            f"AutoModelForNextSentencePrediction), but this one returns {', '.join(outputs)}: leave the objective out"
        )
    return logits if logits.dtype.itemsize >= 4 else logits.float()

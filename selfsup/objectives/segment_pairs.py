"""What all questions about two segments share: the head, the label, and how answers are scored."""

from typing import Any, ClassVar

from torch import Tensor
from torch.nn.functional import cross_entropy

from selfsup.objectives.objective import PAIR_HEAD, Batch, Example, Objective
from selfsup.tokenization.segments import frame


class SegmentPairs(Objective):
    """A yes-no question about two segments.

    Input: `segments` A and B. Examples with one segment ask nothing.
    Answer: `next_sentence_label` 0 = B follows A, 1 = it does not, -100 = not asked.
    """

    auto_class: ClassVar[str] = PAIR_HEAD
    num_segments: ClassVar[int] = 2

    def encode(self, example: Example) -> Example:
        input_ids, token_type_ids = frame(example["segments"], self.cls_id, self.sep_id)
        return {"input_ids": input_ids, "token_type_ids": token_type_ids}

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: int((batch["next_sentence_label"] != -100).sum())}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        labels = batch["next_sentence_label"]
        return {self.name: cross_entropy(self._logits(outputs), labels, ignore_index=-100, reduction="sum")}

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        return {self.name: (self._logits(outputs).argmax(dim=-1) == batch["next_sentence_label"]).sum()}

    def blind_hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        return {self.name: (batch["next_sentence_label"] == 0).sum()}

    def _logits(self, outputs: Any) -> Tensor:
        """(examples, 2), under the name that the model's head gives them."""
        logits = outputs.get("seq_relationship_logits")
        if logits is None:
            logits = outputs.get("logits")
        if logits is None or logits.shape[-1] != 2:
            raise ValueError(
                f"{type(self).__name__} needs a model with a next-sentence head (AutoModelForPreTraining or "
                f"{PAIR_HEAD}), but this one returns {', '.join(outputs)}: leave the objective out"
            )
        return logits if logits.dtype.itemsize >= 4 else logits.float()

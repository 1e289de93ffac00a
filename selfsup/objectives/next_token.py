"""Next token: what comes after what has been read?"""

from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import cross_entropy

from selfsup.objectives.objective import Batch, Example, Objective, accepted_fields
from selfsup.tokenization.encode import piece_bytes


class NextToken(Objective):
    """Every token of the text is asked for once an epoch, given what stands before it in its block.

    Input: one segment of ids, with the token before it or, where a document begins, [CLS] in front and its last token
    left out. Where the document ends, that one is read too, and [SEP] is asked for: so a model learns to stop, and
    does not learn that texts end where blocks do. Documents that share a row do not see each other.
    Answer `next_token`: `targets` (tokens), what follows each token of `input_ids`.

    Source:
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.
    """

    auto_class: ClassVar[str] = "AutoModelForCausalLM"
    name: ClassVar[str] = "next_token"
    framed: ClassVar[bool] = False

    def bind(self, tokenizer, config) -> None:
        begin = tokenizer.bos_token_id if tokenizer.cls_token_id is None else tokenizer.cls_token_id
        end = tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id
        if begin is None or end is None:
            raise ValueError(
                "NextToken needs a tokenizer with tokens that begin and end a text ([CLS] and [SEP], or bos and eos), "
                "but this one lacks them"
            )
        self.begin_id, self.end_id = begin, end
        self.padding = {"input_ids": tokenizer.pad_token_id or 0, "targets": -100}
        self.max_tokens = getattr(config, "max_position_embeddings", None)
        self.fields = accepted_fields(self.auto_class, config)
        self.piece_bytes = piece_bytes(tokenizer)

    def encode(self, example: Example) -> Example:
        (segment,) = example["segments"]
        before = example.get("before")
        read = np.concatenate([[self.begin_id if before is None else before], segment]).astype(np.int64)
        asked = np.append(segment, self.end_id).astype(np.int64)
        last = len(read) if example.get("ends") else len(segment)
        return {"input_ids": read[:last], "targets": asked[:last]}

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        return dict(example)

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: int((batch["targets"] != -100).sum())}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        logits, targets = outputs.logits.flatten(0, 1), batch["targets"].flatten()
        logits = logits if logits.dtype.itemsize >= 4 else logits.float()
        return {self.name: cross_entropy(logits, targets, ignore_index=-100, reduction="sum")}

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        return {self.name: (outputs.logits.argmax(dim=-1) == batch["targets"]).sum()}

"""What all questions about a text as a whole, or a pair, share: how it is read, and the head."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from selfsup.objectives.objective import Batch, Example
from selfsup.objectives.supervised import Supervised
from selfsup.tokenization.encode import batch_encoder
from selfsup.tokenization.segments import frame


class Texts(Supervised):
    """A question about `text`, or about `text` and `text_pair`.

    A text that the model cannot read whole is cut at its end, the longer one of a pair first.
    """

    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    optional: ClassVar[tuple[str, ...]] = ("text_pair",)
    reads_pairs: bool | None = None  # True if all examples are pairs, False if none is; None if nobody knows

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        if self.reads_pairs is None:
            self.reads_pairs = getattr(config, "reads_pairs", None)
        self.encode_texts = batch_encoder(tokenizer)

    def survey(self, examples: Sequence[Example]) -> list[str]:
        kinds = {example.get("text_pair") is not None for example in examples}
        self.reads_pairs = kinds.pop() if len(kinds) == 1 else None
        return []

    def findings(self) -> dict[str, Any]:
        return {"reads_pairs": self.reads_pairs}

    def check(self, example: Example) -> None:
        if not any(str(example.get(role) or "").strip() for role in ("text", "text_pair")):
            raise ValueError("a text was wanted, but it is empty")

    def read(self, example: Example) -> Example:
        """The text or the pair as `input_ids` and `token_type_ids`, (tokens) int64 each."""
        texts = [example["text"], *([example["text_pair"]] if example.get("text_pair") is not None else [])]
        segments = [np.array(ids, dtype=np.int64) for ids in self.encode_texts(texts)]
        segments = cut(segments, (self.max_tokens or 10**9) - (2 if len(segments) == 1 else 2 + self.gap))
        input_ids, token_type_ids = frame(segments, self.cls_id, self.sep_id, gap=self.gap)
        return {"input_ids": input_ids, "token_type_ids": token_type_ids}

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: len(batch["input_ids"])}


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

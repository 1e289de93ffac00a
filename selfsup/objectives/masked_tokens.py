"""Masked tokens: hide some, guess them from the rest."""

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import cross_entropy

from selfsup.objectives.masking import check_share, choose, join_words, share_at
from selfsup.objectives.objective import Batch, Example, Objective
from selfsup.tokenization.align import Words
from selfsup.tokenization.segments import frame

EVALUATION_RATE = 0.15  # whatever share and unit in training: runs on the same text and segments can be compared


class MaskedTokens(Objective):
    """Of the tokens chosen, most become [MASK], some a random token, and some stay; all of them are asked for.

    Input: one or two `segments` of ids. Answer `tokens`: `labels` (tokens), -100 where nothing is asked.

    A word is what stands between spaces, but a punctuation mark glued to it is a word of its own and ends it:
    `"Don't!"` is the five words `" Don ' t !` and the closing quote, as in BERT's whole-word masking.

    Args:
        rate: share of ordinary tokens to hide, above 0 and at most 1.
        final_rate: the share at the end of the run, reached in a straight line; the same as `rate` if absent.
            Validation always hides 15 % of the tokens, one by one.
        unit: what is hidden together: a token, a word, or a span of 1 to `max_span` words.
        max_span: longest span in words.
        mask_rate: share of the chosen tokens that become [MASK].
        random_rate: share of them that become a random token; the others stay as they are.
        num_segments: 1, or 2 to read pairs of segments, as sentence-pair tasks have them.
        weight: factor of the loss in a `Joint`.
    Raises:
        ValueError: a rate or `max_span` out of range.
    Source:
        Devlin et al. 2018, "BERT", section 3.1 (80/10/10); Joshi et al. 2019, "SpanBERT", section 3.1 (spans; ours
        have uniform lengths); Wettig et al. 2022, "Should You Mask 15% in Masked Language Modeling?" (the share).
    """

    auto_class: ClassVar[str] = "AutoModelForMaskedLM"
    name: ClassVar[str] = "tokens"

    def __init__(
        self,
        rate: float = 0.15,
        final_rate: float | None = None,
        unit: Literal["token", "word", "span"] = "token",
        max_span: int = 3,
        mask_rate: float = 0.8,
        random_rate: float = 0.1,
        num_segments: Literal[1, 2] = 1,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        self.rate, self.final_rate = rate, rate if final_rate is None else final_rate
        for share in (self.rate, self.final_rate):
            check_share(share, "tokens")
        if max_span < 1:
            raise ValueError(f"max_span counts words and must be at least 1, but {max_span} came")
        if not 0 <= mask_rate <= mask_rate + random_rate <= 1 + 1e-9:
            raise ValueError(
                "mask_rate and random_rate are shares of the chosen tokens and at most 1 together, but "
                f"{mask_rate} and {random_rate} came"
            )
        self.unit, self.max_span = unit, max_span
        self.mask_rate, self.random_rate = mask_rate, random_rate
        self.num_segments = num_segments  # type: ignore[misc]

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        if tokenizer.mask_token_id is None:
            raise ValueError("MaskedTokens needs a tokenizer with a [MASK] token, but this one has none")
        self.mask_id = tokenizer.mask_token_id
        self.words = Words.of(tokenizer)
        self.ordinary = np.flatnonzero(~self.words.special)

    def encode(self, example: Example) -> Example:
        input_ids, token_type_ids = frame(example["segments"], self.cls_id, self.sep_id)
        return {"input_ids": input_ids, "token_type_ids": token_type_ids}

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        ids = example["input_ids"]
        if progress is None:
            rate = EVALUATION_RATE
        else:
            rate = share_at(self.rate, self.final_rate, progress)
        units = self._units(ids, "token" if progress is None else self.unit, rng)
        hidden = np.flatnonzero(choose(units, rate, rng))
        fate = rng.random(len(hidden))
        random_ids = rng.choice(self.ordinary, len(hidden))
        shown = np.where(fate < self.mask_rate + self.random_rate, random_ids, ids[hidden])
        shown = np.where(fate < self.mask_rate, self.mask_id, shown)
        input_ids, labels = ids.copy(), np.full(len(ids), -100, dtype=np.int64)
        input_ids[hidden], labels[hidden] = shown, ids[hidden]
        return {**example, "input_ids": input_ids, "labels": labels}

    def _units(self, ids: np.ndarray, unit: str, rng: Generator) -> np.ndarray:
        """(tokens) int64: which unit a token is hidden with, -1 for special tokens."""
        if unit == "token":
            special = self.words.special[ids]
            return np.where(special, -1, np.cumsum(~special) - 1)
        words = self.words.ids(ids)
        if unit == "word":
            return words
        return join_words(words, self.max_span, rng)

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: len(batch["label_positions"])}

    def inputs(self, batch: Batch) -> Batch:
        fields = super().inputs(batch)
        if "logit_positions" in self.fields:
            fields["logit_positions"] = batch["label_positions"]
        return fields

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        logits, targets = self.answers(outputs, batch)
        return {self.name: cross_entropy(logits, targets, reduction="sum")}

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        logits, targets = self.answers(outputs, batch)
        return {self.name: (logits.argmax(dim=-1) == targets).sum()}

    def answers(self, outputs: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """(answers, vocab) scores and (answers) true ids, from a sparse or a dense head."""
        positions = batch["label_positions"]
        logits = outputs.get("prediction_logits")
        if logits is None:
            logits = outputs["logits"]
        if logits.dim() == 3:
            logits = logits.flatten(0, 1)[positions]
        return logits if logits.dtype.itemsize >= 4 else logits.float(), batch["labels"].flatten()[positions]

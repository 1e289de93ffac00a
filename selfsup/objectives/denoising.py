"""Denoising: write a text as it was, from one with gaps and its sentences in another order."""

from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import cross_entropy

from selfsup.objectives.objective import Batch, Example, Objective
from selfsup.objectives.supervised import in_float32
from selfsup.tokenization.segments import frame

SENTENCE_ENDS = (".", "!", "?")


class Denoising(Objective):
    """Spans of tokens become one [MASK] each, whatever their length, and sentences change places; the whole text is
    asked for.

    Input: one segment of ids, `[CLS] damaged [SEP]` for the encoder. Answer `denoised`: `targets` (target tokens), the
    text and [SEP]; the decoder reads it behind [CLS]. A sentence ends at a piece that ends in . ! or ?. Validation is
    damaged as training is.

    Args:
        rate: share of tokens that is hidden, 0 to below 1.
        mean_span: mean length of a hidden span in tokens, of a Poisson distribution; one of length 0 puts a [MASK]
            where nothing is missing.
        permute: sentences change places.
        weight: factor of the loss in a `Joint`.
    Raises:
        ValueError: `rate` or `mean_span` out of range, or the tokenizer has no [MASK].
    Source:
        Lewis et al. 2020, "BART: Denoising Sequence-to-Sequence Pre-training for Natural Language Generation,
        Translation, and Comprehension", section 2.2 (text infilling, sentence permutation).
    """

    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"
    name: ClassVar[str] = "denoised"

    def __init__(self, rate: float = 0.3, mean_span: float = 3.0, permute: bool = True, weight: float = 1.0) -> None:
        super().__init__(weight)
        if not 0 <= rate < 1 or mean_span < 1:
            raise ValueError(
                f"a rate of at least 0 and below 1 and a mean_span of at least 1 are wanted, but {rate} and "
                f"{mean_span} came"
            )
        self.rate, self.mean_span, self.permute = rate, mean_span, permute

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        if tokenizer.mask_token_id is None:
            raise ValueError("Denoising needs a tokenizer with a [MASK] token, but this one has none")
        self.mask_id = tokenizer.mask_token_id
        start = getattr(config, "decoder_start_token_id", None)
        self.start_id = self.cls_id if start is None else start
        pad = tokenizer.pad_token_id or 0
        self.padding = {"input_ids": pad, "decoder_input_ids": pad, "targets": -100}
        self.ends = np.zeros(len(tokenizer), dtype=bool)
        for piece, number in tokenizer.get_vocab().items():
            self.ends[number] = piece.endswith(SENTENCE_ENDS)

    @property
    def packs(self) -> bool:
        return False  # a damaged text and its original have a row for themselves

    def encode(self, example: Example) -> Example:
        (segment,) = example["segments"]
        read, _ = frame([segment], self.cls_id, self.sep_id)
        return {"input_ids": read, "decoder_input_ids": np.append(self.start_id, read[1:-1]), "targets": read[1:]}

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        text = example["input_ids"][1:-1]
        if self.permute:
            sentences = np.split(text, np.flatnonzero(self.ends[text[:-1]]) + 1)
            text = np.concatenate([sentences[place] for place in rng.permutation(len(sentences))])
        damaged = infill(text, self.rate, self.mean_span, self.mask_id, rng)
        return {**example, "input_ids": frame([damaged], self.cls_id, self.sep_id)[0]}

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: int((batch["targets"] != -100).sum())}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        logits, targets = in_float32(outputs.logits).flatten(0, 1), batch["targets"].flatten()
        return {self.name: cross_entropy(logits, targets, ignore_index=-100, reduction="sum")}

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        return {self.name: (outputs.logits.argmax(dim=-1) == batch["targets"]).sum()}


def infill(text: np.ndarray, rate: float, mean_span: float, mask_id: int, rng: Generator) -> np.ndarray:
    """Put one mask in place of each of some spans.

    Lengths are drawn until they cover the share, and the last is cut to it. Then spans and visible tokens are shuffled
    among each other, the tokens in their order: so spans never overlap, and every place is as likely.

    Args:
        text: (tokens) int64.
        rate: share of the tokens to cover, 0 to below 1.
        mean_span: mean of the lengths, of a Poisson distribution.
        mask_id: of the mask.
        rng: the only source of chance.
    Returns:
        (at most as many tokens) int64.
    """
    left = round(rate * len(text))
    lengths: list[int] = []
    spare = 0  # a span of length 0 adds a token: no more of them than longer ones have saved
    while left:
        length = min(int(rng.poisson(mean_span)), left)
        if length == 0 and spare < 1:
            continue
        lengths.append(length)
        left, spare = left - length, spare + length - 1
    visible = len(text) - sum(lengths)
    is_span = np.zeros(visible + len(lengths), dtype=bool)
    is_span[rng.choice(len(is_span), len(lengths), replace=False)] = True
    covered = np.ones(len(is_span), dtype=np.int64)
    covered[is_span] = lengths
    starts = np.minimum(np.cumsum(covered) - covered, max(len(text) - 1, 0))
    return np.where(is_span, mask_id, text[starts]) if len(text) else text

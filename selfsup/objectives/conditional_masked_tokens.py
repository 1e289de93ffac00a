"""Conditional masked tokens: hide tokens of a target, guess them from its source and the others; and its length."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import cross_entropy

from selfsup.generation.parallel import mask_predict
from selfsup.objectives.objective import Batch, Example, Players
from selfsup.objectives.sequences import Sequences, bare, real_tokens
from selfsup.objectives.supervised import in_float32


class ConditionalMaskedTokens(Sequences):
    """Of the n tokens of a target, 1 to n are hidden, every number as likely; all hidden ones are asked for.

    Reads `source` and `target`. Answers `masked`: `targets` (target tokens), -100 where nothing is asked; and `length`:
    `target_length` (examples), how many tokens the target has. The decoder reads the tokens of the target alone. What
    is assessed is the loss where all of them are hidden, as when a prediction is begun; it is then filled in over
    some rounds. A target that is too long is cut, and its length is that of what is left.

    Args:
        label_smoothing: share of the answer that is spread over the whole vocabulary, 0-1; in training alone.
        length_weight: factor of the loss of lengths.
        rounds: of a prediction; more are slower and better.
        lengths: that are tried for a prediction.
        max_new_tokens: of a prediction; None: as many as the model has places for.
        weight: factor of the loss in a `Joint`.
    Raises:
        ValueError: an argument out of range, or the tokenizer has no [MASK].
    Source:
        Ghazvininejad et al. 2019, "Mask-Predict: Parallel Decoding of Conditional Masked Language Models", sections 3
        and 4. That it learns best from targets that another model has written: section 6.3.
    """

    auto_class: ClassVar[str] = "AutoModelForMaskedLM"
    name: ClassVar[str] = "masked"

    def __init__(
        self,
        label_smoothing: float = 0.0,
        length_weight: float = 0.1,
        rounds: int = 10,
        lengths: int = 5,
        max_new_tokens: int | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(max_new_tokens, weight)
        self.label_smoothing, self.length_weight = label_smoothing, length_weight
        self.rounds, self.lengths = rounds, lengths
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing is a share and must lie between 0 and 1, but {label_smoothing} came")
        if not length_weight > 0 or rounds < 1 or lengths < 1:
            raise ValueError(
                "length_weight above 0, and rounds and lengths of at least 1 are wanted, but "
                f"{length_weight}, {rounds} and {lengths} came"
            )
        self.weights["length"] = weight * length_weight

    def bind(self, tokenizer, config) -> None:
        if not hasattr(config, "parallel"):
            raise ValueError(
                f"{type(self).__name__} needs an encoder-decoder of ours, which can write in parallel, but a "
                f"{type(config).__name__} came: make one with scripts/new_model.py"
            )
        super().bind(tokenizer, config)
        if tokenizer.mask_token_id is None:
            raise ValueError(f"{type(self).__name__} needs a tokenizer with a [MASK] token, but this one has none")
        self.mask_id = tokenizer.mask_token_id
        self.target_frame = ([], [])  # its length says where a target ends

    def findings(self) -> dict[str, Any]:
        # Where all tokens are hidden they are alike, and only where they stand, seen from the source, tells them apart.
        return super().findings() | {"parallel": True, "rotary_cross_attention": True}

    def encode(self, example: Example) -> Example:
        fields = {"input_ids": self.source_ids(example)}
        if not self._has_target(example):
            return fields | {"decoder_input_ids": np.array([self.mask_id])}
        targets = self.target_ids(example)
        hidden = np.full_like(targets, self.mask_id)
        return fields | {"decoder_input_ids": hidden, "targets": targets, "target_length": np.int64(len(targets))}

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        if progress is None:
            return dict(example)
        targets = example["targets"]
        hidden = np.zeros(len(targets), dtype=bool)
        hidden[rng.choice(len(targets), rng.integers(1, len(targets), endpoint=True), replace=False)] = True
        seen = {
            "decoder_input_ids": np.where(hidden, self.mask_id, targets),
            "targets": np.where(hidden, targets, -100),
        }
        return {**example, **seen, "learnt": np.int64(1)}

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        if "targets" not in batch:
            return {self.name: 0, "length": 0}
        return {self.name: int((batch["targets"] != -100).sum()), "length": len(batch["target_length"])}

    def forward(self, players: Players, batch: Batch, turn: str) -> Any:
        """In training the vocabulary is scored at hidden tokens alone, which are half of them."""
        fields = dict(self.inputs(batch))
        if "learnt" in batch:
            fields["logit_positions"] = (batch["targets"].flatten() != -100).nonzero().squeeze(1)
        return players["model"](**fields)

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        logits, targets = _asked(outputs, batch)
        smoothing = self.label_smoothing if "learnt" in batch else 0.0
        masked = cross_entropy(in_float32(logits), targets, reduction="sum", label_smoothing=smoothing)
        length = cross_entropy(in_float32(outputs.length_logits), batch["target_length"], reduction="sum")
        return {self.name: masked, "length": length}

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        logits, targets = _asked(outputs, batch)
        right = (logits.argmax(dim=-1) == targets).sum()
        return {self.name: right, "length": (outputs.length_logits.argmax(dim=-1) == batch["target_length"]).sum()}

    def predict(self, outputs: Any, batch: Batch) -> list[Any]:
        """What the model would put in each place: (target tokens) ids a row."""
        guesses = outputs.logits.argmax(dim=-1)
        lengths = batch["decoder_attention_mask"].sum(1).tolist() if "decoder_attention_mask" in batch else None
        rows = guesses.tolist()
        return rows if lengths is None else [row[:length] for row, length in zip(rows, lengths, strict=True)]

    def answer(self, players: Players, batch: Batch, outputs: Any) -> list[Any]:
        """(tokens) ids a row, filled in by `mask_predict` from the source alone."""
        real = real_tokens(batch)
        sources: Sequence[Sequence[int]] = [
            ids[mask].tolist() for ids, mask in zip(batch["input_ids"], real, strict=True)
        ]
        return mask_predict(bare(players), self.tokenizer, sources, rounds=self.rounds, lengths=self.lengths,
                            max_new_tokens=self.max_new_tokens)  # fmt: skip


def _asked(outputs: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """(answers, vocab) scores and (answers) ids of the tokens that are asked for."""
    asked = batch["targets"] != -100
    return outputs.logits if "learnt" in batch else outputs.logits[asked], batch["targets"][asked]

"""Sequence to sequence: every token of a target from its source and what of the target stands before it."""

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import cross_entropy

from selfsup.generation.beam import BeamConfig, beam_search
from selfsup.models.encoder_decoder import TextEncoderDecoderForSeq2SeqLM
from selfsup.objectives.objective import Batch, Example, Players
from selfsup.objectives.sequences import Sequences, bare, real_tokens
from selfsup.objectives.supervised import in_float32


class SequenceToSequence(Sequences):
    """Every token of the target is asked for, given the source and the target before it.

    Reads `source` and `target`. Answer `target`: `targets` (target tokens), what follows each of `decoder_input_ids`;
    with `guided` also `diagonal`, per token of the target the share of cross-attention that lies off the diagonal.
    Smoothing, guidance and the model's own tokens belong to training: what is assessed is the plain loss behind the
    true target. Predictions are written, see `answer`.

    Args:
        label_smoothing: share of the answer that is spread over the whole vocabulary, 0-1.
        guided: factor of the penalty on cross-attention that is not monotonic; 0 for none. It is
            W = 1 - exp(-(n/N - t/T)^2 / (2 guided_width^2)) for target token n of N and source token t of T, weighted
            by the attention, meaned over heads and blocks: 0 on the diagonal, near 1 far from it.
        guided_width: of the diagonal, in shares of the texts.
        scheduled: share of the target tokens that are replaced, where they are read, by what the model would have
            written there, at the end of training; it rises from 0 in a straight line. Takes a second forward pass.
        beams: hypotheses that are kept when a prediction is written; 1 takes the best token each time.
        max_new_tokens: of a prediction; None: as the model learnt, a quarter more than the longest target had.
        weight: factor of the loss in a `Joint`.
    Raises:
        ValueError: an argument out of range.
    Source:
        Sutskever et al. 2014, "Sequence to Sequence Learning with Neural Networks"; Szegedy et al. 2016, "Rethinking
        the Inception Architecture for Computer Vision", section 7 (smoothing); Tachibana et al. 2018, "Efficiently
        Trainable Text-to-Speech System Based on Deep Convolutional Networks with Guided Attention", section 4.1; Bengio
        et al. 2015, "Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks"; Mihaylova & Martins
        2019, "Scheduled Sampling for Transformers" (in two passes).
    """

    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"
    name: ClassVar[str] = "target"

    def __init__(
        self,
        label_smoothing: float = 0.0,
        guided: float = 0.0,
        guided_width: float = 0.2,
        scheduled: float = 0.0,
        beams: int = 1,
        max_new_tokens: int | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(max_new_tokens, weight)
        self.label_smoothing, self.scheduled = label_smoothing, scheduled
        self.guided, self.guided_width = guided, guided_width
        self.beams = beams
        for name in ("label_smoothing", "scheduled"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share and must lie between 0 and 1, but {getattr(self, name)} came")
        if guided < 0 or not guided_width > 0 or beams < 1:
            raise ValueError(
                f"guided of at least 0, guided_width above 0 and beams of at least 1 are wanted, but {guided}, "
                f"{guided_width} and {beams} came"
            )
        if guided:
            self.weights["diagonal"] = weight * guided

    def encode(self, example: Example) -> Example:
        if "segments" in example:
            raise ValueError(f"{type(self).__name__} learns from pairs, but running text has none: leave it out")
        fields = {"input_ids": self.source_ids(example)}
        if not self._has_target(example):
            return fields | {"decoder_input_ids": np.array([self.start_id])}
        targets = self.target_ids(example)
        return fields | {"decoder_input_ids": np.append(self.start_id, targets[:-1]), "targets": targets}

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        """Draw where the model reads its own tokens; and mark what is learnt from, for the loss is another there."""
        if progress is None:
            return dict(example)
        fields = {**example, "learnt": np.int64(1)}
        if self.scheduled:
            own: np.ndarray = rng.random(len(example["decoder_input_ids"])) < self.scheduled * progress
            fields["decoder_own"] = np.append(0, own[1:]).astype(np.int64)  # what begins a target is nobody's guess
        return fields

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        asked = int((batch["targets"] != -100).sum()) if "targets" in batch else 0
        return {self.name: asked} | ({"diagonal": asked} if self.guided and "learnt" in batch else {})

    def forward(self, players: Players, batch: Batch, turn: str) -> Any:
        fields: dict[str, Any] = dict(self.inputs(batch))
        if self.scheduled and "decoder_own" in batch:
            fields["decoder_input_ids"] = self.mixed(players, fields, batch)
        if self.guided and "learnt" in batch:
            fields["output_attentions"] = True
            model: Any = bare(players)
            if not isinstance(model, TextEncoderDecoderForSeq2SeqLM) and model.config._attn_implementation != "eager":
                model.set_attn_implementation("eager")  # others give no weights where a kernel does not make them
        return players["model"](**fields)

    def mixed(self, players: Players, fields: Batch, batch: Batch) -> Tensor:
        """(rows, target tokens) ids: the true ones, and the model's own where so was drawn. It guesses them behind the
        true target, in a pass of its own without gradient."""
        with torch.no_grad():
            guesses = bare(players)(**fields).logits.argmax(dim=-1)
        true = fields["decoder_input_ids"]
        written = torch.cat([true[:, :1], guesses[:, :-1]], dim=1)
        return torch.where(batch["decoder_own"].bool(), written, true)

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        learnt = "learnt" in batch
        logits, targets = in_float32(outputs.logits).flatten(0, 1), batch["targets"].flatten()
        smoothing = self.label_smoothing if learnt else 0.0
        loss = cross_entropy(logits, targets, ignore_index=-100, reduction="sum", label_smoothing=smoothing)
        if not (self.guided and learnt):
            return {self.name: loss}
        attention = torch.stack([layer.mean(dim=1) for layer in outputs.cross_attentions]).mean(dim=0)
        asked = batch["targets"] != -100
        return {self.name: loss, "diagonal": off_diagonal(attention, asked, real_tokens(batch), self.guided_width)}

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        return {self.name: (outputs.logits.argmax(dim=-1) == batch["targets"]).sum()}

    def predict(self, outputs: Any, batch: Batch) -> list[Any]:
        """What the model would put in each place behind the true target: (target tokens) ids a row."""
        return outputs.logits.argmax(dim=-1).tolist()

    def answer(self, players: Players, batch: Batch, outputs: Any) -> list[Any]:
        """(tokens) ids a row, as the model writes them from the source alone."""
        model, real = bare(players), real_tokens(batch)
        if isinstance(model, TextEncoderDecoderForSeq2SeqLM):
            sources = [ids[mask].tolist() for ids, mask in zip(batch["input_ids"], real, strict=True)]
            config = BeamConfig(self.beams, max_new_tokens=self.num_written)
            return [best.ids for best, *_ in beam_search(model, sources, config, batch_size=len(sources))]
        written = model.generate(  # its settings may ask for more than ours know
            input_ids=batch["input_ids"], attention_mask=real.long(), num_beams=self.beams,
            max_new_tokens=self.num_written, do_sample=False,
        )  # fmt: skip
        return written.tolist()


def off_diagonal(attention: Tensor, asked: Tensor, real: Tensor, width: float) -> Tensor:
    """How much of an attention lies off the diagonal of its texts.

    Args:
        attention: (rows, target tokens, source tokens); each token's adds up to 1.
        asked: (rows, target tokens) bool, no padding.
        real: (rows, source tokens) bool, no padding.
        width: of the diagonal, in shares of the texts.
    Returns:
        the sum over tokens that are asked for, each of which gives 0 to 1.
    Source:
        Tachibana et al. 2018, section 4.1; a sum over tokens where they have a mean over all pairs.
    """
    kind = attention.dtype
    down = torch.arange(asked.shape[1], device=asked.device).to(kind) / asked.sum(1, keepdim=True).clamp(min=1)
    across = torch.arange(real.shape[1], device=real.device).to(kind) / real.sum(1, keepdim=True)
    penalty = 1 - torch.exp(-((down[:, :, None] - across[:, None, :]) ** 2) / (2 * width**2))
    return (attention * penalty * asked[:, :, None] * real[:, None, :]).sum()

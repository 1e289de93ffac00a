"""Replaced tokens: a small generator fills hidden places, and the model tells its guesses from the original."""

from copy import deepcopy
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import transformers
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from selfsup.objectives.masked_tokens import MaskedTokens
from selfsup.objectives.objective import Batch, Example, Objective, Players, accepted_fields

GENERATOR_HEAD = "AutoModelForMaskedLM"


class ReplacedTokens(Objective):
    """Two players: the generator learns to guess hidden tokens, the model to find its guesses.

    The model is asked about every ordinary token, not about the hidden 15 % alone, so it learns more from a text. The
    generator is not its adversary: it minimises its own loss. Both read the same token embeddings, which move in
    both turns. Each player has an optimizer of its own, so the factor between their losses, 50 in the paper, matters
    little here (Adam's steps do not depend on the size of a loss).

    Input: one or two `segments` of ids.
    Answers `tokens` (generator): `labels`, as for `MaskedTokens`; `replaced` (model): 0 = original, 1 = replaced, for
    all tokens that are `asked`. A guess that is right is an original. What the generator says is drawn by `chance`, one
    number in 0-1 for each token, so a step is the same whatever its micro-batches.

    Args:
        rate, final_rate, unit, max_span: what is hidden, see `MaskedTokens`; here all of it becomes [MASK].
        generator_share: the generator's blocks as a share of the model's, above 0 and at most 1; one block at least.
        weight: factor of the model's loss.
    Raises:
        ValueError: a share out of range.
    Source:
        Clark et al. 2020, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators", section 2.
        There the generator is narrower than the model, here it is less deep, so that embeddings fit both.
    """

    auto_class: ClassVar[str] = "AutoModelForTokenClassification"
    name: ClassVar[str] = "replaced"
    turns: ClassVar[tuple[str, ...]] = ("generator", "model")

    def __init__(
        self,
        rate: float = 0.15,
        final_rate: float | None = None,
        unit: Literal["token", "word", "span"] = "token",
        max_span: int = 3,
        generator_share: float = 0.25,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        if not 0 < generator_share <= 1:
            raise ValueError(f"generator_share must be above 0 and at most 1, but {generator_share} came")
        self.generator_share = generator_share
        self.masked = MaskedTokens(rate, final_rate, unit, max_span, mask_rate=1.0, random_rate=0.0)
        self.rate, self.final_rate, self.unit, self.max_span = rate, self.masked.final_rate, unit, max_span
        self.weights = {self.masked.name: 1.0, self.name: weight}

    def further_players(self, model: PreTrainedModel) -> dict[str, PreTrainedModel]:
        """The generator: the model's sizes with fewer blocks, and the model's own token embeddings."""
        if model.config.num_labels != 2:
            raise ValueError(
                f"ReplacedTokens tells two kinds of tokens apart, but the model tells {model.config.num_labels}: go on "
                "from one that was not fine-tuned, or leave init_from out"
            )
        model.config.id2label = {0: "ORIGINAL", 1: "REPLACED"}
        model.config.label2id = {"ORIGINAL": 0, "REPLACED": 1}
        config = deepcopy(model.config)
        config.num_hidden_layers = max(1, round(self.generator_share * config.num_hidden_layers))
        generator = getattr(transformers, GENERATOR_HEAD).from_config(config)
        generator.set_input_embeddings(model.get_input_embeddings())
        generator.tie_weights()
        return {"generator": generator}

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        self.masked.bind(tokenizer, config)
        self.masked.fields = accepted_fields(GENERATOR_HEAD, config)

    def encode(self, example: Example) -> Example:
        return self.masked.encode(example)

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        ids = example["input_ids"]
        hidden = self.masked.corrupt(example, rng=rng, progress=progress)
        asked = ~self.masked.words.special[ids]
        return {**hidden, "asked": asked.astype(np.int64), "chance": rng.random(len(ids))}

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        if turn == "generator":
            return self.masked.counts(batch, turn)
        return {self.name: int(batch["asked"].sum())}

    def forward(self, players: Players, batch: Batch, turn: str) -> Any:
        if turn == "generator":
            return players["generator"](**self.masked.inputs(batch))
        with torch.no_grad():
            guesses = self.masked.answers(players["generator"](**self.masked.inputs(batch)), batch)[0]
        original, places = batch["input_ids"].flatten().clone(), batch["label_positions"]
        original[places] = batch["labels"].flatten()[places]
        shown = original.clone()
        shown[places] = draw(guesses, batch["chance"].flatten()[places])
        shape = batch["input_ids"].shape
        outputs = players["model"](**self.inputs(batch) | {"input_ids": shown.view(shape)})
        return {"logits": outputs["logits"], "replaced": (shown != original).view(shape).long()}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        if turn == "generator":
            return self.masked.loss(outputs, batch, turn)
        logits, answers = _asked(outputs, batch)
        return {self.name: cross_entropy(logits, answers, reduction="sum")}

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        if turn == "generator":
            return self.masked.hits(outputs, batch, turn)
        logits, answers = _asked(outputs, batch)
        return {self.name: (logits.argmax(dim=-1) == answers).sum()}

    def blind_hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        return {} if turn == "generator" else {self.name: (_asked(outputs, batch)[1] == 0).sum()}


def _asked(outputs: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """(answers, 2) scores and (answers) truth of the tokens that are asked about."""
    asked = batch["asked"].bool()
    logits = outputs["logits"][asked]
    return logits if logits.dtype.itemsize >= 4 else logits.float(), outputs["replaced"][asked]


def draw(logits: Tensor, chance: Tensor) -> Tensor:
    """Draw from distributions by given chance: where it falls among the running sums of the probabilities.

    Args:
        logits: (answers, vocab).
        chance: (answers) numbers in 0-1.
    Returns:
        (answers) int64.
    Example:
        >>> draw(torch.tensor([[0.5, 0.3, 0.2]]).log().expand(3, 3), torch.tensor([0.4, 0.7, 0.9]))
        tensor([0, 1, 2])
    """
    sums = logits.float().softmax(dim=-1).cumsum(dim=-1)
    places = chance.float().clamp(max=1 - 2**-24)  # a number near 1 must not round up to the end of all tokens
    return (sums <= places[:, None] * sums[:, -1:]).sum(dim=-1)

"""The contract of an objective: what is hidden, and how the answer is scored. The loop knows no more of learning."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import transformers
from numpy.random import Generator
from torch import Tensor, nn
from transformers import PreTrainedModel

Example = dict[str, Any]
Batch = dict[str, Tensor]
Players = Mapping[str, nn.Module]


class Objective(ABC):
    """What is asked of a model, and what counts as right.

    Losses are sums, never means. The loop divides each named sum once by the number of its answers in the whole step,
    so that a step is the same whatever the micro-batches and processes it was spread over.

    Args:
        weight: factor of its loss in the sum of a `Joint`.
    """

    auto_class: ClassVar[str]  # the Auto class of transformers that has the head
    name: ClassVar[str]  # of its answer, in logs
    num_segments: ClassVar[int] = 1  # ranges of text in an example
    strangers: ClassVar[bool] = False  # does the second segment come from another document half of the time?
    framed: ClassVar[bool] = True  # do special tokens stand around every segment?
    turns: ClassVar[tuple[str, ...]] = ("model",)  # players that step, one after the other
    additive: ClassVar[bool] = True  # is the loss a plain sum over answers?
    in_nats: ClassVar[bool] = True  # is the loss the logarithm of a probability?
    rearranges: ClassVar[bool] = False  # moves tokens about: goes first in a `Joint`
    max_tokens: int | None = None  # that the model reads at once; known once bound

    def __init__(self, weight: float = 1.0) -> None:
        if not weight > 0:
            raise ValueError(f"weight must be above 0, but {weight} came")
        self.weights: dict[str, float] = {self.name: weight}

    def bind(self, tokenizer, config) -> None:
        """Learn the ids and fields that later calls need. Once, before the first example.

        Args:
            tokenizer: of transformers; of a model of pictures its image processor.
            config: of the model.
        Raises:
            ValueError: the tokenizer lacks a token that the objective needs, or no such head is known for the model.
        """
        self.cls_id, self.sep_id = tokenizer.cls_token_id, tokenizer.sep_token_id
        if self.cls_id is None or self.sep_id is None:
            raise ValueError(f"{type(self).__name__} needs a tokenizer with [CLS] and [SEP], but this one lacks them")
        self.padding = {"input_ids": tokenizer.pad_token_id or 0}
        self.max_tokens = getattr(config, "max_position_embeddings", None)
        self.fields = accepted_fields(self.auto_class, config)

    def further_players(self, model: PreTrainedModel) -> dict[str, PreTrainedModel]:
        """Players beside the model that is trained, built to fit it; most objectives need none."""
        return {}

    @property
    def packs(self) -> bool:
        """Whether the model keeps several examples of one row apart; known once bound."""
        return "sequence_ids" in self.fields

    @property
    def reading(self) -> dict[str, Any]:
        """What a plan has to know: segments of an example, whether examples share rows, strangers, whether they are
        framed; known once bound."""
        told = {"num_segments": self.num_segments, "pack": self.packs, "strangers": self.strangers}
        return told | {"framed": self.framed}

    @abstractmethod
    def encode(self, example: Example) -> Example:
        """Raw to numbers, always the same.

        Args:
            example: `segments`, one or two arrays (tokens) of ids without special tokens; `stranger`: True where the
                second is of another document, False where it follows the first, None where nobody drew; `before`, the
                id before the first segment in its document, None where that begins; and `ends`: does the document end
                where that segment does?
        Returns:
            fields, one array each.
        """

    @abstractmethod
    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        """Hide, swap, add noise; anew at every draw.

        Args:
            example: what `encode` returned; it is not changed.
            rng: the only source of chance.
            progress: share of the run that has passed, 0-1; None in validation.
        Returns:
            new fields, answers among them.
        """

    @abstractmethod
    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        """How many answers a batch holds, by name; known before any forward pass."""

    def inputs(self, batch: Batch) -> Batch:
        """The fields of a batch that the model reads."""
        return {name: batch[name] for name in batch if name in self.fields and name not in _ANSWERS}

    def forward(self, players: Players, batch: Batch, turn: str) -> Any:
        """Run the players a turn needs, by calling them whole: DDP sees no call of a submodule."""
        return players["model"](**self.inputs(batch))

    @abstractmethod
    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        """The SUM of the loss over the answers, by name, in nats unless `in_nats` says otherwise."""

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        """How many answers were right, by name; empty where right and wrong make no sense."""
        return {}

    def blind_hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        """How many answers a constant guess gets right, by name: what a share of right answers is compared with."""
        return {}

    def blind_losses(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        """The SUM of the loss of a guess that has learnt nothing, by name: what the loss is compared with."""
        return {}


_ANSWERS = {"labels", "next_sentence_label", "start_positions", "end_positions"}
PAIR_HEAD = "AutoModelForNextSentencePrediction"


class Joint(Objective):
    """Several objectives of one model: their fields in one batch, one forward pass, the weighted sum of their losses.

    Args:
        members: objectives by name; the names are free.
    Raises:
        ValueError: no members, two with the same answer, or members that no one head serves.
    """

    def __init__(self, members: Mapping[str, Objective]) -> None:
        if not members:
            raise ValueError("a Joint needs at least one objective, but none came")
        # What moves tokens goes before what hides them: hidden tokens then lie where they are looked for.
        self.members = sorted(members.values(), key=lambda member: not member.rearranges)
        self.weights = {name: weight for member in self.members for name, weight in member.weights.items()}
        if len(self.weights) < len(self.members):
            names = [name for member in self.members for name in member.weights]
            raise ValueError(f"every objective must give an answer of its own, but these came: {', '.join(names)}")
        kinds = ", ".join(type(member).__name__ for member in self.members)
        if any(member.turns != ("model",) for member in self.members) and len(self.members) > 1:
            raise ValueError(f"an objective with several players is trained alone, but these came together: {kinds}")
        if sum(member.auto_class == PAIR_HEAD for member in self.members) > 1:
            raise ValueError(f"one head answers one question about two segments, but these came together: {kinds}")
        self.auto_class = _common_head({member.auto_class for member in self.members})  # type: ignore[misc]
        self.turns = self.members[0].turns  # type: ignore[misc]
        self.strangers = any(member.strangers for member in self.members)  # type: ignore[misc]
        self.framed = any(member.framed for member in self.members)  # type: ignore[misc]
        self.num_segments = max(member.num_segments for member in self.members)  # type: ignore[misc]
        self.additive = all(member.additive for member in self.members)  # type: ignore[misc]
        self.in_nats = all(member.in_nats for member in self.members)  # type: ignore[misc]

    def bind(self, tokenizer, config) -> None:
        for member in self.members:
            member.bind(tokenizer, config)
            member.fields = accepted_fields(self.auto_class, config)
        self.fields, self.max_tokens = self.members[0].fields, self.members[0].max_tokens
        self.padding = {name: value for member in self.members for name, value in member.padding.items()}

    def further_players(self, model: PreTrainedModel) -> dict[str, PreTrainedModel]:
        return {name: player for member in self.members for name, player in member.further_players(model).items()}

    @property
    def packs(self) -> bool:
        return all(member.packs for member in self.members)

    def encode(self, example: Example) -> Example:
        return {name: value for member in self.members for name, value in member.encode(example).items()}

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        for member, own in zip(self.members, rng.spawn(len(self.members)), strict=True):
            example = member.corrupt(example, rng=own, progress=progress)
        return example

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {name: n for member in self.members for name, n in member.counts(batch, turn).items()}

    def inputs(self, batch: Batch) -> Batch:
        return {name: value for member in self.members for name, value in member.inputs(batch).items()}

    def forward(self, players: Players, batch: Batch, turn: str) -> Any:
        if len(self.members) == 1:
            return self.members[0].forward(players, batch, turn)
        return super().forward(players, batch, turn)

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        return {name: value for member in self.members for name, value in member.loss(outputs, batch, turn).items()}

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        return {name: value for member in self.members for name, value in member.hits(outputs, batch, turn).items()}

    def blind_hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        parts = (member.blind_hits(outputs, batch, turn) for member in self.members)
        return {name: value for part in parts for name, value in part.items()}

    def blind_losses(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        parts = (member.blind_losses(outputs, batch, turn) for member in self.members)
        return {name: value for part in parts for name, value in part.items()}


def _common_head(heads: set[str]) -> str:
    if len(heads) == 1:
        return heads.pop()
    if heads <= {"AutoModelForMaskedLM", PAIR_HEAD}:
        return "AutoModelForPreTraining"
    raise ValueError(f"no model has all of these heads at once: {', '.join(sorted(heads))}; train them one by one")


def accepted_fields(auto_class: str, config) -> set[str]:
    """Names of the inputs that the model of a configuration takes under an Auto class.

    Args:
        auto_class: for instance "AutoModelForMaskedLM".
        config: of the model.
    Raises:
        ValueError: transformers knows no such head for this kind of model.
    """
    known = getattr(transformers, auto_class)._model_mapping
    if type(config) not in known:
        raise ValueError(
            f"{auto_class} knows no model for a {type(config).__name__}: choose another objective or another model "
            "(encoders are pretrained by pretrain.py, decoders by pretrain_decoder.py, models of pictures by "
            "pretrain_pictures.py)"
        )
    kinds = known[type(config)]  # several where a model has a second head for teachers
    return set(inspect.signature((kinds[0] if isinstance(kinds, tuple) else kinds).forward).parameters)


def text_rng(seed: int, epoch: int, index: int) -> Generator:
    """The chance of one example: where it stands decides it, not when it was asked for."""
    return np.random.default_rng((seed, epoch, index))

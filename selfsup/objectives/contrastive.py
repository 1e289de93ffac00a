"""Contrastive learning: two views of a picture are to lie together, and apart from those of all other pictures."""

from typing import Any, ClassVar

import numpy as np
import torch
import torch.distributed
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from selfsup.objectives.augmentation import DRAWN, Augmentation
from selfsup.objectives.objective import Batch, Example
from selfsup.objectives.pictures import Sight
from selfsup.objectives.supervised import in_float32

AXIS = "axis "  # what the "labels" of a space of views begin with: nobody is to take them for classes
VIEWS = Augmentation(crop=0.4, flip=0.5, brightness=0.4, contrast=0.4, border="reflection")


class Contrastive(Sight):
    """Which of all pictures of a batch, on all processes, is another view of the same one?

    Reads `image`. The logits of the classification head are where a view lies; so the head has as many "labels" as the
    space is wide. Answer `view`: each of the two views of a picture. What a picture is told from stands in its batch,
    so the loss is no plain sum: large batches ask harder questions, and micro-batches easier ones.

    Args:
        augmentation: what makes a view; drawn twice for each picture.
        temperature: divides the cosines.
        width: of the space of views, of a head that pretraining makes; one that comes with a model keeps its own.
        weight: factor of the loss in a `Joint`.
    Source:
        Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations", section 2.1.
    """

    auto_class: ClassVar[str] = "AutoModelForImageClassification"
    name: ClassVar[str] = "view"
    additive: ClassVar[bool] = False

    def __init__(
        self, augmentation: Augmentation = VIEWS, temperature: float = 0.1, width: int = 64, weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        self.augmentation, self.temperature = augmentation, temperature
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, but {temperature} came")
        if augmentation.keeps:
            raise ValueError(
                "the two views of a picture are to differ, but the augmentation that came alters nothing: give some, "
                "as --objective.augmentation.crop 0.4"
            )
        if width < 2:
            raise ValueError(f"width must be at least 2, but {width} came")
        self.width, self.labels = width, tuple(f"{AXIS}{number}" for number in range(width))

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        both = np.concatenate([self.augmentation.draw(rng) for _ in range(2)], axis=1)
        return example | {"chances": both}  # in validation too: without views there is no question

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: 2 * len(batch["pixel_values"])}

    def inputs(self, batch: Batch) -> Batch:
        """All first views, then all second ones."""
        pictures = batch["pixel_values"].float() / 255
        views = [self.augmentation.alter(pictures, some) for some in batch["chances"].split(len(DRAWN), dim=1)]
        return {"pixel_values": self.scaled(torch.cat(views))}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        scores, partners = self._scores(outputs)
        return {self.name: cross_entropy(scores, partners, reduction="sum")}

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        scores, partners = self._scores(outputs)
        return {self.name: (scores.argmax(dim=-1) == partners).sum()}

    def blind_hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        scores, _ = self._scores(outputs)
        return {self.name: torch.tensor(len(scores) / (scores.shape[1] - 1))}  # one of all the others

    def _scores(self, outputs: Any) -> tuple[Tensor, Tensor]:
        """(own views, all views) cosines over the temperature, and (own views) the place of the other view of each."""
        own = normalize(in_float32(outputs["logits"]), dim=-1)
        everywhere, before = of_all_processes(own)
        scores = own @ everywhere.T / self.temperature
        places = before + torch.arange(len(own), device=own.device)
        scores = scores.scatter(1, places[:, None], float("-inf"))  # nobody is asked for himself
        return scores, before + torch.arange(len(own), device=own.device).roll(len(own) // 2)


def of_all_processes(vectors: Tensor) -> tuple[Tensor, int]:
    """The vectors of all processes, through which gradients go back to where they came from.

    Args:
        vectors: (number, width); the number may differ from process to process.
    Returns:
        (all numbers, width), and how many stand before those of this process.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return vectors, 0
    number = torch.tensor([len(vectors)], device=vectors.device)
    counts = [int(count) for count in gathered(number)]
    padded = torch.cat([vectors, vectors.new_zeros(max(counts) - len(vectors), vectors.shape[1])])
    parts = _Gathered.apply(padded).unbind()
    together = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
    return together, sum(counts[: torch.distributed.get_rank()])


def gathered(vectors: Tensor) -> Tensor:
    """(processes, ...) a tensor of one shape everywhere, from every process; no gradient goes back."""
    parts = [torch.empty_like(vectors) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, vectors.contiguous())
    return torch.stack(parts)


class _Gathered(torch.autograd.Function):
    """`gathered`, whose gradient is the sum of what all processes want of the vectors of this one."""

    @staticmethod
    def forward(context: Any, vectors: Tensor) -> Tensor:
        return gathered(vectors)

    @staticmethod
    def backward(context: Any, wanted: Tensor) -> Tensor:
        wanted = wanted.contiguous()
        torch.distributed.all_reduce(wanted)
        return wanted[torch.distributed.get_rank()]

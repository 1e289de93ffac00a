"""Rotation: by how many quarters was a picture turned? Learnt without anybody's labels."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from selfsup.data.images import PictureForm
from selfsup.objectives.augmentation import Augmentation
from selfsup.objectives.classes import Classes
from selfsup.objectives.objective import Batch, Example
from selfsup.objectives.pictures import Pictures

TURNS = ("0", "90", "180", "270")


class Rotation(Classes, Pictures):
    """Which of four ways up a picture lies, in degrees anticlockwise.

    Reads `image` alone. A picture to score on lies as its own pixels decide, so that the answer is always the same; one
    to learn from is turned anew at every draw. Answer `turn`: `labels` (examples).

    Args:
        augmentation: how pictures are altered besides, in training.
        weight: factor of the loss in a `Joint`.
    Source:
        Gidaris et al. 2018, "Unsupervised Representation Learning by Predicting Image Rotations".
    """

    name: ClassVar[str] = "turn"
    roles: ClassVar[tuple[str, ...]] = ("image",)
    labels = TURNS

    def __init__(self, augmentation: Augmentation = Augmentation(), weight: float = 1.0) -> None:
        super().__init__(weight=weight)
        self.augmentation = augmentation

    def survey(self, examples: Sequence[Example]) -> list[str]:
        return list(TURNS)

    def form(self, processor, config) -> PictureForm:
        form = super().form(processor, config)
        if form.size:
            refuse_oblong(*form.size)
        return form

    def check(self, example: Example) -> None:
        refuse_oblong(*example["image"].pixels.shape[1:])

    def encode(self, example: Example) -> Example:
        return self.read(example) | {"labels": np.int64(quarters_of(example))}

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        example = super().corrupt(example, rng=rng, progress=progress)
        if progress is None:
            return example
        return example | {"labels": np.int64((example["labels"] + rng.integers(4)) % 4)}

    def inputs(self, batch: Batch) -> Batch:
        return super().inputs(batch | {"pixel_values": turned(batch["pixel_values"], batch["labels"])})

    def blind_hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        # Turned by chance, one of four is as good a guess as the other.
        return {self.name: torch.tensor(len(batch["labels"]) / len(TURNS))}

    def reference(self, example: Example) -> Any:
        return TURNS[quarters_of(example)]


def refuse_oblong(height: int, width: int) -> None:
    """Pixels of a picture that is to be turned.

    Raises:
        ValueError: a quarter would give it another shape.
    """
    if height != width:
        raise ValueError(
            f"square pictures can be turned by quarters, but {width} x {height} pixels came: give an "
            "image_size in --fields, or learn by another objective"
        )


def quarters_of(example: Example) -> int:
    """By how many quarters a picture is turned to be scored on."""
    return int(str(example["image"]), 16) % 4


def turned(pictures: Tensor, quarters: Tensor) -> Tensor:
    """Pictures turned anticlockwise: (batch, channels, side, side), and (batch) int64 how often by a quarter."""
    found = pictures
    for number in range(1, 4):
        chosen = (quarters == number)[:, None, None, None]
        found = torch.where(chosen, pictures.rot90(number, dims=(2, 3)), found)
    return found

"""What all questions about pictures share: how they are read, altered and put before the model."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from numpy.random import Generator
from torch import Tensor

from selfsup.data.images import PictureForm
from selfsup.objectives.augmentation import Augmentation
from selfsup.objectives.objective import Batch, Example, Objective, accepted_fields
from selfsup.objectives.supervised import Supervised


class Sight(Objective):
    """A question about `image`, a `Picture` of the size that the model's image processor makes.

    Batches hold bytes; the device makes numbers of 0-1 of them, alters them, and makes of the values what the image
    processor of the model makes of them. (Models of ours standardise inside.)

    `augmentation` is how pictures are altered in training. `labels` are the names of what the head of a model tells
    that is pretrained with it, where it tells any.
    """

    labels: tuple[str, ...] = ()
    augmentation = Augmentation()  # none
    picture_form: PictureForm | None = None  # known once bound

    def form(self, processor, config) -> PictureForm:
        """See `Supervised.form`."""
        accepted_fields(self.auto_class, config)  # refuses a model that reads text
        return PictureForm(processor, config.num_channels)

    def bind(self, processor, config) -> None:
        self.fields, self.padding = accepted_fields(self.auto_class, config), {}
        self.picture_form = self.form(processor, config)
        self.black, self.white = (torch.from_numpy(end)[:, None, None] for end in
                                  (self.picture_form.black, self.picture_form.white))  # fmt: skip
        self.scales = bool(self.black.any() or (self.white != 1).any())

    @property
    def packs(self) -> bool:
        return False

    def read(self, example: Example) -> Example:
        """The picture as `pixel_values`, (channels, height, width) uint8."""
        return {"pixel_values": example["image"].pixels}

    def encode(self, example: Example) -> Example:
        return self.read(example)

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        return dict(example) if progress is None else example | {"chances": self.augmentation.draw(rng)}

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: len(batch["pixel_values"])}

    def inputs(self, batch: Batch) -> Batch:
        pictures = batch["pixel_values"].float() / 255
        if "chances" in batch:
            pictures = self.augmentation.alter(pictures, batch["chances"])
        return {"pixel_values": self.scaled(pictures)}

    def scaled(self, pictures: Tensor) -> Tensor:
        """Pictures in 0-1 as the model wants its values."""
        if not self.scales:
            return pictures
        return torch.lerp(self.black.to(pictures), self.white.to(pictures), pictures)


class Pictures(Sight, Supervised):
    """A question about a picture whose answer comes with it, or is known from how it was laid."""

    auto_class: ClassVar[str] = "AutoModelForImageClassification"

    def bind(self, processor, config) -> None:
        super().bind(processor, config)
        self.label_ids = dict(config.label2id)

    def survey(self, examples: Sequence[Example]) -> list[str]:
        return []

    def check(self, example: Example) -> None:
        assert "image" in example, "what reads the table makes sure of it"

    def notes(self, example: Example) -> list[str]:
        return list(example["image"].notes)

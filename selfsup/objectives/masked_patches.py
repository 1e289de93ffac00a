"""Masked patches: hide parts of a picture, guess their pixels from the rest."""

from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator
from torch import Tensor

from selfsup.objectives.augmentation import Augmentation
from selfsup.objectives.masking import check_share, choose_exactly, share_at, tiles
from selfsup.objectives.objective import Batch, Example
from selfsup.objectives.pictures import Sight

# What models call the hidden patches: ours, those of masked image modelling, and the masked autoencoder of
# transformers, which hides where a number is high.
NAMES = ("hidden", "bool_masked_pos", "noise")


class MaskedPatches(Sight):
    """Some patches are hidden, as many in every picture, and the error of their pixels is what is learnt from.

    Reads `image`. Answer `patches`: each hidden patch; its loss is what the model makes of it, the mean error of its
    pixels: absolute in masked image modelling, squared with masked autoencoders.

    Args:
        rate: share of the patches to hide, above 0 and below 1.
        final_rate: the share at the end of the run, reached in a straight line; the same as `rate` if absent.
            Validation always hides the share of the beginning.
        block: patches of a side of what is hidden together; 1 for each alone.
        augmentation: how pictures are altered before, in training.
        weight: factor of the loss in a `Joint`.
    Source:
        He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners" (random, 75 %); Xie et al. 2022, "SimMIM"
        (blocks aligned to a grid).
    """

    auto_class: ClassVar[str] = "AutoModelForMaskedImageModeling"
    absolute: ClassVar[bool] = True  # errors, with our models; else their squares
    name: ClassVar[str] = "patches"
    in_nats: ClassVar[bool] = False

    def __init__(
        self,
        rate: float = 0.75,
        final_rate: float | None = None,
        block: int = 1,
        augmentation: Augmentation = Augmentation(),
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        self.rate, self.final_rate = rate, rate if final_rate is None else final_rate
        self.block, self.augmentation = block, augmentation
        for share in (self.rate, self.final_rate):
            check_share(share, "patches")
            if share == 1:
                raise ValueError("the share of hidden patches must be below 1, but 1 came: nothing is left to see")
        if block < 1:
            raise ValueError(f"block counts patches and must be at least 1, but {block} came")

    def bind(self, processor, config) -> None:
        super().bind(processor, config)
        self.field = next((name for name in NAMES if name in self.fields), None)
        if self.field is None:
            raise ValueError(f"a model that can be told what is hidden is wanted, but {type(config).__name__} cannot")
        if self.field == "noise" and not self.rate == self.final_rate == config.mask_ratio:
            raise ValueError(
                f"this model hides {config.mask_ratio:g} of the patches (mask_ratio), but {self.rate:g} to "
                f"{self.final_rate:g} came: set rate to the same"
            )
        self.patch_size = int(config.patch_size)
        assert self.picture_form, "known once bound"
        longest = max(self.picture_form.size or (2 * self.patch_size,))
        if longest < 2 * self.patch_size:
            raise ValueError(
                f"pictures of two patches or more are wanted, but they are of {longest} pixels and patch_size is "
                f"{self.patch_size}: choose a model with smaller patches"
            )
        self.config = config if config.model_type.startswith("selfsup") else None  # whose targets are known

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        height, width = (length // self.patch_size for length in example["pixel_values"].shape[1:])
        rate = self.rate if progress is None else share_at(self.rate, self.final_rate, progress)
        patches = height * width
        # The masked autoencoder of transformers counts what it shows, and rounds that down.
        number = patches - int(patches * (1 - rate)) if self.field == "noise" else round(rate * patches)
        hidden = choose_exactly(tiles(height, width, self.block, rng), min(max(1, number), patches - 1), rng)
        example = super().corrupt(example, rng=rng, progress=progress)
        return example | {"hidden": hidden[None].astype(np.float32)}

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: int(batch["hidden"].sum())}

    def inputs(self, batch: Batch) -> Batch:
        assert self.field, "known once bound"
        hidden = batch["hidden"] if self.field == "noise" else batch["hidden"].bool()
        return super().inputs(batch) | {self.field: hidden}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        return {self.name: outputs["loss"] * batch["hidden"].sum()}

    def blind_losses(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        """The error where every hidden pixel is taken for the mean of what is visible, in its channel."""
        if self.config is None:
            return {}
        from selfsup.models.pixels import patch_targets  # here: models take seconds to import

        pictures = self.inputs(batch)["pixel_values"]
        hidden, targets = batch["hidden"][..., None, None], patch_targets(self.config, pictures)
        targets = targets.unflatten(-1, (pictures.shape[1], -1))  # (batch, patches, channels, pixels)
        visible = 1 - hidden
        seen = (targets * visible).mean(dim=-1, keepdim=True).sum(dim=1, keepdim=True)
        guess = seen / visible.sum(dim=1, keepdim=True)
        error = (targets - guess).abs() if self.absolute else (targets - guess).square()
        return {self.name: (error.flatten(2).mean(dim=-1) * batch["hidden"]).sum()}


class MaskedAutoencoding(MaskedPatches):
    """As `MaskedPatches`, for models that read the visible patches alone and mend the rest in a decoder."""

    auto_class: ClassVar[str] = "AutoModelForPreTraining"
    absolute: ClassVar[bool] = False

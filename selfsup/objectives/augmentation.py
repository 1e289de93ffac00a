"""Augmentation: pictures altered a little, at each draw otherwise, so that a model learns what does not matter.

Chance is drawn as plain numbers, a few for each picture; the device makes of them what is done to a whole batch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

# What each number of a draw decides.
DRAWN: Mapping[str, int] = MappingProxyType(
    {name: place for place, name in enumerate(
        ("angle", "scale", "side", "left", "top", "right", "down", "flip", "erase", "erased_height", "erased_width",
         "erased_top", "erased_left", "brightness", "contrast")
    )}
)  # fmt: skip


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are altered; by default not at all.

    Args:
        rotate: largest angle in degrees, either way.
        scale: smallest and largest factor of the size.
        crop: smallest share of each side that is cut out, at any place, and enlarged to the whole; 1 for no crop.
        shift: largest way, right or left and up or down, as a share of the side.
        flip: share of the pictures that are mirrored, left to right.
        erase: share of the pictures in which a rectangle is painted over, in the mean colour.
        erase_side: largest share of each side that the rectangle takes, which has a pixel at least.
        brightness: largest change, where 1 is the way from black to white.
        contrast: largest change, as a share.
        border: what comes in from outside: black (zeros), the edge (border), or what lies inside it (reflection).
    Source:
        Zhong et al. 2017, "Random Erasing Data Augmentation" (erase); Chen et al. 2020, "A Simple Framework for
        Contrastive Learning of Visual Representations", section 3 (crop and colour).
    """

    rotate: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    crop: float = 1.0
    shift: float = 0.0
    flip: float = 0.0
    erase: float = 0.0
    erase_side: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    border: Literal["zeros", "border", "reflection"] = "zeros"

    def __post_init__(self) -> None:
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(f"scale is a smallest and a largest factor above 0, but {self.scale} came")
        for name in ("flip", "erase", "erase_side", "contrast", "brightness", "shift"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, but {getattr(self, name)} came")
        if not 0 < self.crop <= 1 or not 0 <= self.rotate <= 180:
            raise ValueError(f"crop above 0 and at most 1 and rotate from 0 to 180 are wanted, but {self} came")

    @property
    def moves(self) -> bool:
        """Are pixels moved, other than mirrored?"""
        return bool(self.rotate or self.shift) or self.crop < 1 or self.scale != (1.0, 1.0)

    @property
    def keeps(self) -> bool:
        """Are pictures left as they are?"""
        return not (self.moves or self.flip or self.erase or self.brightness or self.contrast)

    def draw(self, rng: Generator) -> np.ndarray:
        """(1, draws) float32 in 0-1: the chance of one picture."""
        return rng.random((1, len(DRAWN)), dtype=np.float32)

    def alter(self, pictures: Tensor, chances: Tensor) -> Tensor:
        """Alter a batch.

        Args:
            pictures: (batch, channels, height, width) in 0-1.
            chances: (batch, draws) in 0-1.
        Returns:
            pictures of the same shape, in 0-1.
        """
        drawn = {name: chances[:, place] for name, place in DRAWN.items()}
        if self.flip:
            pictures = torch.where((drawn["flip"] < self.flip)[:, None, None, None], pictures.flip(-1), pictures)
        if self.moves:
            pictures = warp(pictures, self._matrices(drawn, *pictures.shape[-2:]), border=self.border)
        if self.brightness or self.contrast:
            factor = (1 + _either_way(drawn["contrast"], self.contrast))[:, None, None, None]
            change = _either_way(drawn["brightness"], self.brightness)[:, None, None, None]
            mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
            pictures = ((pictures - mean) * factor + mean + change).clamp(0, 1)
        return self._erased(pictures, drawn) if self.erase else pictures

    def _matrices(self, drawn: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """(batch, 2, 3): from where a pixel was to where it goes."""
        side = self.crop + drawn["side"] * (1 - self.crop)
        factor = (self.scale[0] + drawn["scale"] * (self.scale[1] - self.scale[0])) / side
        spare = torch.stack([width * (1 - side), height * (1 - side)], dim=1) / 2
        cut = spare * _either_way(torch.stack([drawn["left"], drawn["top"]], dim=1), 1.0)
        way = torch.stack([_either_way(drawn[name], self.shift) for name in ("right", "down")], dim=1)
        way = way * way.new_tensor([width, height])
        return affine_matrices(_either_way(drawn["angle"], self.rotate), factor, way, height, width, about=cut)

    def _erased(self, pictures: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        inside = []
        for length, size, start in zip(
            pictures.shape[-2:], ("erased_height", "erased_width"), ("erased_top", "erased_left"), strict=True
        ):
            extent = 1 + drawn[size] * max(0, self.erase_side * length - 1)
            first = drawn[start] * (length - extent)
            places = torch.arange(length, device=pictures.device) + 0.5
            inside.append((places >= first[:, None]) & (places < (first + extent)[:, None]))
        chosen = (drawn["erase"] < self.erase)[:, None, None]
        mask = (inside[0][:, :, None] & inside[1][:, None, :] & chosen)[:, None]
        return torch.where(mask, pictures.mean(dim=(2, 3), keepdim=True), pictures)


@dataclass(frozen=True)
class Mixing:
    """How another picture of the data is mixed in, and its label with it; by default none is. With both, each is drawn
    half of the time.

    Args:
        mixup: both pictures lie over each other, in shares of a beta distribution with this number twice; 0 for none.
        cutmix: a rectangle of one lies in the other, its share of the area drawn likewise; 0 for none.
    Source:
        Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"; Yun et al. 2019, "CutMix: Regularization
        Strategy to Train Strong Classifiers with Localizable Features", section 3.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.mixup < math.inf and 0 <= self.cutmix < math.inf):
            raise ValueError(f"mixup and cutmix must be finite and not negative, but {self} came")

    def __bool__(self) -> bool:
        return bool(self.mixup or self.cutmix)

    def draw(self, height: int, width: int, rng: Generator) -> np.ndarray:
        """(1, height, width) float32 in 0-1: the share of each pixel that is the picture's own."""
        cuts = self.cutmix and (not self.mixup or rng.random() < 0.5)
        spread = self.cutmix if cuts else self.mixup
        share = rng.beta(spread, spread)
        if not cuts:
            return np.full((1, height, width), share, dtype=np.float32)
        sides = []
        for length in (height, width):
            middle, half = rng.random() * length, length * math.sqrt(1 - share) / 2
            places = np.arange(length) + 0.5
            sides.append((places >= middle - half) & (places < middle + half))
        return 1 - (sides[0][:, None] & sides[1])[None].astype(np.float32)


def affine_matrices(
    degrees: Tensor, factor: Tensor, way: Tensor, height: int, width: int, *, about: Tensor | float = 0.0
) -> Tensor:
    """What turns pictures anticlockwise about their middle, enlarges and then shifts them.

    Args:
        degrees: (batch).
        factor: (batch) of the size.
        way: (batch, 2) pixels to the right and down.
        height: of the pictures, in pixels.
        width: likewise.
        about: (batch, 2) pixels from the middle of the picture to the point that goes to the middle.
    Returns:
        (batch, 2, 3), from places (right, down) of pixels to those they go to.
    """
    radians = degrees * (math.pi / 180)
    cosine, sine = factor * radians.cos(), factor * radians.sin()
    linear = torch.stack([torch.stack([cosine, sine], dim=1), torch.stack([-sine, cosine], dim=1)], dim=1)
    middle = way.new_tensor([(width - 1) / 2, (height - 1) / 2])
    offset = middle + way - (linear @ (middle + about).expand_as(way)[:, :, None])[:, :, 0]
    return torch.cat([linear, offset[:, :, None]], dim=2)


def warp(pictures: Tensor, matrices: Tensor, *, border: str = "zeros") -> Tensor:
    """Move the pixels of pictures, and find values between pixels from the four around.

    Args:
        pictures: (batch, channels, height, width).
        matrices: (batch, 2, 3), as `affine_matrices` makes them.
        border: what comes in from outside, see `Augmentation`.
    """
    from kornia.geometry.transform import warp_affine  # a second of imports

    height, width = pictures.shape[-2:]
    return warp_affine(pictures, matrices, (height, width), padding_mode=border)


def _either_way(chance: Tensor, most: float) -> Tensor:
    """From 0-1 to between -most and most."""
    return (2 * chance - 1) * most

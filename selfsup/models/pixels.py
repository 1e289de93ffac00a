"""Pictures as networks read them: their shape is checked, their pixels standardised, and they are cut into patches."""

import warnings

import torch
from torch import Tensor, nn

GREY = (0.299, 0.587, 0.114)  # of red, green and blue, as ITU-R BT.601 has it, and PIL
SLACK = 0.01  # that pixels may leave [0, 1] by


def check_pixels(config) -> None:
    """Refuse a configuration whose pictures cannot be.

    Raises:
        ValueError: sizes below 1, or mean and standard deviation that fit no number of channels.
    """
    if config.image_size < 1 or config.num_channels < 1:
        raise ValueError(
            f"image_size and num_channels must be at least 1, but {config.image_size} and {config.num_channels} came"
        )
    for name in ("pixel_mean", "pixel_std"):
        values = getattr(config, name)
        if isinstance(values, list | tuple) and len(values) not in (1, config.num_channels):
            raise ValueError(
                f"{name} must be one number, or one for each of {config.num_channels} channels, but {len(values)} came"
            )
    stds = config.pixel_std if isinstance(config.pixel_std, list | tuple) else [config.pixel_std]
    if min(stds) <= 0:
        raise ValueError(f"pixel_std must be above 0, but {config.pixel_std} came")


def pixel_statistics(config) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the pixels, each (channels, 1, 1) in the type that models are made in."""
    mean, std = (
        torch.tensor(values, dtype=torch.get_default_dtype()).reshape(-1, 1, 1).repeat(config.num_channels, 1, 1)
        for values in (config.pixel_mean, config.pixel_std)
    )
    return mean[: config.num_channels], std[: config.num_channels]


class Pixels(nn.Module):
    """Pixels in [0, 1] to standardised ones; mean and standard deviation belong to the model, not to the data.

    The first batch is looked at, and what lies outside [0, 1] is told: pictures of 0 to 255, or standardised ones.

    Args:
        config: of the model.
        any_size: pictures of other sizes than `config.image_size` are read too.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config, any_size: bool = False) -> None:
        super().__init__()
        self.config = config
        self.any_size = any_size
        self.looked = False  # at values
        mean, std = pixel_statistics(config)
        self.register_buffer("mean", mean, persistent=False)  # they are in the configuration
        self.register_buffer("std", std, persistent=False)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(batch, channels, height, width) float in [0, 1] -> the same, standardised, in the type of the model.

        A model of grey pictures reads colours as grey: `pipeline` of transformers makes colours of whatever comes.

        Raises:
            ValueError: another shape, or whole numbers.
        """
        if pixel_values.is_floating_point():
            pixel_values = as_channels(pixel_values, self.config.num_channels)
        self._check(pixel_values)
        if not torch.compiler.is_compiling() and not self.looked and type(pixel_values) is Tensor:
            self._look(pixel_values)
        return ((pixel_values - self.mean) / self.std).to(self.mean.dtype)

    def _check(self, pixel_values: Tensor) -> None:
        channels, size = self.config.num_channels, self.config.image_size
        sides = "height, width" if self.any_size else f"{size}, {size}"
        wanted = f"pixel_values must be (batch, {channels}, {sides}), but"
        if pixel_values.ndim != 4:
            raise ValueError(
                f"{wanted} {tuple(pixel_values.shape)} came: put axes in this order, and a batch around one"
            )
        if pixel_values.shape[1] != channels:
            raise ValueError(
                f"{wanted} {tuple(pixel_values.shape)} came: convert the pictures, or make a model with "
                f"num_channels={pixel_values.shape[1]}"
            )
        if not self.any_size and pixel_values.shape[2:] != (size, size):
            raise ValueError(f"{wanted} {tuple(pixel_values.shape)} came: resize the pictures to {size} x {size}")
        if not pixel_values.is_floating_point():
            raise ValueError(
                f"pixel_values must be floating-point numbers in [0, 1], but {pixel_values.dtype} came: divide by 255"
            )

    def _look(self, pixel_values: Tensor) -> None:
        """Once: on a GPU it would wait for every batch."""
        if not pixel_values.numel() or pixel_values.is_meta:
            return
        self.looked = True
        least, most = (float(value) for value in pixel_values.detach().aminmax())
        if least < -SLACK or most > 1 + SLACK:
            warnings.warn(
                f"pixel_values must lie in [0, 1], but they reach from {least:.3g} to {most:.3g}: divide by 255, or "
                "leave mean and standard deviation to the model (do_normalize=False in its image processor)",
                stacklevel=2,
            )


def as_channels(pixel_values: Tensor, num_channels: int) -> Tensor:
    """Colours as grey, where grey is wanted; all else as it came.

    Args:
        pixel_values: (batch, channels, height, width) float.
        num_channels: wanted.
    Returns:
        (batch, channels, height, width).
    """
    if num_channels != 1 or pixel_values.ndim != 4 or pixel_values.shape[1] != 3:
        return pixel_values
    red, green, blue = pixel_values.split(1, dim=1)
    return GREY[0] * red + GREY[1] * green + GREY[2] * blue


def to_patches(pixels: Tensor, patch_size: int) -> Tensor:
    """Cut pictures into patches, row by row.

    Args:
        pixels: (batch, channels, height, width), both sides multiples of `patch_size`.
        patch_size: height and width of a patch.
    Returns:
        (batch, patches, channels * patch_size ** 2); in a patch a channel after the other, each row by row.
    """
    batch, channels, height, width = pixels.shape
    cut = pixels.reshape(batch, channels, height // patch_size, patch_size, width // patch_size, patch_size)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * patch_size**2)


def to_pixels(patches: Tensor, num_channels: int) -> Tensor:
    """Put square pictures together again.

    Args:
        patches: (batch, patches, channels * patch_size ** 2), as `to_patches` gives them.
        num_channels: of the pictures.
    Returns:
        (batch, channels, height, width).
    """
    batch, count, size = patches.shape
    side, patch_size = round(count**0.5), round((size / num_channels) ** 0.5)
    cut = patches.reshape(batch, side, side, num_channels, patch_size, patch_size)
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(batch, num_channels, side * patch_size, side * patch_size)


def patch_targets(config, pixel_values: Tensor) -> Tensor:
    """What a model of hidden patches is to guess: standardised pixels, with `config.normalise_patches` each patch by
    its own mean and deviation.

    Args:
        config: of the model.
        pixel_values: (batch, channels, height, width) float in [0, 1]; colours are grey to a model of grey pictures.
    Returns:
        (batch, patches, patch pixels).
    Source:
        He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners", section 3 (per-patch normalisation).
    """
    mean, std = (values.to(pixel_values) for values in pixel_statistics(config))
    pixel_values = as_channels(pixel_values, config.num_channels)
    patches = to_patches((pixel_values - mean) / std, config.patch_size)
    if not getattr(config, "normalise_patches", False):
        return patches
    own_mean, own_std = _patch_statistics(patches)
    return (patches - own_mean) / own_std


def reconstruct(config, logits: Tensor, pixel_values: Tensor) -> Tensor:
    """Guesses as pictures, which may leave [0, 1]; the inverse of `patch_targets`.

    Args:
        config: of the model.
        logits: (batch, patches, patch pixels).
        pixel_values: (batch, channels, height, width) true pictures; read only for the mean and deviation of patches,
            where the model does not guess them (`config.normalise_patches`).
    Returns:
        (batch, channels, height, width).
    """
    mean, std = (values.to(pixel_values) for values in pixel_statistics(config))
    patches = logits.to(pixel_values)
    if getattr(config, "normalise_patches", False):
        own_mean, own_std = _patch_statistics(to_patches((pixel_values - mean) / std, config.patch_size))
        patches = patches * own_std + own_mean
    return to_pixels(patches, config.num_channels) * std + mean


def _patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every patch, each (batch, patches, 1); a patch of one colour has almost none."""
    variance, mean = torch.var_mean(patches, dim=-1, correction=0, keepdim=True)
    return mean, (variance + 1e-6).sqrt()

"""The shape of a Transformer on patches, and which class of which file opens it under each of the Auto classes."""

import math
from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .pixels import check_pixels

AUTO_MAP = {
    "AutoConfig": "vit_config.PatchTransformerConfig",
    "AutoModel": "vit.PatchTransformerModel",
    "AutoModelForImageClassification": "vit.PatchTransformerForImageClassification",
    "AutoModelForMaskedImageModeling": "vit.PatchTransformerForMaskedImageModeling",
}


@strict
class PatchTransformerConfig(PreTrainedConfig):
    """Shape of a Transformer that reads a picture as a sequence of patches: pre-norm blocks, those of the text encoder.

    Args:
        image_size: height and width of a picture in pixels.
        patch_size: height and width of a patch; divides `image_size`.
        num_channels: of a picture: 1 for grey, 3 for red, green and blue.
        pixel_mean: subtracted from pixels in [0, 1], one number for all channels or one for each.
        pixel_std: what they are divided by then.
        hidden_size: width of the stream between the blocks.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads of each block.
        intermediate_size: inner width of the feed-forward half.
        activation: "gelu", "relu2" (ReLU squared) or "geglu" (GELU that gates; half again as many weights).
        position_type: "learned" or "sinusoidal" (added to the patches; half of the width tells the row, half the
            column), or "rotary" (queries and keys turned by both).
        window: patches that a patch sees on each side of itself, in rows and in columns (1: the 3 x 3 around it);
            null = all. It changes what is seen, not what it costs.
        pooling: what stands for the picture: "mean" of all patches, or a "class" token of its own, which sees all and
            is seen by all.
        qk_norm: queries and keys of every head are brought to one length before they meet.
        use_bias: biases in all linear layers and norms of the blocks.
        rope_base: slowest wavelength of rotary and sinusoidal positions, divided by 2 pi; grids are short.
        dropout: share dropped after attention weights and both halves of a block, and before the classifier.
        norm_eps: added to the variance in layer normalisation.
        initializer_range: standard deviation of fresh weights.
    Source:
        Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale".
    """

    model_type = "selfsup_vit"

    # What the shared blocks ask for, and this model does not choose.
    norm_position = "pre"
    attention_activation = "softmax"

    image_size: int = 28
    patch_size: int = 4
    num_channels: int = 1
    pixel_mean: float | list[float] | tuple[float, ...] = 0.5
    pixel_std: float | list[float] | tuple[float, ...] = 0.5
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 256
    activation: Literal["gelu", "relu2", "geglu"] = "gelu"
    position_type: Literal["learned", "sinusoidal", "rotary"] = "learned"
    window: int | None = None
    pooling: Literal["mean", "class"] = "mean"
    qk_norm: bool = False
    use_bias: bool = False
    rope_base: float = 100.0
    dropout: float = 0.0
    norm_eps: float = 1e-5
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs) -> None:
        for name in ("pixel_mean", "pixel_std"):
            if isinstance(getattr(self, name), tuple):  # as JSON gives them back
                setattr(self, name, list(getattr(self, name)))
        check_pixels(self)
        if self.patch_size < 1 or self.image_size % self.patch_size:
            fitting = [size for size in range(1, self.image_size + 1) if self.image_size % size == 0]
            raise ValueError(f"patch_size must divide image_size, {self.image_size}, but {self.patch_size} came: "
                             f"try one of {fitting}")  # fmt: skip
        check_width(self.hidden_size, self.num_attention_heads, self.position_type)
        if self.num_hidden_layers < 0 or self.intermediate_size < 1:
            raise ValueError(
                f"num_hidden_layers must be at least 0 and intermediate_size at least 1, but {self.num_hidden_layers} "
                f"and {self.intermediate_size} came"
            )
        if self.window is not None and self.window < 1:
            raise ValueError(f"window must be at least 1, but {self.window} came: try 1, or null for none")
        # One checkpoint opens under every head, at people's who have only the files of this folder.
        kwargs.setdefault("auto_map", dict(AUTO_MAP))
        super().__post_init__(**kwargs)


def check_width(hidden_size: int, num_attention_heads: int, position_type: str, *, before: str = "") -> None:
    """Refuse a width that does not divide into heads, or into waves of rows and of columns.

    Args:
        hidden_size: the width.
        num_attention_heads: heads that share it.
        position_type: what else it is divided for.
        before: what the names of the first two begin with in the configuration.
    Raises:
        ValueError: says what it should be a multiple of, or that there are no heads.
    """
    if num_attention_heads < 1 or hidden_size < 1:
        raise ValueError(
            f"{before}hidden_size and {before}num_attention_heads must be at least 1, but {hidden_size} and "
            f"{num_attention_heads} came"
        )
    steps = {"learned": num_attention_heads, "sinusoidal": math.lcm(4, num_attention_heads)}
    step = steps.get(position_type, 4 * num_attention_heads)
    if hidden_size % step:
        raise ValueError(
            f"{before}hidden_size must be a multiple of {step} with {num_attention_heads} heads and position_type="
            f'"{position_type}", but {hidden_size} came: try {max(1, round(hidden_size / step)) * step}'
        )

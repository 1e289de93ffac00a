"""The shape of a convolutional network, and which class of which file opens it under each of the Auto classes."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.backbone_utils import BackboneConfigMixin

from .pixels import check_pixels
from .receptive_field import at, receptive_field

AUTO_MAP = {
    "AutoConfig": "convnet_config.ConvNetConfig",
    "AutoModel": "convnet.ConvNetModel",
    "AutoModelForImageClassification": "convnet.ConvNetForImageClassification",
    "AutoBackbone": "convnet.ConvNetBackbone",
}


@strict
class ConvNetConfig(BackboneConfigMixin, PreTrainedConfig):
    """Shape of a convolutional network: stages of layers, each a convolution, its normalisation and an activation.

    As it stands, it has 90,058 weights for grey pictures of 28 x 28 and ten labels.

    Args:
        image_size: height and width of a picture in pixels; with head "global" others are read too.
        num_channels: of a picture: 1 for grey, 3 for red, green and blue.
        pixel_mean: subtracted from pixels in [0, 1], one number for all channels or one for each.
        pixel_std: what they are divided by then.
        channels: of each layer's output.
        stage_depths: layers of each stage; their sum is the number of `channels`.
        kernel_sizes: of each layer, or one for all.
        strides: of each layer, or one for all.
        paddings: zeros on each side, of each layer or one for all; or "same", which keeps the size at stride 1 and
            needs odd kernels.
        pooling: how a picture shrinks to half between stages: "max" of 2 x 2, "stride" of 2 in the first layer of the
            later stages (times its own of `strides`), or "none": only `strides` shrink it.
        residual: what enters a stage is added to what leaves it; for each stage, or one for all.
        separable: a layer mixes places channel by channel and then channels place by place, with far fewer weights; the
            first layer does not.
        normalisation: see `selfsup.models.normalisation`: "batch", "batch_renorm", "layer", "instance", "group",
            "weight", "spectral" or "none".
        norm_groups: groups of channels of "group"; divides all `channels`.
        norm_momentum: share of a batch in the running averages of "batch" and "batch_renorm".
        norm_eps: added to the variance.
        renorm_steps: batches until which "batch_renorm" is batch normalisation, and from which its limits are full;
            they grow in between.
        renorm_limits: largest scale (r) and shift (d) of "batch_renorm".
        activation: "relu", "gelu" or "silu".
        head: "global" (the mean of all places) or "flatten" (all places side by side, for one `image_size` alone).
        dropout: share of what the classifier reads that is dropped in training.
        initializer_range: standard deviation of fresh weights of the classifier; convolutions start as He et al. have
            it.
    Source:
        LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition"; He et al. 2015, "Deep Residual
        Learning for Image Recognition" (residual); Chollet 2016, "Xception" (separable).
    """

    model_type = "selfsup_convnet"

    image_size: int = 28
    num_channels: int = 1
    pixel_mean: float | list[float] | tuple[float, ...] = 0.5
    pixel_std: float | list[float] | tuple[float, ...] = 0.5
    channels: list[int] | tuple[int, ...] = (20, 20, 40, 40, 64, 64)
    stage_depths: list[int] | tuple[int, ...] = (2, 2, 2)
    kernel_sizes: int | list[int] | tuple[int, ...] = 3
    strides: int | list[int] | tuple[int, ...] = 1
    paddings: Literal["same"] | int | list[int] | tuple[int, ...] = "same"
    pooling: Literal["max", "stride", "none"] = "max"
    residual: bool | list[bool] | tuple[bool, ...] = True
    separable: bool = False
    normalisation: Literal["batch", "batch_renorm", "layer", "instance", "group", "weight", "spectral", "none"] = (
        "batch"
    )
    norm_groups: int = 4
    norm_momentum: float = 0.1
    norm_eps: float = 1e-5
    renorm_steps: list[int] | tuple[int, ...] = (200, 1000)
    renorm_limits: list[float] | tuple[float, ...] = (3.0, 5.0)
    activation: Literal["relu", "gelu", "silu"] = "relu"
    head: Literal["global", "flatten"] = "global"
    dropout: float = 0.0
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs) -> None:
        for name in ("pixel_mean", "pixel_std", "channels", "stage_depths", "kernel_sizes", "strides", "paddings",
                     "residual", "renorm_steps", "renorm_limits"):  # fmt: skip
            if isinstance(getattr(self, name), tuple):  # as JSON gives them back
                setattr(self, name, list(getattr(self, name)))
        check_pixels(self)
        self._check_lengths()
        self._check_sizes()
        if self.norm_groups < 1 or not 0 < self.norm_momentum <= 1:
            raise ValueError(
                "norm_groups must be at least 1 and norm_momentum above 0 and at most 1, but "
                f"{self.norm_groups} and {self.norm_momentum} came"
            )
        if self.normalisation == "group" and any(width % self.norm_groups for width in self.channels):
            raise ValueError(
                f"norm_groups must divide the channels of every layer, but {self.norm_groups} does not divide all of "
                f"{self.channels}: change one of them"
            )
        self.stage_names = [f"stage{number + 1}" for number in range(len(self.stage_depths))]
        self.set_output_features_output_indices(
            out_features=kwargs.pop("out_features", None), out_indices=kwargs.pop("out_indices", None)
        )
        # One checkpoint opens under every head, at people's who have only the files of this folder.
        kwargs.setdefault("auto_map", dict(AUTO_MAP))
        super().__post_init__(**kwargs)

    def _check_lengths(self) -> None:
        if not self.channels or min(self.channels) < 1 or min(self.stage_depths, default=0) < 1:
            raise ValueError(
                f"channels and stage_depths need numbers of at least 1, but {self.channels}, {self.stage_depths} came"
            )
        if sum(self.stage_depths) != len(self.channels):
            raise ValueError(
                f"stage_depths must sum to the number of channels, one for each layer, but {self.stage_depths} came "
                f"for {len(self.channels)} of them"
            )
        wanted = {"kernel_sizes": len(self.channels), "strides": len(self.channels), "paddings": len(self.channels),
                  "residual": len(self.stage_depths), "renorm_steps": 2, "renorm_limits": 2}  # fmt: skip
        for name, number in wanted.items():
            values = getattr(self, name)
            if isinstance(values, list) and len(values) != number:
                raise ValueError(f"{name} must have {number} values, but {len(values)} came: {values}")

    def _check_sizes(self) -> None:
        layers = range(len(self.channels))
        kernels = [at(self.kernel_sizes, number) for number in layers]
        if min(kernels) < 1 or min(at(self.strides, number) for number in layers) < 1:
            raise ValueError(
                f"kernel_sizes and strides must be at least 1, but {self.kernel_sizes}, {self.strides} came"
            )
        if self.paddings == "same" and any(kernel % 2 == 0 for kernel in kernels):
            raise ValueError(f'paddings="same" needs odd kernel_sizes, but {self.kernel_sizes} came: give numbers')
        if self.paddings != "same" and min(at(self.paddings, number) for number in layers) < 0:
            raise ValueError(f"paddings must not be negative, but {self.paddings} came")
        residual = any(self.residual) if isinstance(self.residual, list) else self.residual
        if residual and self.paddings != "same":
            raise ValueError(f'residual stages need paddings="same", but {self.paddings} came: set one or the other')
        for field in receptive_field(self):
            if field.units < 1:
                raise ValueError(
                    f"nothing is left of a picture of {self.image_size} x {self.image_size} pixels at {field.name}: "
                    "use fewer stages, smaller kernels or strides, more padding, or larger pictures"
                )
            if field.units == 1 and self.normalisation == "instance" and not field.name.endswith("pool"):
                raise ValueError(
                    f'normalisation="instance" needs two places or more to tell apart, but {field.name} has one of a '
                    f"picture of {self.image_size} x {self.image_size} pixels: use fewer stages or larger pictures"
                )

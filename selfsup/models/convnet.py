"""A convolutional network for pictures: its body, its use as a backbone, and the head that tells classes."""

import math

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.backbone_utils import BackboneMixin, filter_output_hidden_states
from transformers.modeling_outputs import (
    BackboneOutput,
    BaseModelOutputWithPoolingAndNoAttention,
    ImageClassifierOutputWithNoAttention,
)
from transformers.utils.generic import can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from .convnet_config import AUTO_MAP, ConvNetConfig
from .dropout import Dropout
from .normalisation import has_bias, normalise, normalise_weights, start_convolution
from .pixels import Pixels, pixel_statistics
from .receptive_field import at, layers, receptive_field

AUTO_CLASSES = {auto: place.partition(".")[2] for auto, place in AUTO_MAP.items()}
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


class ConvLayer(nn.Module):
    """A convolution and its normalisation, and an activation unless the layer ends a residual stage.

    Args:
        config: of the model.
        inputs: channels that come.
        outputs: channels that go.
        kernel: height and width of the kernel.
        stride: places it moves on by.
        padding: zeros on each side.
        active: whether the activation follows.
        separable: whether places are mixed channel by channel, then channels place by place.
    """

    def __init__(
        self,
        config: ConvNetConfig,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        padding: int = 0,
        active: bool = True,
        separable: bool = False,
    ) -> None:
        super().__init__()
        bias = has_bias(config)
        if separable:
            self.depthwise = normalise_weights(
                config, nn.Conv2d(inputs, inputs, kernel, stride, padding, groups=inputs, bias=False)
            )
            kernel, stride, padding = 1, 1, 0
        self.convolution = normalise_weights(config, nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias))
        self.norm = normalise(config, outputs)
        self.activation = ACTIVATIONS[config.activation]() if active else nn.Identity()

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels, height, width)."""
        if hasattr(self, "depthwise"):
            hidden = self.depthwise(hidden)
        return self.activation(self.norm(self.convolution(hidden)))


class Stage(nn.Module):
    """Layers that see a picture at one size, halved before where pooling says so.

    Args:
        config: of the model.
        number: of the stage, from 0.
    """

    def __init__(self, config: ConvNetConfig, number: int) -> None:
        super().__init__()
        before, depth = sum(config.stage_depths[:number]), config.stage_depths[number]
        geometry = [layer for layer in layers(config) if layer[0].startswith(f"stages.{number}.layers.")]
        widths = [config.num_channels, *config.channels][before : before + depth + 1]
        residual = at(config.residual, number)
        self.pool = nn.MaxPool2d(2) if number > 0 and config.pooling == "max" else nn.Identity()
        self.layers = nn.ModuleList(
            ConvLayer(
                config,
                widths[place],
                widths[place + 1],
                kernel=kernel,
                stride=stride,
                padding=padding,
                active=not residual or place < depth - 1,
                separable=config.separable and before + place > 0,
            )
            for place, (_, kernel, stride, padding) in enumerate(geometry)
        )
        self.shortcut: nn.Module | None = None
        if residual:
            self.shortcut = shortcut(config, widths[0], widths[-1], [stride for _, _, stride, _ in geometry])
            self.activation = ACTIVATIONS[config.activation]()

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels, height, width)."""
        hidden = entered = self.pool(hidden)
        for layer in self.layers:
            hidden = layer(hidden)
        if self.shortcut is None:
            return hidden
        return self.activation(hidden + self.shortcut(entered))


def shortcut(config: ConvNetConfig, inputs: int, outputs: int, strides: list[int]) -> nn.Module:
    """What goes around a stage: nothing is done where shapes agree, else a convolution of 1 x 1."""
    stride = math.prod(strides)
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return ConvLayer(config, inputs, outputs, stride=stride, active=False)


class ConvNetPreTrainedModel(PreTrainedModel):
    """What body, backbone and head share: how weights start, and what transformers may do with the model."""

    config_class = ConvNetConfig
    base_model_prefix = "encoder"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    accepts_loss_kwargs = False  # our losses are means of one batch; else `Trainer` would not divide accumulated ones
    # Activation checkpointing would compute a stage twice, and its running averages with it.
    supports_gradient_checkpointing = False
    _no_split_modules = ["Stage"]  # noqa: RUF012 - transformers' own form
    _can_record_outputs = {"hidden_states": Stage}  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Only `init` functions: they skip weights that were just loaded (transformers issue 46620).
        if isinstance(module, nn.Conv2d):
            start_convolution(module)
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
            init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d):
            init.ones_(module.weight)
            init.zeros_(module.bias)
            if isinstance(module, nn.BatchNorm2d):
                init.zeros_(module.running_mean)
                init.ones_(module.running_var)
                init.zeros_(module.num_batches_tracked)
        elif isinstance(module, Pixels):
            for values, wanted in zip((module.mean, module.std), pixel_statistics(self.config), strict=True):
                init.copy_(values, wanted)


class ConvNetModel(ConvNetPreTrainedModel):
    """The body: pictures to feature maps."""

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__(config)
        self.pixels = Pixels(config, any_size=config.head == "global")
        self.stages = nn.ModuleList(Stage(config, number) for number in range(len(config.stage_depths)))
        self.post_init()

    @capture_outputs
    def forward(self, pixel_values: Tensor, **kwargs) -> BaseModelOutputWithPoolingAndNoAttention:
        """Look at a batch of pictures.

        Args:
            pixel_values: (batch, channels, height, width) float in [0, 1].
        Returns:
            `last_hidden_state` (batch, channels, height, width) and `pooler_output` (batch, features), its mean or all
            of it, as `config.head` says; with `output_hidden_states=True` also the standardised pixels and the feature
            map of every stage.
        Raises:
            ValueError: pictures of another size or number of channels than the model reads.
        """
        # Channels lie side by side in memory: a step of the default shape takes about 0.6 of the time on a CPU.
        hidden = self.pixels(pixel_values).to(memory_format=torch.channels_last)
        for stage in self.stages:
            hidden = stage(hidden)
        whole = hidden.mean(dim=(2, 3)) if self.config.head == "global" else hidden.flatten(1)
        return BaseModelOutputWithPoolingAndNoAttention(last_hidden_state=hidden, pooler_output=whole)


class ConvNetBackbone(BackboneMixin, ConvNetModel):
    """The body as a backbone of other models: feature maps of chosen stages, named stage1, stage2 …"""

    has_attentions = False

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__(config)
        ends = [sum(config.stage_depths[: number + 1]) for number in range(len(config.stage_depths))]
        self.num_features = [config.channels[end - 1] for end in ends]

    @can_return_tuple
    @filter_output_hidden_states
    def forward(self, pixel_values: Tensor, **kwargs) -> BackboneOutput:
        """Input as for `ConvNetModel`; returns `feature_maps`, (batch, channels, height, width) of each of the stages
        in `config.out_features`, which are set by `out_features` or `out_indices`; the last alone by default."""
        kwargs["return_dict"] = True  # whoever wants a tuple gets one of the result
        states = ConvNetModel.forward(self, pixel_values, **kwargs).hidden_states  # the mixin has a `forward` too
        maps = tuple(
            state for name, state in zip(self.stage_names, states[1:], strict=True) if name in self.out_features
        )
        return BackboneOutput(feature_maps=maps, hidden_states=states)


class ConvNetForImageClassification(ConvNetPreTrainedModel):
    """One label for a picture."""

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.encoder = ConvNetModel(config)
        places = receptive_field(config)[-1].units ** 2 if config.head == "flatten" else 1
        self.dropout = Dropout(config.dropout)
        self.classifier = nn.Linear(config.channels[-1] * places, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, **kwargs
    ) -> ImageClassifierOutputWithNoAttention:
        """Input as for `ConvNetModel`; `labels` (batch) int64, or float for regression and several labels, as
        `config.problem_type` says, give the mean loss. Returns `logits` (batch, labels)."""
        body = self.encoder(pixel_values, **kwargs)
        logits = self.classifier(self.dropout(body.pooler_output))
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return ImageClassifierOutputWithNoAttention(loss=loss, logits=logits, hidden_states=body.hidden_states)

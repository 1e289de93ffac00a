"""A Transformer on patches of a picture: its body, and the heads that tell classes and guess hidden patches."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling, ImageClassifierOutput
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from .attention import SelfAttention
from .blocks import Block, narrows
from .dropout import Dropout
from .patch_grid import PatchGrid, grid_tables
from .pixels import Pixels, patch_targets, pixel_statistics, to_patches
from .vit_config import AUTO_MAP, PatchTransformerConfig

AUTO_CLASSES = {auto: place.partition(".")[2] for auto, place in AUTO_MAP.items()}


@dataclass
class PatchesOutput(ModelOutput):
    """What heads return that guess hidden patches.

    Args:
        loss: mean error of a pixel of the hidden patches, where some are.
        logits: (batch, patches, patch pixels) guesses, to be compared with `patch_targets`.
        hidden_states: as of the body.
        attentions: likewise.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class PatchTransformerPreTrainedModel(PreTrainedModel):
    """What all heads share: how weights start, and what transformers may do with the model."""

    config_class = PatchTransformerConfig
    base_model_prefix = "encoder"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # our losses are means of one batch; else `Trainer` would not divide accumulated ones
    _no_split_modules = ["Block"]  # noqa: RUF012 - transformers' own form
    _supports_sdpa = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": Block, "attentions": SelfAttention}  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Only `init` functions: they skip weights that were just loaded (transformers issue 46620).
        std = self.config.initializer_range
        if isinstance(module, nn.Linear | nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=std)
        elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
            init.ones_(module.weight)
        elif isinstance(module, Pixels):
            for values, wanted in zip((module.mean, module.std), pixel_statistics(self.config), strict=True):
                init.copy_(values, wanted)
        elif isinstance(module, PatchGrid):
            for name, table in grid_tables(module.config).items():
                init.copy_(getattr(module, name), table)
        for name in ("class_embedding", "mask_embedding"):
            if isinstance(getattr(module, name, None), nn.Parameter):
                init.normal_(getattr(module, name), mean=0.0, std=std)
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            init.zeros_(module.bias)


class PatchEmbeddings(nn.Module):
    """Where the stream starts: the standardised pixels of every patch, times a matrix."""

    def __init__(self, config: PatchTransformerConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.pixels = Pixels(config)
        self.projection = nn.Linear(config.num_channels * config.patch_size**2, config.hidden_size)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(batch, channels, height, width) float in [0, 1] -> (batch, patches, hidden)."""
        return self.projection(to_patches(self.pixels(pixel_values), self.patch_size))


class PatchStack(PatchTransformerPreTrainedModel):
    """Positions, blocks and a last norm: what a body and a decoder of patches are made of."""

    def __init__(self, config: PatchTransformerConfig) -> None:
        super().__init__(config)
        self.grid = PatchGrid(config)
        if config.position_type == "learned":
            self.position_embeddings = nn.Embedding(num_patches(config), config.hidden_size)
        if config.pooling == "class":
            self.class_embedding = nn.Parameter(torch.zeros(config.hidden_size))
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.use_bias)

    @capture_outputs
    def read(self, patches: Tensor, places: Tensor | None = None, **kwargs) -> BaseModelOutputWithPooling:
        """What the blocks make of patches.

        Args:
            patches: (batch, patches, hidden), without positions.
            places: (batch, patches) int64, which patches of the picture they are; all in their order if absent.
        Returns:
            `last_hidden_state` (batch, patches, hidden), after a class token where there is one; and `pooler_output`
            (batch, hidden).
        """
        hidden = self.dropout(patches + self.positions(places).to(patches.dtype))
        if self.config.pooling == "class":
            first = self.class_embedding.to(hidden.dtype).expand(len(hidden), 1, -1)
            hidden = torch.cat([first, hidden], dim=1)
        mask, turns = self.grid(places)
        if narrows(hidden):  # else the stream stays wide, and every sum with it
            hidden = hidden.to(torch.bfloat16)
        for block in self.blocks:
            hidden = block(hidden, mask, turns, **kwargs)
        hidden = self.norm(hidden)
        whole = hidden[:, 0] if self.config.pooling == "class" else hidden.mean(dim=1)
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=whole)

    def positions(self, places: Tensor | None) -> Tensor:
        """What is added to patches, ((batch,) patches, hidden), or 0 where queries and keys are turned instead."""
        if self.config.position_type == "rotary":
            return self.norm.weight.new_zeros(())
        learned = self.config.position_type == "learned"
        table = self.position_embeddings.weight if learned else self.grid.sinusoids
        return table if places is None else table[places]


class PatchTransformerModel(PatchStack):
    """The body: a picture to one vector per patch."""

    def __init__(self, config: PatchTransformerConfig) -> None:
        super().__init__(config)
        self.embeddings = PatchEmbeddings(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Linear:
        return self.embeddings.projection

    def forward(self, pixel_values: Tensor, **kwargs) -> BaseModelOutputWithPooling:
        """Look at a batch of pictures.

        Args:
            pixel_values: (batch, channels, height, width) float in [0, 1].
        Returns:
            `last_hidden_state` (batch, patches, hidden), row by row, after a class token where there is one, and
            `pooler_output` (batch, hidden), the class token or the mean; with `output_hidden_states=True` also the
            inputs of the blocks and the output, with `output_attentions=True` the weights (batch, heads, patches,
            patches) of each block.
        Raises:
            ValueError: pictures of another size or number of channels than the model reads.
        """
        return self.read(self.embeddings(pixel_values), **kwargs)


class PatchTransformerForImageClassification(PatchTransformerPreTrainedModel):
    """One label for a picture."""

    body_class = PatchTransformerModel

    def __init__(self, config: PatchTransformerConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.encoder = self.body_class(config)
        self.dropout = Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(self, pixel_values: Tensor, labels: Tensor | None = None, **kwargs) -> ImageClassifierOutput:
        """Input as for `PatchTransformerModel`; `labels` (batch) int64, or float for regression and several labels, as
        `config.problem_type` says, give the mean loss. Returns `logits` (batch, labels)."""
        body = self.encoder(pixel_values, **kwargs)
        logits = self.classifier(self.dropout(body.pooler_output))
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return ImageClassifierOutput(
            loss=loss, logits=logits, hidden_states=body.hidden_states, attentions=body.attentions
        )


class PatchTransformerForMaskedImageModeling(PatchTransformerPreTrainedModel):
    """Guess the pixels of hidden patches, which the body sees as one learned vector.

    Source:
        Xie et al. 2021, "SimMIM: A Simple Framework for Masked Image Modeling", section 3.
    """

    def __init__(self, config: PatchTransformerConfig) -> None:
        super().__init__(config)
        self.encoder = PatchTransformerModel(config)
        self.mask_embedding = nn.Parameter(torch.zeros(config.hidden_size))
        self.predictions = nn.Linear(config.hidden_size, config.num_channels * config.patch_size**2)
        self.post_init()

    @can_return_tuple
    def forward(self, pixel_values: Tensor, hidden: Tensor | None = None, **kwargs) -> PatchesOutput:
        """Input as for `PatchTransformerModel`, and

        Args:
            hidden: (batch, patches) bool, True where a patch is hidden; none is if absent.
        Returns:
            `logits` (batch, patches, patch pixels), and `loss`, the mean absolute error of a pixel of hidden patches.
        Raises:
            ValueError: `hidden` of another shape or type.
        """
        patches = self.encoder.embeddings(pixel_values)
        if hidden is not None:
            check_hidden(hidden, patches)
            patches = torch.where(hidden[..., None], self.mask_embedding.to(patches.dtype), patches)
        body = self.encoder.read(patches, **kwargs)
        logits = self.predictions(body.last_hidden_state[:, -patches.shape[1] :])
        loss = None
        if hidden is not None:
            error = (logits.float() - patch_targets(self.config, pixel_values).float()).abs()
            loss = mean_of_hidden(error, hidden)
        return PatchesOutput(loss=loss, logits=logits, hidden_states=body.hidden_states, attentions=body.attentions)


def num_patches(config) -> int:
    """Of a picture."""
    return (config.image_size // config.patch_size) ** 2


def check_hidden(hidden: Tensor, patches: Tensor) -> None:
    """Refuse a mask that does not say of every patch whether it is hidden.

    Raises:
        ValueError: says what was wanted and what came.
    """
    if hidden.shape != patches.shape[:2] or hidden.dtype != torch.bool:
        raise ValueError(
            f"hidden must be a bool tensor of {tuple(patches.shape[:2])} (batch, patches), True where a patch is "
            f"hidden, but {hidden.dtype} of {tuple(hidden.shape)} came"
        )


def mean_of_hidden(error: Tensor, hidden: Tensor) -> Tensor:
    """The mean over all pixels of hidden patches; 0 where none is hidden.

    Args:
        error: (batch, patches, patch pixels).
        hidden: (batch, patches) bool.
    """
    return (error.mean(dim=-1) * hidden).sum() / hidden.sum().clamp(min=1)

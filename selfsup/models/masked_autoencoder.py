"""A masked autoencoder: the Transformer on patches reads what is visible, and a light decoder guesses the rest."""

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils.generic import can_return_tuple

from .masked_autoencoder_config import AUTO_MAP, MaskedAutoencoderConfig
from .pixels import patch_targets
from .vit import (
    PatchesOutput,
    PatchStack,
    PatchTransformerForImageClassification,
    PatchTransformerModel,
    PatchTransformerPreTrainedModel,
    check_hidden,
    mean_of_hidden,
)

AUTO_CLASSES = {auto: place.partition(".")[2] for auto, place in AUTO_MAP.items()}


class MaskedAutoencoderModel(PatchTransformerModel):
    """The body, a `PatchTransformerModel`; the decoder is left behind."""

    config_class = MaskedAutoencoderConfig


class MaskedAutoencoderForImageClassification(PatchTransformerForImageClassification):
    """One label for a picture, of which all patches are read."""

    config_class = MaskedAutoencoderConfig
    body_class = MaskedAutoencoderModel


class PatchDecoder(PatchStack):
    """Blocks that see all places, the hidden ones too."""

    def __init__(self, config) -> None:
        super().__init__(config)
        self.post_init()

    def forward(self, patches: Tensor) -> BaseModelOutputWithPooling:
        """(batch, patches, hidden), see `PatchStack.read`."""
        return self.read(patches, return_dict=True, output_hidden_states=False, output_attentions=False)


class MaskedAutoencoderForPreTraining(PatchTransformerPreTrainedModel):
    """Guess the pixels of hidden patches from the visible ones, which alone go through the encoder.

    Source:
        He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners", section 3.
    """

    config_class = MaskedAutoencoderConfig

    def __init__(self, config: MaskedAutoencoderConfig) -> None:
        super().__init__(config)
        shape = config.decoder_shape()
        self.encoder = MaskedAutoencoderModel(config)
        self.decoder_input = nn.Linear(config.hidden_size, shape.hidden_size)
        self.mask_embedding = nn.Parameter(torch.zeros(shape.hidden_size))
        self.decoder = PatchDecoder(shape)
        self.predictions = nn.Linear(shape.hidden_size, config.num_channels * config.patch_size**2)
        self.post_init()

    @can_return_tuple
    def forward(self, pixel_values: Tensor, hidden: Tensor | None = None, **kwargs) -> PatchesOutput:
        """Input as for `PatchTransformerModel`, and

        Args:
            hidden: (batch, patches) bool, True where a patch is hidden: as many in every row, and not all; none is if
                absent.
        Returns:
            `logits` (batch, patches, patch pixels), and `loss`, the mean squared error of a pixel of hidden patches.
            `hidden_states` and `attentions`, where they are asked for, are those of the encoder.
        Raises:
            ValueError: `hidden` of another shape or type, rows that do not hide as many, or nothing visible.
        """
        patches = self.encoder.embeddings(pixel_values)
        batch, count, _ = patches.shape
        places = None
        if hidden is not None:
            check_hidden(hidden, patches)
            places = visible_places(hidden)
            patches = patches.gather(1, places[..., None].expand(-1, -1, patches.shape[2]))
        body = self.encoder.read(patches, places, **kwargs)
        seen = self.decoder_input(body.last_hidden_state[:, -patches.shape[1] :])
        if places is not None:
            everywhere = self.mask_embedding.to(seen.dtype).expand(batch, count, -1)
            seen = everywhere.scatter(1, places[..., None].expand(-1, -1, seen.shape[2]), seen)
        logits = self.predictions(self.decoder(seen).last_hidden_state)
        loss = None
        if hidden is not None:
            error = (logits.float() - patch_targets(self.config, pixel_values).float()).square()
            loss = mean_of_hidden(error, hidden)
        return PatchesOutput(loss=loss, logits=logits, hidden_states=body.hidden_states, attentions=body.attentions)


def visible_places(hidden: Tensor) -> Tensor:
    """Which patches are read, (batch, visible patches) int64 in their order.

    Args:
        hidden: (batch, patches) bool.
    Raises:
        ValueError: rows that do not hide as many patches, or a row that hides all.
    """
    least, most = (~hidden).sum(dim=1).aminmax()
    if least != most or least == 0:
        raise ValueError(
            f"every picture must show as many patches, and at least one, but they show {int(least)} to {int(most)}: "
            "hide an equal number in each"
        )
    return (~hidden).nonzero()[:, 1].view(len(hidden), -1)

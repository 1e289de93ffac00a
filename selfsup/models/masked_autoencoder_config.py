"""The shape of a masked autoencoder, and which class of which file opens it under each of the Auto classes."""

from huggingface_hub.dataclasses import strict

from .vit_config import PatchTransformerConfig, check_width

AUTO_MAP = {
    "AutoConfig": "masked_autoencoder_config.MaskedAutoencoderConfig",
    "AutoModel": "masked_autoencoder.MaskedAutoencoderModel",
    "AutoModelForImageClassification": "masked_autoencoder.MaskedAutoencoderForImageClassification",
    "AutoModelForPreTraining": "masked_autoencoder.MaskedAutoencoderForPreTraining",
}


@strict
class MaskedAutoencoderConfig(PatchTransformerConfig):
    """Shape of a Transformer on patches, see `PatchTransformerConfig`, and of the decoder that it is pretrained with.

    Args:
        decoder_hidden_size: width of the decoder, which is thrown away after pretraining.
        decoder_num_hidden_layers: its blocks.
        decoder_num_attention_heads: heads of each.
        decoder_intermediate_size: inner width of their feed-forward halves.
        normalise_patches: pixels are guessed as they differ from the mean of their patch, in its standard deviations.
    Source:
        He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners".
    """

    model_type = "selfsup_masked_autoencoder"

    decoder_hidden_size: int = 64
    decoder_num_hidden_layers: int = 2
    decoder_num_attention_heads: int = 4
    decoder_intermediate_size: int = 128
    normalise_patches: bool = False

    def __post_init__(self, **kwargs) -> None:
        check_width(self.decoder_hidden_size, self.decoder_num_attention_heads, self.position_type, before="decoder_")
        if self.decoder_num_hidden_layers < 0 or self.decoder_intermediate_size < 1:
            raise ValueError(
                "decoder_num_hidden_layers must be at least 0 and decoder_intermediate_size at least 1, but "
                f"{self.decoder_num_hidden_layers} and {self.decoder_intermediate_size} came"
            )
        # One checkpoint opens under every head, at people's who have only the files of this folder.
        kwargs.setdefault("auto_map", dict(AUTO_MAP))
        super().__post_init__(**kwargs)

    def decoder_shape(self) -> PatchTransformerConfig:
        """The shape of the decoder: that of the encoder, with sizes of its own, and every patch sees all."""
        shared = ("image_size", "patch_size", "num_channels", "activation", "position_type", "qk_norm", "use_bias",
                  "rope_base", "dropout", "norm_eps", "initializer_range")  # fmt: skip
        own = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        return PatchTransformerConfig(
            **{name: getattr(self, name) for name in shared},
            **{name: getattr(self, f"decoder_{name}") for name in own},
            attn_implementation=self._attn_implementation,
        )

"""The shape of an encoder-decoder, and which class of which file opens it under each of transformers' Auto classes."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

AUTO_MAP = {
    "AutoConfig": "encoder_decoder_config.TextEncoderDecoderConfig",
    "AutoModel": "encoder_decoder.TextEncoderDecoderModel",
    "AutoModelForSeq2SeqLM": "encoder_decoder.TextEncoderDecoderForSeq2SeqLM",
    "AutoModelForMaskedLM": "encoder_decoder.TextEncoderDecoderForMaskedLM",
}


@strict
class TextEncoderDecoderConfig(PreTrainedConfig):
    """Shape of an encoder-decoder: pre-norm blocks without biases, rotary positions, one matrix of embeddings.

    Args:
        vocab_size: number of pieces of the tokenizer, which source and target share; a multiple of 64 is fastest.
        hidden_size: width of the stream between the blocks.
        num_encoder_layers: blocks that read the source.
        num_decoder_layers: blocks that write the target.
        num_attention_heads: heads of each attention; divides `hidden_size`.
        intermediate_size: inner width of the feed-forward halves.
        activation: "gelu", "relu2" (ReLU squared) or "geglu" (GELU that gates; half again as many weights).
        cross_attention: what the blocks of the decoder look at: "last", the end of the encoder; or "layerwise", each
            the output of the encoder's block of its number, which needs as many of them.
        rotary_cross_attention: it also looks by where source and target stand, not only by what stands there; without
            it a small model hardly finds the second of two nouns, and a parallel one tells no places apart.
        copy_gate: a token is guessed from the vocabulary, or copied from the source, as a gate decides.
        parallel: every token of the target sees all of it, and its length is guessed from the source, so that it is
            written in a few rounds and not token by token.
        qk_norm: queries and keys of every head are brought to one length before they meet.
        zero_init_output: blocks start as the identity, since what they add to the stream starts at zero.
        max_position_embeddings: longest source, and longest target, in tokens.
        rope_base: slowest wavelength of rotary positions, divided by 2 pi.
        dropout: share dropped after embeddings, attention weights and all parts of a block, in training.
        norm_eps: added to the variance in layer normalisation.
        initializer_range: standard deviation of fresh weights.
        use_cache: keep keys and values while a target is written, so that every token is read once.
    Source:
        Vaswani et al. 2017, "Attention Is All You Need"; He et al. 2018, "Layer-Wise Coordination between Encoder and
        Decoder for Neural Machine Translation" ("layerwise"); See et al. 2017, "Get To The Point: Summarization with
        Pointer-Generator Networks", section 2.2 (copy gate); Ghazvininejad et al. 2019, "Mask-Predict: Parallel
        Decoding of Conditional Masked Language Models" (parallel).
    """

    model_type = "selfsup_encoder_decoder"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012 - transformers' own form
    attribute_map = {"num_hidden_layers": "num_decoder_layers"}  # noqa: RUF012 - caches ask for it

    # What the shared blocks ask for, and this model does not choose.
    norm_position = "pre"
    position_type = "rotary"
    attention_activation = "softmax"
    use_bias = False

    vocab_size: int = 8192
    hidden_size: int = 256
    num_encoder_layers: int = 3
    num_decoder_layers: int = 3
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    activation: Literal["gelu", "relu2", "geglu"] = "relu2"
    cross_attention: Literal["last", "layerwise"] = "last"
    rotary_cross_attention: bool = True
    copy_gate: bool = False
    parallel: bool = False
    qk_norm: bool = True
    zero_init_output: bool = True
    max_position_embeddings: int = 256
    rope_base: float = 10_000.0
    dropout: float = 0.1
    norm_eps: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    is_encoder_decoder: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    decoder_start_token_id: int | None = None
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs) -> None:
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size must be an even multiple of num_attention_heads, but {self.hidden_size} is not one of "
                f"{self.num_attention_heads}: try hidden_size={64 * self.num_attention_heads}"
            )
        if self.cross_attention == "layerwise" and self.num_encoder_layers != self.num_decoder_layers:
            raise ValueError(
                'cross_attention="layerwise" needs as many blocks on both sides, but there are '
                f'{self.num_encoder_layers} and {self.num_decoder_layers}: make them equal, or choose "last"'
            )
        if self.parallel and self.copy_gate:
            raise ValueError("copy_gate belongs to a model that writes token by token: leave it out, or parallel")
        # One checkpoint opens under every head, at people's who have only the files of this folder.
        kwargs.setdefault("auto_map", dict(AUTO_MAP))
        super().__post_init__(**kwargs)

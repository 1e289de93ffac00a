"""The shape of a text decoder, and which class of which file opens it under each of transformers' Auto classes."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

AUTO_MAP = {
    "AutoConfig": "text_decoder_config.TextDecoderConfig",
    "AutoModel": "text_decoder.TextDecoderModel",
    "AutoModelForCausalLM": "text_decoder.TextDecoderForCausalLM",
    "AutoModelForSequenceClassification": "text_decoder.TextDecoderForSequenceClassification",
}


@strict
class TextDecoderConfig(PreTrainedConfig):
    """Shape of a text decoder: pre-norm blocks without biases, rotary positions.

    Args:
        vocab_size: number of pieces of the tokenizer; a multiple of 64 is fastest.
        hidden_size: width of the stream between the blocks.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads of each block; divides `hidden_size`.
        intermediate_size: inner width of the feed-forward half.
        activation: "gelu", "relu2" (ReLU squared) or "geglu" (GELU that gates; half again as many weights).
        qk_norm: queries and keys of every head are brought to one length before they meet.
        zero_init_output: blocks start as the identity, since what they add to the stream starts at zero.
        logit_cap: scores of the vocabulary are kept below this by cap * tanh(score / cap); null = they are not.
        max_position_embeddings: longest sequence in tokens.
        rope_base: slowest wavelength of rotary positions, divided by 2 pi.
        dropout: share dropped after embeddings, attention weights and both halves of a block, in training.
        norm_eps: added to the variance in layer normalisation.
        initializer_range: standard deviation of fresh weights.
        use_cache: keep keys and values while text is written, so that every token is read once.
    Source:
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; Gemma Team 2024, "Gemma 2",
        section 2 (logit cap); So et al. 2021, "Primer", section 3 (ReLU squared).
    """

    model_type = "selfsup_text_decoder"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012 - transformers' own form

    # What the shared blocks ask for, and a decoder does not choose.
    norm_position = "pre"
    position_type = "rotary"
    attention_activation = "softmax"
    use_bias = False

    vocab_size: int = 8192
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    activation: Literal["gelu", "relu2", "geglu"] = "relu2"
    qk_norm: bool = True
    zero_init_output: bool = True
    logit_cap: float | None = None
    max_position_embeddings: int = 512
    rope_base: float = 10_000.0
    dropout: float = 0.0
    norm_eps: float = 1e-5
    initializer_range: float = 0.02
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs) -> None:
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size must be an even multiple of num_attention_heads, but {self.hidden_size} is not one of "
                f"{self.num_attention_heads}: try hidden_size={64 * self.num_attention_heads}"
            )
        if self.logit_cap is not None and not self.logit_cap > 0:
            raise ValueError(f"logit_cap must be above 0, but {self.logit_cap} came: try 30.0, or null for none")
        # One checkpoint opens under every head, at people's who have only the files of this folder.
        kwargs.setdefault("auto_map", dict(AUTO_MAP))
        super().__post_init__(**kwargs)

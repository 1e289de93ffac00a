"""The shape of a text encoder, and which class of which file opens it under each of transformers' Auto classes."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

AUTO_MAP = {
    "AutoConfig": "text_encoder_config.TextEncoderConfig",
    "AutoModel": "text_encoder.TextEncoderModel",
    "AutoModelForMaskedLM": "text_encoder.TextEncoderForMaskedLM",
    "AutoModelForNextSentencePrediction": "text_encoder.TextEncoderForNextSentencePrediction",
    "AutoModelForPreTraining": "text_encoder.TextEncoderForPreTraining",
    "AutoModelForSequenceClassification": "text_encoder.TextEncoderForSequenceClassification",
    "AutoModelForTokenClassification": "text_encoder.TextEncoderForTokenClassification",
    "AutoModelForQuestionAnswering": "text_encoder.TextEncoderForQuestionAnswering",
}


@strict
class TextEncoderConfig(PreTrainedConfig):
    """Shape of a text encoder.

    Args:
        vocab_size: number of pieces of the tokenizer; a multiple of 64 is fastest.
        hidden_size: width of the stream between the blocks.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads of each block; divides `hidden_size`.
        intermediate_size: inner width of the feed-forward half.
        activation: "gelu", "relu2" (ReLU squared) or "geglu" (GELU that gates; half again as many weights).
        position_type: "rotary" (queries and keys turned), "learned" or "sinusoidal" (added to the embeddings), or
            "alibi" (scores fall with distance, alike in both directions).
        sliding_window: tokens that a token sees on each side of itself (16: 33 in all, as transformers counts); null =
            all. Under sdpa and eager it changes what is seen, not the cost: hidden scores are computed all the same.
        sliding_layers: blocks with the window: "all", or "alternating" (first, third, fifth …; the others see all).
        attention_activation: makes weights of scores: "softmax", "relu" (divided by n, the number of visible keys) or
            "sigmoid" (of score - ln n); the last two keep all scores in memory under any attn_implementation.
        norm_position: "pre" (the input of each half of a block is normalised, and the output) or "post" (each sum is).
        qk_norm: queries and keys of every head are brought to one length before they meet.
        use_bias: biases in all linear layers and norms. The classical BERT is norm_position "post" with use_bias,
            position_type "learned" and norm_eps 1e-12.
        mark_shared: the tokens of a pair that stand in both segments are marked where the stream starts. A small
            encoder hardly learns from running text to look a question's words up in a passage, and this does it.
        pooling: what tells the class of a sequence: its "first" token, the "mean" of all, or of a pair the means of
            both "segments", their difference and product.
        max_position_embeddings: longest sequence in tokens.
        rope_base: slowest wavelength of rotary and sinusoidal positions, divided by 2 pi.
        type_vocab_size: number of segments that can be told apart.
        dropout: share dropped after embeddings, attention weights and both halves of a block, in training.
        norm_eps: added to the variance in layer normalisation.
        initializer_range: standard deviation of fresh weights.
    """

    model_type = "selfsup_text_encoder"

    vocab_size: int = 8192
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    activation: Literal["gelu", "relu2", "geglu"] = "gelu"
    position_type: Literal["rotary", "learned", "sinusoidal", "alibi"] = "rotary"
    sliding_window: int | None = None
    sliding_layers: Literal["all", "alternating"] = "all"
    attention_activation: Literal["softmax", "relu", "sigmoid"] = "softmax"
    norm_position: Literal["pre", "post"] = "pre"
    qk_norm: bool = False
    use_bias: bool = False
    mark_shared: bool = False
    pooling: Literal["first", "mean", "segments"] = "mean"
    max_position_embeddings: int = 512
    rope_base: float = 10_000.0
    type_vocab_size: int = 2
    dropout: float = 0.0
    norm_eps: float = 1e-5
    initializer_range: float = 0.02
    pad_token_id: int | None = 0
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs) -> None:
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size must be an even multiple of num_attention_heads, but {self.hidden_size} is not one of "
                f"{self.num_attention_heads}: try hidden_size={64 * self.num_attention_heads}"
            )
        if self.sliding_window is not None and self.sliding_window < 1:
            raise ValueError(
                f"sliding_window must be at least 1, but {self.sliding_window} came: try 64, or null for none"
            )
        if self.sliding_window is None and self.sliding_layers != "all":
            raise ValueError('sliding_layers="alternating" needs a window, but there is none: set sliding_window')
        # One checkpoint opens under every head, at people's who have only the files of this folder.
        kwargs.setdefault("auto_map", dict(AUTO_MAP))
        super().__post_init__(**kwargs)

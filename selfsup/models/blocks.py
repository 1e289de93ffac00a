"""The Transformer block, normalised before or after its halves, and its feed-forward half."""

import torch
from torch import Tensor, nn
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import CrossAttention, SelfAttention
from .dropout import Dropout


class FeedForward(nn.Module):
    """Two matrices with a non-linearity between them: GELU, ReLU squared, or GELU that gates a second half.

    Source:
        Hendrycks & Gimpel 2016 (GELU); So et al. 2021, "Primer", section 3 (ReLU squared);
        Shazeer 2020, "GLU Variants Improve Transformer", equation 6 (GeGLU).
    """

    def __init__(self, config) -> None:
        super().__init__()
        self.activation = config.activation
        gates = 2 if config.activation == "geglu" else 1
        self.input = nn.Linear(config.hidden_size, gates * config.intermediate_size, bias=config.use_bias)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.use_bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, tokens, hidden) -> (batch, tokens, hidden)."""
        return self.output(self.between(self.input(hidden)))

    def between(self, inner: Tensor) -> Tensor:
        """(…, inner width, twice where it is gated) -> (…, inner width)."""
        if self.activation == "geglu":
            inner, gate = inner.chunk(2, dim=-1)
            return nn.functional.gelu(inner) * gate
        if self.activation == "relu2":
            return nn.functional.relu(inner).square()
        return nn.functional.gelu(inner)


class Block(GradientCheckpointingLayer):
    """Attention, then feed-forward, each added to the stream.

    Either what goes into each half is normalised and the stream is not (pre-norm), or the stream is, after each
    addition (post-norm, as in BERT; it needs a longer warm-up).

    Args:
        config: of the model.
        layer_index: number of the block in a decoder, see `SelfAttention`.
    Source:
        Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture", figure 1.
    """

    def __init__(self, config, layer_index: int | None = None) -> None:
        super().__init__()
        self.norm_position = config.norm_position
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.use_bias)
        self.attention = SelfAttention(config, layer_index)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.use_bias)
        self.feed_forward = FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
        **kwargs: object,
    ) -> Tensor:
        """(batch, tokens, hidden) -> (batch, tokens, hidden); the other arguments go to `SelfAttention`."""
        if self.norm_position == "post":
            mixed, _ = self.attention(hidden, attention_mask, rotation, **kwargs)
            hidden = self.attention_norm(hidden + self.dropout(mixed))
            return self.feed_forward_norm(hidden + self.dropout(self.feed_forward(hidden)))
        mixed, _ = self.attention(self.attention_norm(hidden), attention_mask, rotation, **kwargs)
        hidden = hidden + self.dropout(mixed)
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))


class CrossBlock(GradientCheckpointingLayer):
    """Attention to the target itself, then to its source, then feed-forward; each normalised before, and added.

    Args:
        config: of the model; `parallel` lets every token see all of the target.
        layer_index: number of the block, see `SelfAttention`.
    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.1.
    """

    def __init__(self, config, layer_index: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.use_bias)
        self.attention = SelfAttention(config, None if config.parallel else layer_index)
        self.cross_attention_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.use_bias)
        self.cross_attention = CrossAttention(config, layer_index)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.use_bias)
        self.feed_forward = FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        hidden: Tensor,
        source: Tensor,
        attention_mask: Tensor | None = None,
        source_mask: Tensor | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
        source_rotation: tuple[Tensor, Tensor] | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        **kwargs: object,
    ) -> Tensor:
        """(batch, tokens, hidden) and the source (batch, source tokens, hidden) -> (batch, tokens, hidden); the other
        arguments go to `SelfAttention` and `CrossAttention`."""
        own = None if past_key_values is None else past_key_values.self_attention_cache
        mixed, _ = self.attention(self.attention_norm(hidden), attention_mask, rotation, own, **kwargs)
        hidden = hidden + self.dropout(mixed)
        mixed, _ = self.cross_attention(
            self.cross_attention_norm(hidden), source, source_mask, rotation, source_rotation, past_key_values, **kwargs
        )
        hidden = hidden + self.dropout(mixed)
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))


def narrows(hidden: Tensor) -> bool:
    """Whether autocast computes with this in bfloat16; float64 it leaves alone, and float16 overflows in sums."""
    kind = hidden.device.type
    if hidden.dtype != torch.float32 or not torch.amp.is_autocast_available(kind):
        return False
    return torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16

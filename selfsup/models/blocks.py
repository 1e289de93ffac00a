"""The pre-norm Transformer block without biases, and its feed-forward halves."""

from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import SelfAttention


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
        self.input = nn.Linear(config.hidden_size, gates * config.intermediate_size, bias=False)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, tokens, hidden) -> (batch, tokens, hidden)."""
        inner = self.input(hidden)
        if self.activation == "geglu":
            inner, gate = inner.chunk(2, dim=-1)
            return self.output(nn.functional.gelu(inner) * gate)
        if self.activation == "relu2":
            return self.output(nn.functional.relu(inner).square())
        return self.output(nn.functional.gelu(inner))


class Block(GradientCheckpointingLayer):
    """Attention, then feed-forward, each normalised before and added after.

    Source:
        Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture" (pre-norm).
    """

    def __init__(self, config) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=False)
        self.attention = SelfAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=False)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
        **kwargs: object,
    ) -> Tensor:
        """(batch, tokens, hidden) -> (batch, tokens, hidden); the other arguments go to `SelfAttention`."""
        mixed, _ = self.attention(self.attention_norm(hidden), attention_mask, rotation, **kwargs)
        hidden = hidden + self.dropout(mixed)
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))

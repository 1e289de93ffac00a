"""Multi-head self-attention on top of transformers' attention interface."""

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .positions import rotate


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: object,
) -> tuple[Tensor, Tensor]:
    """Attention written out, for those who want to see the weights.

    Args:
        module: the calling layer; says whether it is in training.
        query: (batch, heads, tokens, head_size); key and value likewise.
        attention_mask: (batch, 1, tokens, tokens) added to the scores, or None.
        scaling: factor of the scores, usually head_size ** -0.5.
        dropout: share of the weights to drop in training.
    Returns:
        (batch, tokens, heads, head_size) and the weights (batch, heads, tokens, tokens).
    """
    scores = query @ key.transpose(-1, -2) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.dropout(scores.softmax(dim=-1), p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2), weights


class SelfAttention(nn.Module):
    """Every token looks at every token of its sequence, with several heads at once.

    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.
    """

    is_causal = False  # transformers' SDPA takes a layer without this flag for a decoder

    def __init__(self, config) -> None:
        super().__init__()
        self.config = config
        self.head_size = config.hidden_size // config.num_attention_heads
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.output = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor | None]:
        """
        Args:
            hidden: (batch, tokens, hidden).
            attention_mask: as `transformers.masking_utils` makes it for the chosen implementation.
            rotation: cosine and sine of rotary positions, or None.
        Returns:
            (batch, tokens, hidden) and, where the implementation has them, the weights
            (batch, heads, tokens, tokens).
        """
        batch, tokens, _ = hidden.shape
        parts = self.query_key_value(hidden).view(batch, tokens, 3, -1, self.head_size)
        query, key, value = parts.transpose(1, 3).unbind(dim=2)  # each (batch, heads, tokens, head_size)
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        mixed, weights = attend(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.config.dropout if self.training else 0.0,
            scaling=self.head_size**-0.5,
            **kwargs,
        )
        return self.output(mixed.reshape(batch, tokens, -1)), weights


def sequence_mask(sequence_ids: Tensor):
    """A mask function that keeps attention inside each of the sequences packed into a row.

    Args:
        sequence_ids: (batch, tokens) int64; which sequence of its row a token belongs to, 0 for padding.
    Returns:
        a function of (batch, head, query, key) indices, for `create_bidirectional_mask(and_mask_function=…)`.
    """

    def same_sequence(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return sequence_ids[batch, query] == sequence_ids[batch, key]

    return same_sequence


def as_sequences(attention_mask: Tensor | None, sequence_ids: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Padding is a sequence of its own: with `sequence_ids` there is no need of a padding mask.

    A row without any visible key would divide zero by zero in softmax; padding that sees padding does not.
    """
    if sequence_ids is None:
        return attention_mask, None
    if attention_mask is not None:
        sequence_ids = torch.where(attention_mask.bool(), sequence_ids, 0)
    return None, sequence_ids

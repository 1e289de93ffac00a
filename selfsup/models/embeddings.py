"""Where the stream of an encoder starts: tokens, segments and, where they are added, positions."""

from torch import Tensor, nn

from .dropout import Dropout
from .positions import sinusoids

COMPARED = 4  # numbers of an embedding that tell tokens apart: equal ones by chance are rarer than one in 2 ** 24


class Embeddings(nn.Module):
    """Token + segment (+ mark, + position) embeddings, normalised."""

    def __init__(self, config) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.segments = nn.Embedding(config.type_vocab_size, config.hidden_size)
        if config.mark_shared:
            self.marks = nn.Embedding(2, config.hidden_size)
        if config.position_type == "learned":
            self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.use_bias)
        self.dropout = Dropout(config.dropout)

    def forward(
        self, embeds: Tensor, token_type_ids: Tensor, position_ids: Tensor, sequence_ids: Tensor | None = None
    ) -> Tensor:
        """(batch, tokens, hidden) token embeddings and (batch, tokens) id tensors -> (batch, tokens, hidden)."""
        stream = embeds + self.segments(token_type_ids)
        if self.config.mark_shared:
            stream = stream + self.marks(shared_tokens(embeds, token_type_ids, sequence_ids).long())
        if self.config.position_type == "learned":
            stream = stream + self.positions(position_ids)
        if self.config.position_type == "sinusoidal":
            # Sinusoids have entries near 1; fresh embeddings near 0.02 would drown in them.
            fixed = sinusoids(position_ids, self.config.hidden_size, self.config.rope_base)
            stream = stream + fixed.to(stream.dtype) * self.config.initializer_range
        return self.dropout(self.norm(stream))


def shared_tokens(embeds: Tensor, token_type_ids: Tensor, sequence_ids: Tensor | None = None) -> Tensor:
    """Which tokens also stand in the other segment of their sequence.

    Args:
        embeds: (batch, tokens, hidden) token embeddings; two tokens are the same if their first numbers are, so that it
            is known too where a model is asked about embeddings, as explanations do.
        token_type_ids: (batch, tokens) int64, the segment of each.
        sequence_ids: (batch, tokens) int64, where several sequences share a row.
    Returns:
        (batch, tokens) bool.
    Source:
        Chen et al. 2017, "Reading Wikipedia to Answer Open-Domain Questions", section 3.2 (the exact match).
    """
    first = embeds.detach()[..., :COMPARED]
    met = token_type_ids[:, :, None] != token_type_ids[:, None, :]
    if sequence_ids is not None:
        met = met & (sequence_ids[:, :, None] == sequence_ids[:, None, :])
    return (met & (first[:, :, None] == first[:, None, :]).all(dim=-1)).any(dim=-1)

"""Where the stream of an encoder starts: tokens, segments and, where they are added, positions."""

from torch import Tensor, nn

from .positions import sinusoids


class Embeddings(nn.Module):
    """Token + segment (+ position) embeddings, normalised."""

    def __init__(self, config) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.segments = nn.Embedding(config.type_vocab_size, config.hidden_size)
        if config.position_type == "learned":
            self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.use_bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, embeds: Tensor, token_type_ids: Tensor, position_ids: Tensor) -> Tensor:
        """(batch, tokens, hidden) token embeddings and two (batch, tokens) id tensors -> (batch, tokens, hidden)."""
        embeds = embeds + self.segments(token_type_ids)
        if self.config.position_type == "learned":
            embeds = embeds + self.positions(position_ids)
        if self.config.position_type == "sinusoidal":
            # Sinusoids have entries near 1; fresh embeddings near 0.02 would drown in them.
            fixed = sinusoids(position_ids, self.config.hidden_size, self.config.rope_base)
            embeds = embeds + fixed.to(embeds.dtype) * self.config.initializer_range
        return self.dropout(self.norm(embeds))

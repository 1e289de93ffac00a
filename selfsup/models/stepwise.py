"""A decoder that writes one token a row at a time, with as little Python between the matrix products as can be."""

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from .attention import unit
from .positions import rotation


def is_plain(cache: Cache | None) -> bool:
    """Whether nothing but `generate` itself holds this cache, it is empty, and grows with every token."""
    if type(cache) is not DynamicCache or getattr(cache, "_is_user_defined", False) or cache.get_seq_length():
        return False
    return not cache.offloading and all(type(layer) is DynamicLayer for layer in cache.layers)


class Stepwise:
    """Reads one more token of every row, and says what may follow.

    Keys and values lie in memory that is taken once for the whole text, rotations are looked up, and a mask is made
    where rows are padded alone; else it computes what `TextDecoderForCausalLM` does, with its modules.

    Args:
        model: `TextDecoderForCausalLM`, in evaluation mode.
        cache: of the tokens read so far, by all blocks.
        room: tokens that a row will have at most, those read so far included.
        attention_mask: (batch, tokens read so far), 0 for padding; or None.
    """

    def __init__(self, model, cache: DynamicCache, room: int, attention_mask: Tensor | None) -> None:
        self.model, self.body = model, model.decoder
        self.read = cache.get_seq_length()
        self.kept = []
        for layer in cache.layers:
            batch, heads, _, size = layer.keys.shape
            both = layer.keys.new_empty(2, batch, heads, room, size)
            both[0, :, :, : self.read], both[1, :, :, : self.read] = layer.keys, layer.values
            self.kept.append((both[0], both[1]))
        device, self.padding = cache.layers[0].keys.device, None
        self.positions = torch.full((batch,), self.read, device=device)
        if attention_mask is not None and not attention_mask.all():
            self.padding = torch.ones(batch, 1, 1, room, dtype=torch.bool, device=device)
            self.padding[:, 0, 0, : self.read] = attention_mask.bool()
            self.positions = attention_mask.sum(dim=-1)
        cosine, sine = rotation(torch.arange(room, device=device)[None], size, model.config.rope_base)
        sine = torch.cat((-sine[..., : size // 2], sine[..., size // 2 :]), dim=-1)  # as `rotate`, with one copy less
        self.cosine, self.sine = (turns[0, 0].to(layer.keys.dtype) for turns in (cosine, sine))

    def __call__(self, ids: Tensor) -> Tensor:
        """(batch) int64, the next token of each row -> (batch, vocab) scores of those after it."""
        body, place = self.body, self.read
        self.read += 1
        turns = self._turns(place)
        mask = None if self.padding is None else self.padding[..., : self.read]
        hidden = body.embeddings_norm(body.embeddings(ids))
        for block, (keys, values) in zip(body.blocks, self.kept, strict=True):
            attention = block.attention
            mixed = self._attend(attention, block.attention_norm(hidden), turns, keys, values, mask)
            hidden = hidden + attention.output(mixed)
            hidden = hidden + block.feed_forward(block.feed_forward_norm(hidden))
        return self.model.score(body.norm(hidden))

    def _attend(self, attention, hidden, turns, keys, values, mask) -> Tensor:
        batch, place = len(hidden), self.read - 1
        pair, value = (
            attention.query_key_value(hidden).view(batch, 3, -1, attention.head_size).split((2, 1), dim=1)
        )  # queries and keys are turned together
        if attention.config.qk_norm:
            query, key = pair.unbind(dim=1)
            pair = torch.stack((unit(attention.query_norm, query), unit(attention.key_norm, key)), dim=1)
        cosine, sine = turns
        query, key = (pair * cosine + pair.roll(attention.head_size // 2, dims=-1) * sine).unbind(dim=1)
        keys[:, :, place], values[:, :, place] = key, value[:, 0]
        mixed = nn.functional.scaled_dot_product_attention(
            query[:, :, None], keys[:, :, : self.read], values[:, :, : self.read], attn_mask=mask
        )
        return mixed.reshape(batch, -1)

    def _turns(self, place: int) -> tuple[Tensor, Tensor]:
        """Of the tokens that stand at this place, each (batch or 1, 1, 1, head_size)."""
        if self.padding is None:
            return self.cosine[place], self.sine[place]
        cosine, sine = (turns[self.positions][:, None, None] for turns in (self.cosine, self.sine))
        self.positions = self.positions + 1
        return cosine, sine

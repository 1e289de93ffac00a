"""A decoder that writes one token a row at a time, with as little Python between the matrix products as can be."""

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache, DynamicLayer

from .positions import rotation


def is_plain(cache: object) -> bool:
    """Whether nothing but `generate` itself holds this cache, it is empty, and grows with every token."""
    if not isinstance(cache, DynamicCache) or getattr(cache, "_is_user_defined", False) or cache.get_seq_length():
        return False
    return (
        type(cache) is DynamicCache and not cache.offloading and all(type(one) is DynamicLayer for one in cache.layers)
    )


class Stepwise:
    """Reads one more token of every row, and says what may follow.

    It computes what `TextDecoderForCausalLM` does with its modules, to rounding. Keys and values lie in memory that is
    taken once for the whole text; rotations, with the scales of the norms of queries and keys and of the scores in
    them, are looked up; a mask is made only where rows are padded.

    Args:
        model: `TextDecoderForCausalLM`, in evaluation mode.
        cache: of the tokens read so far, by all blocks.
        room: tokens that a row will have at most, those read so far included.
        attention_mask: (batch, tokens read so far), 0 for padding; or None.
    """

    def __init__(self, model, cache: DynamicCache, room: int, attention_mask: Tensor | None) -> None:
        self.model, self.body, self.read = model, model.decoder, cache.get_seq_length()
        first = cache.layers[0].keys
        batch, heads, _, size = first.shape
        self.kept = [(self._spread(layer.keys, room), self._spread(layer.values, room)) for layer in cache.layers]
        self.positions, self.hidden = torch.full((batch,), self.read, device=first.device), None
        if attention_mask is not None and not attention_mask.all():
            self.positions = attention_mask.sum(dim=-1)
            self.hidden = torch.zeros(batch * heads, 1, room, dtype=torch.bool, device=first.device)
            self.hidden[..., : self.read] = ~attention_mask.bool().repeat_interleave(heads, dim=0)[:, None]
        turns = rotation(torch.arange(room, device=first.device)[None], size, model.config.rope_base)
        self.turns = [self._scaled(block.attention, *turns) for block in self.body.blocks]
        # On a CPU a bfloat16 matrix times a vector was faster, in a probe by hand, than times a matrix of one row.
        self.by_vector = batch == 1 and first.device.type == "cpu" and first.dtype == torch.bfloat16

    def __call__(self, ids: Tensor) -> Tensor:
        """(batch) int64, the next token of each row -> (batch, vocab) scores of those after it."""
        body, product = self.body, self._product
        self.read += 1
        hidden = body.embeddings_norm(body.embeddings(ids))
        for block, kept, turns in zip(body.blocks, self.kept, self.turns, strict=True):
            attention, feed_forward = block.attention, block.feed_forward
            mixed = self._attend(
                attention, product(attention.query_key_value, block.attention_norm(hidden)), kept, turns
            )
            hidden = hidden + product(attention.output, mixed)
            inner = feed_forward.between(product(feed_forward.input, block.feed_forward_norm(hidden)))
            hidden = hidden + product(feed_forward.output, inner)
        self.positions = self.positions + 1
        return self.model.cap(product(self.model.lm_head, body.norm(hidden)))

    def _attend(self, attention, parts: Tensor, kept: tuple[Tensor, Tensor], turns: tuple[Tensor, Tensor]) -> Tensor:
        """(batch, 3 * hidden) queries, keys and values of one token a row -> (batch, hidden)."""
        batch, size, (keys, values) = len(parts), attention.head_size, kept
        parts = parts.view(batch, 3, -1, size)
        pair = parts[:, :2]
        if attention.config.qk_norm:
            wide = pair.to(torch.promote_types(pair.dtype, torch.float32))
            length = (wide * wide).mean(dim=-1, keepdim=True).add_(attention.query_norm.eps).rsqrt_()
            pair = (wide * length).to(parts.dtype)
        if self.hidden is None:
            cosine, sine = turns[0][self.read - 1], turns[1][self.read - 1]
        else:
            cosine, sine = turns[0][self.positions], turns[1][self.positions]
        query, key = (pair * cosine + pair.roll(size // 2, dims=-1) * sine).unbind(dim=1)
        keys.select(1, self.read - 1).copy_(key.reshape(-1, size))
        values.select(1, self.read - 1).copy_(parts[:, 2].reshape(-1, size))
        scores = torch.bmm(query.reshape(-1, 1, size), keys.narrow(1, 0, self.read).transpose(1, 2))
        if self.hidden is not None:
            scores = scores.masked_fill(self.hidden[..., : self.read], torch.finfo(scores.dtype).min)
        return torch.bmm(scores.softmax(dim=-1), values.narrow(1, 0, self.read)).view(batch, -1)

    def _product(self, layer: nn.Module, hidden: Tensor) -> Tensor:
        if self.by_vector and type(layer) is nn.Linear and layer.bias is None:
            return torch.mv(layer.weight, hidden[0])[None]
        return layer(hidden)

    def _spread(self, seen: Tensor, room: int) -> Tensor:
        """(batch, heads, tokens, head_size) -> (batch * heads, room, head_size), with room for what is to come."""
        spread = seen.new_zeros(seen.shape[0] * seen.shape[1], room, seen.shape[3])
        spread[:, : self.read] = seen.flatten(0, 1)
        return spread

    @staticmethod
    def _scaled(attention, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
        """Each (room, 2, 1, head_size): factors of queries and keys, and of their halves that changed places, see
        `rotate`."""
        size = attention.head_size
        scale = torch.ones(2, 1, size, device=cosine.device)
        if attention.config.qk_norm:
            scale = torch.stack((attention.query_norm.weight, attention.key_norm.weight))[:, None].float()
        scale = scale * torch.tensor([size**-0.5, 1.0], device=cosine.device)[:, None, None]
        sine = torch.cat((-sine[..., : size // 2], sine[..., size // 2 :]), dim=-1)
        kind = attention.query_key_value.weight.dtype
        turned = (cosine[0, 0, :, None, None] * scale, sine[0, 0, :, None, None] * scale.roll(size // 2, dims=-1))
        return turned[0].to(kind), turned[1].to(kind)

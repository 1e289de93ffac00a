"""What may follow, step by step, for all beams of the sentences of a batch: of our models, and of any."""

from collections.abc import Sequence
from inspect import signature
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear, logsigmoid, scaled_dot_product_attention
from transformers import Cache, EncoderDecoderCache, PreTrainedModel

from selfsup.models.copying import before
from selfsup.models.encoder_decoder import TextEncoderDecoderForSeq2SeqLM
from selfsup.models.positions import rotation

FIRST_ROOM = 32  # tokens for which there is memory at first, of each beam; it is doubled where texts become longer


class Steps(Protocol):
    """A batch of sentences that are being written, several beams of each."""

    def first(self) -> Tensor:
        """(sentences, vocab): what follows the beginning, which all beams share."""

    def next(self, tokens: Tensor, parents: Tensor) -> Tensor:
        """What follows one more token of every beam.

        Args:
            tokens: (sentences, beams) int64, the new ones.
            parents: (sentences, beams) int64, which beam of its sentence each of them continues.
        Returns:
            (sentences * beams, vocab), in the type of the model.
        """

    def keep(self, order: Tensor) -> None:
        """Go on with these sentences alone: (fewer) int64, where they stand now. The first ones stay in their places
        where they can, see `closed_ranks`."""


def closed_ranks(alive: Tensor) -> Tensor:
    """Who stands where once those who are done have left, and the last have taken their places.

    Args:
        alive: (sentences) bool.
    Returns:
        (alive ones) int64.
    Example:
        >>> closed_ranks(torch.tensor([True, False, True, True]))
        tensor([0, 3, 2])
    """
    number = int(alive.sum())
    order = torch.arange(number, device=alive.device)
    order[~alive[:number]] = number + alive[number:].nonzero().squeeze(1)
    return order


def steps_of(
    model: PreTrainedModel, source_ids: Tensor, source_mask: Tensor | None, begin: Tensor, *, beams: int, room: int
) -> Steps:
    """The fastest steps for a model.

    Args:
        model: that `generate` takes, in evaluation mode.
        source_ids: (sentences, source tokens) int64; of a causal model the prompts, with padding on their left.
        source_mask: (sentences, source tokens), 0 for padding; or None.
        begin: (sentences, tokens) int64, what an encoder-decoder has been told of the target; no token for a causal
            model.
        beams: of a sentence.
        room: tokens that are written at most.
    """
    if isinstance(model, TextEncoderDecoderForSeq2SeqLM):
        return PairSteps(model, source_ids, source_mask, begin, beams=beams, room=room)
    return CachedSteps(model, source_ids, source_mask, begin, beams=beams)


class PairSteps:
    """Of our encoder-decoder, to rounding what `TextEncoderDecoderForSeq2SeqLM` computes with its modules.

    Beams are rows of queries. Keys and values of a source are computed once for its sentence and never repeated. Those
    of the target lie where they were written and are never put in another order: a mask says which of them are
    ancestors of a beam. That multiplies what attention computes by the number of beams, but it is small beside the
    matrices of the blocks, and all beams of a sentence go through one product. Memory is doubled when it is full, since
    few texts need all of the room.

    Args:
        model: in evaluation mode; the rest as for `steps_of`.
    """

    def __init__(
        self,
        model: TextEncoderDecoderForSeq2SeqLM,
        source_ids: Tensor,
        source_mask: Tensor | None,
        begin: Tensor,
        *,
        beams: int,
        room: int,
    ) -> None:
        self.model, self.body, self.begin, self.beams = model, model.model.decoder, begin, beams
        self.blocks: list[Any] = list(self.body.blocks)
        config, device, kind = model.config, source_ids.device, model.lm_head.weight.dtype
        self.sentences, self.read, self.columns = len(source_ids), 0, 0
        self.heads, self.size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
        encoded = model.model.encoder(source_ids, source_mask)
        source, levels = encoded.last_hidden_state, encoded.levels
        self.room, self.most = min(FIRST_ROOM, max(0, room - 1)), max(0, room - 1)  # the last token is not read
        columns = begin.shape[1] + beams * self.room
        self.kept = [
            [torch.empty(self.sentences, self.heads, columns, self.size, dtype=kind, device=device) for _ in range(2)]
            for _ in self.blocks
        ]
        self.visible = torch.zeros(self.sentences, 1, beams, columns, dtype=torch.bool, device=device)
        self.visible[..., : begin.shape[1]] = True
        self.own = torch.eye(beams, dtype=torch.bool, device=device)
        self.source_visible = None
        if source_mask is not None and not source_mask.all():
            self.source_visible = source_mask.bool()[:, None, None]
        positions = torch.arange(max(source_ids.shape[1], begin.shape[1] + room), device=device)[None]
        turns = rotation(positions, self.size, config.rope_base)
        source_turns = None
        if config.rotary_cross_attention:
            source_turns = [part[:, :, : source_ids.shape[1]] for part in turns]
        self.sources = [
            list(block.cross_attention.keys_and_values(source if levels is None else levels[:, number], source_turns))
            for number, block in enumerate(self.blocks)
        ]
        self.turns = [self._scaled(block.attention, ("query_norm", "key_norm"), turns) for block in self.blocks]
        crossing = turns if config.rotary_cross_attention else None
        self.cross_turns = [self._scaled(block.cross_attention, ("query_norm",), crossing) for block in self.blocks]
        if config.copy_gate:
            self.copied = [
                source,
                model.copy.key(source),
                source_ids,
                before(source_ids, source_mask),
                source_ids[:, :, None] == source_ids[:, None],
            ]

    def first(self) -> Tensor:
        for column in self.begin.unbind(dim=1)[:-1]:
            self._read(column[:, None], scored=False)
        return self._read(self.begin[:, -1:])

    def next(self, tokens: Tensor, parents: Tensor) -> Tensor:
        if self.columns == self.visible.shape[-1]:
            self._grow()
        seen = self.visible[: self.sentences, :, :, : self.columns]
        seen.copy_(seen.gather(2, parents[:, None, :, None].expand_as(seen)))
        self.visible[: self.sentences, :, :, self.columns : self.columns + self.beams] = self.own
        return self._read(tokens)

    def keep(self, order: Tensor) -> None:
        holes = (order != torch.arange(len(order), device=order.device)).nonzero().squeeze(1)
        last = order[holes]
        for keys_or_values in (part for pair in self.kept for part in pair):
            if len(holes):
                written = keys_or_values.narrow(2, 0, self.columns)
                written[holes] = written[last]
        self.sentences = len(order)
        alike = [*self.sources, *([self.copied] if self.model.config.copy_gate else [])]
        for parts in alike:
            parts[:] = self._closed(parts, holes, last)
        (self.visible,) = self._closed([self.visible], holes, last)
        if self.source_visible is not None:
            (self.source_visible,) = self._closed([self.source_visible], holes, last)

    def _grow(self) -> None:
        """Twice the memory, or as much as is ever needed, for the sentences that are left."""
        wider = min(2 * self.room, self.most)
        more, self.room = self.beams * (wider - self.room), wider
        for pair in self.kept:
            pair[:] = [self._wider(part, dim=2, more=more) for part in pair]
        self.visible = self._wider(self.visible, dim=3, more=more)

    def _wider(self, part: Tensor, *, dim: int, more: int) -> Tensor:
        part = part[: self.sentences]
        shape = [*part.shape]
        shape[dim] = more
        return torch.cat([part, part.new_zeros(shape)], dim=dim)

    def _closed(self, parts: Sequence[Tensor], holes: Tensor, last: Tensor) -> list[Tensor]:
        for part in parts:
            if len(holes):
                part[holes] = part[last]
        return [part[: self.sentences] for part in parts]

    def _read(self, tokens: Tensor, scored: bool = True) -> Tensor:
        """(sentences, beams, or 1 for what all share) int64 -> (sentences * beams, vocab) if they are wanted."""
        beams = tokens.shape[1]
        body, until = self.body, self.columns + beams
        visible = (
            None if beams == 1 and self.columns < self.begin.shape[1] else self.visible[: self.sentences, ..., :until]
        )
        hidden = body.embeddings_norm(body.embeddings(tokens.reshape(-1)))
        for number, block in enumerate(self.blocks):
            mixed = self._attend(number, block.attention, block.attention_norm(hidden), visible, until)
            hidden = hidden + linear(mixed, block.attention.output.weight)
            mixed = self._look(number, block.cross_attention, block.cross_attention_norm(hidden))
            hidden = hidden + linear(mixed, block.cross_attention.output.weight)
            hidden = hidden + block.feed_forward(block.feed_forward_norm(hidden))
        self.columns, self.read = until, self.read + 1
        if not scored:
            return hidden
        hidden = body.norm(hidden)
        scores = linear(hidden, self.model.lm_head.weight)
        return self._copy(hidden, tokens, scores) if self.model.config.copy_gate else scores

    def _attend(self, number: int, attention, hidden: Tensor, visible: Tensor | None, until: int) -> Tensor:
        """(rows, hidden) -> (rows, hidden): each beam looks at its ancestors."""
        parts = linear(hidden, attention.query_key_value.weight)
        parts = parts.view(self.sentences, -1, 3, self.heads, self.size)
        turned = self._turn(parts[:, :, :2], self.turns[number]).permute(2, 0, 3, 1, 4)
        keys, values = (part[: self.sentences, :, :until] for part in self.kept[number])
        keys[:, :, self.columns :] = turned[1]
        values[:, :, self.columns :] = parts[:, :, 2].transpose(1, 2)
        mixed = scaled_dot_product_attention(turned[0], keys, values, attn_mask=visible, scale=1.0)
        return mixed.transpose(1, 2).reshape(len(hidden), -1)

    def _look(self, number: int, attention, hidden: Tensor) -> Tensor:
        """(rows, hidden) -> (rows, hidden): all beams look at the source of their sentence."""
        query = linear(hidden, attention.query.weight).view(self.sentences, -1, 1, self.heads, self.size)
        query = self._turn(query, self.cross_turns[number]).squeeze(2).transpose(1, 2)
        keys, values = self.sources[number]
        mixed = scaled_dot_product_attention(query, keys, values, attn_mask=self.source_visible, scale=1.0)
        return mixed.transpose(1, 2).reshape(len(hidden), -1)

    def _turn(self, parts: Tensor, turns: tuple[Tensor, Tensor | None]) -> Tensor:
        """(sentences, beams, kinds, heads, head_size), to one length where the model does that, scaled and turned."""
        if self.model.config.qk_norm:
            wide = parts.to(torch.promote_types(parts.dtype, torch.float32))
            length = (wide * wide).mean(dim=-1, keepdim=True).add_(self.model.config.norm_eps).rsqrt_()
            parts = (wide * length).to(parts.dtype)
        cosine, sine = turns
        if sine is None:
            return parts * cosine
        return parts * cosine[self.read] + parts.roll(self.size // 2, dims=-1) * sine[self.read]

    def _scaled(self, attention, norms: Sequence[str], turns) -> tuple[Tensor, Tensor | None]:
        """Factors, each ([positions,] kinds, 1, head_size), of queries and perhaps keys, and of their halves that
        changed places, see `rotate`; scales of norms and of scores are in them."""
        size, device = self.size, attention.output.weight.device
        scale = torch.ones(len(norms), 1, size, device=device)
        if attention.config.qk_norm:
            scale = torch.stack([getattr(attention, norm).weight for norm in norms])[:, None].float()
        scale = scale * torch.tensor([size**-0.5, 1.0], device=device)[: len(norms), None, None]
        kind = attention.output.weight.dtype
        if turns is None:
            return scale.to(kind), None
        cosine, sine = (part[0, 0, :, None, None] for part in turns)
        sine = torch.cat((-sine[..., : size // 2], sine[..., size // 2 :]), dim=-1)
        return (cosine * scale).to(kind), (sine * scale.roll(size // 2, dims=-1)).to(kind)

    def _copy(self, hidden: Tensor, written: Tensor, scores: Tensor) -> Tensor:
        """As `CopyGate`, but what cannot be copied is left alone: (rows, hidden), (sentences, beams) int64 and
        (rows, vocab) -> (rows, vocab)."""
        source, keys, ids, earlier, alike = self.copied
        hidden = hidden.view(self.sentences, -1, hidden.shape[-1])
        visible = None if self.source_visible is None else self.source_visible[:, 0]
        weights, gate = self.model.copy.point(hidden, written, source, keys, earlier, visible)
        precise = gate.dtype
        scores = scores.to(precise).view(*hidden.shape[:2], -1).log_softmax(dim=-1) + logsigmoid(gate)
        shares = (weights @ alike.to(precise)) * (-gate).sigmoid()  # of a token, from all its places
        places = ids[:, None].expand_as(shares)
        mixed = torch.logaddexp(scores.gather(-1, places), shares.clamp(min=torch.finfo(precise).tiny).log())
        return scores.scatter_(-1, places, mixed).flatten(0, 1)


class CachedSteps:
    """Of any model of transformers that keeps keys and values in a `Cache`: encoder-decoders and causal models.

    Args:
        model: in evaluation mode; the rest as for `steps_of`.
    """

    def __init__(
        self, model: PreTrainedModel, source_ids: Tensor, source_mask: Tensor | None, begin: Tensor, *, beams: int
    ) -> None:
        self.model, self.pairs = model, bool(model.config.is_encoder_decoder)
        self.cache: Any = None
        self.mask = torch.ones_like(source_ids) if source_mask is None else source_mask
        self.places = torch.arange(len(source_ids), device=source_ids.device)  # of sentences, in what is kept
        self.width = 1  # rows of a sentence in what is kept
        self.moved = True  # sentences stand elsewhere than in what is kept, or have more rows
        self.takes = signature(model.forward).parameters
        self.begin, self.encoded = source_ids, None
        if self.pairs:
            self.begin, self.encoded = begin, model.get_encoder()(input_ids=source_ids, attention_mask=self.mask)

    def first(self) -> Tensor:
        return self._read(self.begin)

    def next(self, tokens: Tensor, parents: Tensor) -> Tensor:
        rows = (self.places[:, None] * self.width + parents).reshape(-1)
        own = self.cache.self_attention_cache if isinstance(self.cache, EncoderDecoderCache) else self.cache
        own.reorder_cache(rows)
        if self.moved:  # beams of one sentence are alike in all that is known of its source
            self.mask = self.mask[rows]
            if self.encoded is not None:
                kept = {name: value[rows] for name, value in self.encoded.items() if isinstance(value, Tensor)}
                self.encoded = type(self.encoded)(**kept)
            if own is not self.cache:
                self.cache.cross_attention_cache.reorder_cache(rows)
        self.width, self.moved = tokens.shape[1], False
        self.places = torch.arange(len(tokens), device=tokens.device)
        if not self.pairs:
            self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
        return self._read(tokens.reshape(-1, 1))

    def keep(self, order: Tensor) -> None:
        self.places, self.moved = self.places[order], True

    def _read(self, ids: Tensor) -> Tensor:
        """(rows, tokens) int64, not read before -> (rows, vocab)."""
        fields: dict[str, Any] = {"attention_mask": self.mask, "past_key_values": self.cache, "use_cache": True}
        if self.pairs:
            fields |= {"decoder_input_ids": ids, "encoder_outputs": self.encoded}
        else:
            fields |= {"input_ids": ids}
            if "position_ids" in self.takes:
                fields["position_ids"] = (self.mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            if "logits_to_keep" in self.takes:
                fields["logits_to_keep"] = 1
        found = self.model(**fields)
        self.cache = found.past_key_values
        if not isinstance(self.cache, Cache):
            raise ValueError(
                f"a model that keeps what it has read in a Cache is wanted, but {type(self.model).__name__} gives "
                f"{type(self.cache).__name__}: write with its own generate"
            )
        return found.logits[:, -1]

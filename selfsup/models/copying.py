"""A gate between guessing a token from the vocabulary and copying one from the source."""

import torch
from torch import Tensor, nn


class CopyGate(nn.Module):
    """Probabilities of the vocabulary, and of the tokens of the source, mixed as a gate decides anew at each place.

    The pointer is an attention of its own with one head, so that any implementation may serve the other heads. It finds
    a place by what stands there, and knows where the token that was written last stands: who has copied the first piece
    of an unknown name finds the next one behind it, wherever the name stands, though the piece means nothing to it.

    Source:
        See et al. 2017, "Get To The Point: Summarization with Pointer-Generator Networks", section 2.2, equations 8
        and 9.
    """

    def __init__(self, config) -> None:
        super().__init__()
        self.query = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.key = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.behind = nn.Linear(config.hidden_size, 1)
        self.gate = nn.Linear(2 * config.hidden_size, 1)

    def forward(
        self,
        hidden: Tensor,
        source: Tensor,
        source_ids: Tensor,
        source_mask: Tensor | None,
        written: Tensor,
        vocabulary: nn.Module,
        positions: Tensor | None = None,
    ) -> Tensor:
        """
        Args:
            hidden: (batch, tokens, hidden) of the decoder.
            source: (batch, source tokens, hidden) of the encoder.
            source_ids: (batch, source tokens) int64.
            source_mask: (batch, source tokens), 0 for padding; or None.
            written: (batch, tokens) int64, what the decoder read.
            vocabulary: (…, hidden) to scores (…, vocab).
            positions: (answers) int64, places in the flattened targets, if not all are wanted.
        Returns:
            (batch, tokens, vocab), or (answers, vocab), float32: logarithms of probabilities.
        """
        visible = None if source_mask is None else source_mask.bool()[:, None]
        weights, gate = self.point(hidden, written, source, self.key(source), before(source_ids, source_mask), visible)
        ids = source_ids[:, None].expand_as(weights)
        if positions is not None:
            hidden, gate, weights, ids = (part.flatten(0, 1)[positions] for part in (hidden, gate, weights, ids))
        guessed = vocabulary(hidden).to(gate.dtype).log_softmax(dim=-1) + nn.functional.logsigmoid(gate)
        copied = torch.zeros_like(guessed).scatter_add(-1, ids, weights * (-gate).sigmoid())
        # Nothing of probability 0 is given a logarithm: its gradient would be 0 * inf.
        return torch.logaddexp(guessed, copied.clamp(min=torch.finfo(gate.dtype).tiny).log())

    def point(
        self, hidden: Tensor, written: Tensor, source: Tensor, keys: Tensor, earlier: Tensor, visible: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Where the pointer looks, and how far the gate is open for a guess.

        Args:
            hidden: (batch, tokens, hidden) of the decoder.
            written: (batch, tokens) int64, what the decoder read.
            source: (batch, source tokens, hidden) of the encoder.
            keys: (batch, source tokens, hidden), `key` of the source.
            earlier: (batch, source tokens) int64, see `before`.
            visible: (batch, 1, source tokens) bool, False for padding; or None.
        Returns:
            (batch, tokens, source tokens) probabilities, and (batch, tokens, 1) log odds; at least float32.
        """
        scores = self.query(hidden) @ keys.transpose(1, 2) * hidden.shape[-1] ** -0.5
        scores = scores + self.behind(hidden) * (written[..., None] == earlier[:, None])
        if visible is not None:
            scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)
        gate = self.gate(torch.cat([hidden, weights @ source], dim=-1))
        precise = torch.promote_types(gate.dtype, torch.float32)
        return weights.to(precise), gate.to(precise)


def before(source_ids: Tensor, source_mask: Tensor | None) -> Tensor:
    """What stands before each place of a source, -1 where that is nothing: (batch, source tokens) int64 both."""
    known = source_ids if source_mask is None else source_ids.masked_fill(~source_mask.bool(), -1)
    return nn.functional.pad(known[:, :-1], (1, 0), value=-1)

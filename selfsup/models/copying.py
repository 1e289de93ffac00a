"""A gate between guessing a token from the vocabulary and copying one from the source."""

import torch
from torch import Tensor, nn


class CopyGate(nn.Module):
    """Probabilities of the vocabulary, and of the tokens of the source, mixed as a gate decides anew at each place.

    The pointer is an attention of its own with one head, so that any implementation may serve the other heads. It finds
    a place by what stands there and by what stands before it: who has copied the first piece of an unknown name finds
    the next one behind it, wherever the name stands.

    Source:
        See et al. 2017, "Get To The Point: Summarization with Pointer-Generator Networks", section 2.2, equations 8
        and 9.
    """

    def __init__(self, config) -> None:
        super().__init__()
        self.query = nn.Linear(config.hidden_size, config.hidden_size, bias=False)
        self.key = nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
        self.gate = nn.Linear(2 * config.hidden_size, 1)

    def keys(self, source: Tensor, source_mask: Tensor | None) -> Tensor:
        """What each place is found by: (batch, source tokens, hidden), as `source`; see `forward`."""
        before = source if source_mask is None else source * source_mask[..., None].to(source.dtype)
        before = nn.functional.pad(before[:, :-1], (0, 0, 1, 0))
        return self.key(torch.cat([source, before], dim=-1))

    def forward(
        self,
        hidden: Tensor,
        source: Tensor,
        source_ids: Tensor,
        source_mask: Tensor | None,
        vocabulary: nn.Module,
        positions: Tensor | None = None,
    ) -> Tensor:
        """
        Args:
            hidden: (batch, tokens, hidden) of the decoder.
            source: (batch, source tokens, hidden) of the encoder.
            source_ids: (batch, source tokens) int64.
            source_mask: (batch, source tokens), 0 for padding; or None.
            vocabulary: (…, hidden) to scores (…, vocab).
            positions: (answers) int64, places in the flattened targets, if not all are wanted.
        Returns:
            (batch, tokens, vocab), or (answers, vocab), float32: logarithms of probabilities.
        """
        scores = self.query(hidden) @ self.keys(source, source_mask).transpose(1, 2) * hidden.shape[-1] ** -0.5
        if source_mask is not None:
            scores = scores.masked_fill(~source_mask.bool()[:, None], torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)  # (batch, tokens, source tokens)
        gate = self.gate(torch.cat([hidden, weights @ source], dim=-1))
        ids = source_ids[:, None].expand_as(weights)
        if positions is not None:
            hidden, gate, weights, ids = (part.flatten(0, 1)[positions] for part in (hidden, gate, weights, ids))
        precise = torch.promote_types(gate.dtype, torch.float32)
        gate, weights = gate.to(precise), weights.to(precise)
        guessed = vocabulary(hidden).to(precise).log_softmax(dim=-1) + nn.functional.logsigmoid(gate)
        copied = torch.zeros_like(guessed).scatter_add(-1, ids, weights * (-gate).sigmoid())
        # Nothing of probability 0 is given a logarithm: its gradient would be 0 * inf.
        return torch.logaddexp(guessed, copied.clamp(min=torch.finfo(precise).tiny).log())

"""Where a token stands: sinusoids added to embeddings, rotations of queries and keys, penalties of distance."""

import math

import torch
from torch import Tensor


def angles(position_ids: Tensor, size: int, base: float) -> Tensor:
    """Positions times the geometric series of frequencies that both encodings share.

    Args:
        position_ids: (batch, tokens) int64.
        size: even width that is to be filled; half of it are frequencies.
        base: wavelength of the slowest frequency, divided by 2 pi.
    Returns:
        (batch, tokens, size / 2) float32.
    """
    steps = torch.arange(0, size, 2, device=position_ids.device, dtype=torch.float32)
    return position_ids[..., None].float() * base ** (-steps / size)


def count_positions(attention_mask: Tensor | None, seen: int, tokens: int, device: torch.device) -> Tensor:
    """Where tokens stand, padding on either side not counted.

    Args:
        attention_mask: (batch, all tokens), 0 for padding; or None, all are real.
        seen: tokens that came before these.
        tokens: that come now.
        device: of the result.
    Returns:
        (batch or 1, tokens) int64, from 0.
    """
    if attention_mask is not None and attention_mask.ndim == 2:
        return (attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0)[:, -tokens:]
    return torch.arange(seen, seen + tokens, device=device)[None]


def sinusoids(position_ids: Tensor, size: int, base: float = 10_000.0) -> Tensor:
    """Fixed position embeddings: sine of every angle, then its cosine.

    Args:
        position_ids: (batch, tokens) int64.
        size: even hidden size.
        base: see `angles`.
    Returns:
        (batch, tokens, size) float32.
    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.5; the halves stand side by side
        instead of taking turns, which is the same up to a permutation of the axes.
    """
    turns = angles(position_ids, size, base)
    return torch.cat((turns.sin(), turns.cos()), dim=-1)


def rotation(position_ids: Tensor, head_size: int, base: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine by which `rotate` turns the pairs of axes of every head.

    Args:
        position_ids: (batch, tokens) int64.
        head_size: even width of one head.
        base: see `angles`.
    Returns:
        cosine and sine, each (batch, 1, tokens, head_size) float32; the 1 stands for all heads.
    """
    turns = angles(position_ids, head_size, base)
    turns = torch.cat((turns, turns), dim=-1)[:, None]
    return turns.cos(), turns.sin()


def rotate(vectors: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn queries or keys by their position, so that their products depend on the distance alone.

    Args:
        vectors: (batch, heads, tokens, head_size).
        cosine: (batch or 1, 1, tokens, head_size), as `rotation` gives it.
        sine: likewise.
    Returns:
        (batch, heads, tokens, head_size), in the type of `vectors`.
    Source:
        Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding", equation 34.
    """
    left, right = vectors.chunk(2, dim=-1)
    turned = torch.cat((-right, left), dim=-1)
    return vectors * cosine.to(vectors.dtype) + turned * sine.to(vectors.dtype)


def alibi_slopes(num_heads: int) -> list[float]:
    """What one token of distance costs in each head: a geometric series, steep heads first.

    Heads beyond the last power of two take every second slope of the series for twice as many.

    Args:
        num_heads: at least 1.
    Returns:
        (heads) positive slopes, in units of an attention score.
    Source:
        Press et al. 2021, "Train Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation",
        section 3; the rule for other head counts is that of the authors' code.
    """
    power = 2 ** int(math.log2(num_heads))
    slopes = [2 ** (-8 * head / power) for head in range(1, power + 1)]
    between = [2 ** (-4 * head / power) for head in range(1, 2 * power, 2)]
    return slopes + between[: num_heads - power]


def alibi(position_ids: Tensor, num_heads: int) -> Tensor:
    """What is added to attention scores: the distance of two tokens times minus the slope of the head.

    The paper's decoder looks back only; here both directions cost the same. Other than rotations, it is a number for
    every head and pair of tokens, held in memory throughout a step.

    Args:
        position_ids: (batch, tokens) int64.
        num_heads: see `alibi_slopes`.
    Returns:
        (batch, heads, tokens, tokens) float32, zero on the diagonal.
    """
    distance = (position_ids[:, None, :, None] - position_ids[:, None, None, :]).abs()
    slopes = torch.tensor(alibi_slopes(num_heads), device=position_ids.device)
    return -slopes[:, None, None] * distance

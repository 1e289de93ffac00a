"""Where a token stands: sinusoids added to embeddings, and rotations of queries and keys."""

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

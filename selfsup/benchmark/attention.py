"""Attention written out against torch's fused kernel, forward and backward, in turn."""

import time
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from selfsup.models.attention import eager_attention

HEAD_SIZE = 64
MODULE = SimpleNamespace(training=True, is_causal=False)  # what both ask of the layer that calls


def seconds(
    dtype: torch.dtype, length: int, *, masked: bool, num_tokens: int, num_heads: int, rounds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Time both, one after the other, round by round.

    Args:
        dtype: of queries, keys and values.
        length: tokens of a row.
        masked: attention stays inside each of three parts of a row.
        num_tokens: of all rows together.
        num_heads: of 64.
        rounds: of both; one more before is not counted.
    Returns:
        (rounds) seconds of the fused kernel, and of attention written out.
    """
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    shape = (num_tokens // length, num_heads, length, HEAD_SIZE)
    rng = torch.Generator(device).manual_seed(0)
    made = [torch.randn(shape, generator=rng, device=device, dtype=dtype).requires_grad_() for _ in range(3)]
    part = torch.arange(length, device=device) * 3 // length
    mask = (part[:, None] == part).expand(shape[0], 1, -1, -1) if masked else None
    taken: list[list[float]] = [[], []]
    for _ in range(rounds + 1):
        for times, attend in zip(taken, (ALL_ATTENTION_FUNCTIONS["sdpa"], eager_attention), strict=True):
            began = time.perf_counter()
            mixed, _ = attend(MODULE, *made, mask, scaling=HEAD_SIZE**-0.5, dropout=0.0)
            mixed.sum().backward()
            _wait(made[0].grad)
            times.append(time.perf_counter() - began)
    fused, written_out = (np.array(times[1:]) for times in taken)
    return fused, written_out


def _wait(gradient: Tensor | None) -> None:
    assert gradient is not None
    gradient.flatten()[0].item()  # a GPU has finished once its number is here

"""How much arithmetic a step asks for, and how much this machine can do."""

import time

import torch

HIDDEN_SHARE = 0.15  # of the tokens that masked language modelling asks for


def step_flops(
    tokens: int, block_size: int, hidden_size: int, num_layers: int, intermediate_size: int, vocab_size: int
) -> float:
    """Floating-point operations that a training step needs: forward, and twice as many backward.

    Two for each multiplication and addition of a matrix product: four matrices of hidden x hidden and two of hidden x
    intermediate for each token and block, its scores and mixtures of `block_size` tokens, and the vocabulary for hidden
    tokens alone. What an implementation computes besides does not count, so all are measured by the same work.

    Args:
        tokens: of the step.
        block_size: tokens of a row.
        hidden_size: width.
        num_layers: blocks.
        intermediate_size: of the feed-forward half.
        vocab_size: number of pieces.
    Source:
        Chowdhery et al. 2022, "PaLM", appendix B (model FLOPs utilisation).
    """
    matrices = num_layers * (4 * hidden_size**2 + 2 * hidden_size * intermediate_size)
    attention = num_layers * 2 * block_size * hidden_size
    head = HIDDEN_SHARE * (hidden_size**2 + hidden_size * vocab_size)
    return 3 * 2 * tokens * (matrices + attention + head)


def finish() -> None:
    """Wait until the device has done what it was told: a GPU computes while the program goes on."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def matmul_peak(dtype: torch.dtype, *, size: int | None = None, rounds: int = 5) -> float:
    """Floating-point operations a second that a square matrix product reaches here: the best of some rounds.

    Args:
        dtype: of the numbers.
        size: of the matrices; by default 2048, or on a GPU, which so small a product leaves idle, 8192.
        rounds: that are timed.
    """
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    size = size or (2048 if device.type == "cpu" else 8192)
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(rounds + 1):
        began = time.perf_counter()
        (one @ other).flatten()[0].item()  # waits for a GPU
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best

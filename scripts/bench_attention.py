"""Measure attention written out against torch's fused kernel at some lengths, forward and backward."""

import numpy as np
import torch
from tqdm import tqdm

from selfsup.benchmark.attention import seconds
from selfsup.benchmark.counts import check_counts
from selfsup.benchmark.speed import ratio_of_medians
from selfsup.training.command import command
from selfsup.training.summary import table


def main(
    lengths: list[int] = [64, 128, 256, 512],  # noqa: B006 - read only
    num_tokens: int = 4096,
    num_heads: int = 4,
    rounds: int = 20,
    threads: int = 2,
) -> None:
    """Measure attention.

    Args:
        lengths: tokens of a row.
        num_tokens: of all rows together.
        num_heads: of 64.
        rounds: of both in turn.
        threads: of the process.
    """
    check_counts(lengths=lengths, num_heads=num_heads, rounds=rounds, threads=threads)
    check_counts(max(lengths), num_tokens=num_tokens)
    torch.set_num_threads(threads)
    rows: list[tuple[str, ...]] = [("", "fused, ms", "written out, ms", "fused over written out (95 %)")]
    cases = [
        (dtype, length, masked)
        for dtype in (torch.bfloat16, torch.float32)
        for length in lengths
        for masked in (False, True)
    ]
    for dtype, length, masked in tqdm(cases, unit="case"):
        fused, written_out = seconds(
            dtype, length, masked=masked, num_tokens=num_tokens, num_heads=num_heads, rounds=rounds
        )
        ratio, low, high = ratio_of_medians(fused, written_out)
        name = f"{str(dtype).removeprefix('torch.')}, {length} tokens{', packed' if masked else ''}"
        medians = (f"{1e3 * np.median(one):.1f}" for one in (fused, written_out))
        rows.append((name, *medians, f"{ratio:.2f} ({low:.2f} to {high:.2f})"))
    print(table(rows))


if __name__ == "__main__":
    command(main)

"""Measure how fast our decoder writes beside transformers' GPT-2: `python scripts/bench_generation.py`."""

import torch
from tqdm import tqdm

from selfsup.benchmark.counts import check_counts
from selfsup.benchmark.generation import WritingShape, contest, report
from selfsup.training.command import command


def main(
    shape: WritingShape = WritingShape(),
    batch_sizes: list[int] = [1, 16],  # noqa: B006 - read only
    rounds: int = 15,
    threads: int = 2,
) -> None:
    """Print tokens a second of both through `generate`, greedy, with a cache.

    Args:
        shape: of the models and the text.
        batch_sizes: rows that are written at once.
        rounds: of all in turn.
        threads: of the process.
    """
    check_counts(batch_sizes=batch_sizes, rounds=rounds, threads=threads)
    torch.set_num_threads(threads)
    seconds = {
        size: list(tqdm(contest(shape, size, rounds), f"{size} rows", total=rounds, unit="round"))
        for size in batch_sizes
    }
    print(report(shape, seconds))


if __name__ == "__main__":
    command(main)

"""Measure our beam search beside that of transformers: `bench_beams.py --model FOLDER --file SOURCES`, or neither."""

from pathlib import Path

from selfsup.training.command import command


def main(
    model: str | None = None, file: Path | None = None, beams: int = 5, max_new_tokens: int = 40,
    batch_size: int = 32, rounds: int = 12, threads: int = 2,
) -> None:  # fmt: skip
    """Print sentences a second of both on the same batches, each of them first in every other round, and how often
    they write the same; on the GPU if there is one.

    Args:
        model: a run or an exported folder of ours that writes token by token; a fresh one by default.
        file: of sources, one a line (.txt or .txt.gz); wants `model`. Random ones by default.
        beams: of both.
        max_new_tokens: to write at most.
        batch_size: sources that are written for at once.
        rounds: batches of each pair of number formats.
        threads: of the process.
    """
    import torch
    from accelerate import Accelerator
    from tqdm import tqdm
    from transformers.utils import logging

    from selfsup.benchmark import beams as bench
    from selfsup.benchmark.counts import check_counts
    from selfsup.generation.beam import BeamConfig

    check_counts(rounds=rounds, batch_size=batch_size, threads=threads)
    logging.set_verbosity_error()
    torch.set_num_threads(threads)
    config = BeamConfig(beams, max_new_tokens)
    if file and not model:
        raise ValueError(f"a model that reads {file} is wanted, but none came: give --model, or leave --file out")
    network, words = bench.opened(model) if model else (bench.fresh_model(), None)
    network.to(Accelerator().device)
    if file and words:
        sources = bench.sources_of(file, network, words)
    else:
        sources = bench.some_sources(8 * batch_size, network.config.vocab_size)
    laps = {}
    for dtypes in bench.PAIRS:
        contest = bench.contest(network, sources, config, dtypes, batch_size=batch_size, rounds=rounds)
        laps[dtypes] = list(tqdm(contest, ", ".join(dtypes), total=rounds, unit="batch", leave=False))
    print(bench.report(laps, config, batch_size))


if __name__ == "__main__":
    command(main)

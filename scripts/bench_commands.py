"""Measure whole commands, alternating: run_mlm and pretrain.py, from the start of a process to its end."""

from pathlib import Path

from tqdm import tqdm

from selfsup.benchmark import launched
from selfsup.benchmark.counts import check_counts
from selfsup.benchmark.setting import Setting
from selfsup.benchmark.speed import Shape
from selfsup.data.texts import DataConfig, find_texts, own_tokenizer
from selfsup.training.command import command
from selfsup.training.export import open_tokenizer


def main(
    corpus: str,
    output: Path,
    shape: Shape = Shape(),
    data_root: Path | None = None,
    tokenizer: str | None = None,
    steps: int = 30,
    rounds: int = 3,
    threads: int = 2,
    vocab_size: int = 8192,
) -> None:
    """Measure whole commands.

    Args:
        corpus: as for pretrain.py.
        output: folder of what they leave behind.
        shape: of model and step.
        data_root: as for pretrain.py.
        tokenizer: folder or Hub id; by default one is trained on the corpus.
        steps: of the longer runs; a run of one step is taken off, with all that is done once.
        rounds: runs of each that are timed.
        threads: of each command.
        vocab_size: of the tokenizer that is trained.
    """
    check_counts(rounds=rounds, threads=threads)
    check_counts(2, steps=steps)
    text, _ = find_texts(corpus, DataConfig(), data_root)
    words = tokenizer or own_tokenizer(text, output, vocab_size)
    root, model = str(data_root) if data_root else None, shape.model(len(open_tokenizer(words)))
    setting = Setting(corpus, root, words, str(output), shape.block_size, shape.batch_size, threads, model)
    entrants = launched.enter(setting, Path(__file__).parent)
    runs = launched.alternate(entrants, steps, rounds)
    for _ in tqdm(runs, desc=str(shape), total=len(entrants) * (rounds + 1), unit="run"):
        pass
    print(launched.report(entrants, steps, shape.block_size * shape.batch_size))


if __name__ == "__main__":
    command(main)

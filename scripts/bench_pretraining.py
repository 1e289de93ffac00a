"""Measure pretraining speed against transformers' run_mlm, all taking steps in turn on this machine."""

from pathlib import Path

from tqdm import tqdm

from selfsup.benchmark import speed
from selfsup.benchmark.counts import check_counts
from selfsup.benchmark.setting import Setting
from selfsup.benchmark.turns import contest
from selfsup.data.texts import DataConfig, find_texts, own_tokenizer
from selfsup.training.command import command
from selfsup.training.export import open_tokenizer


def main(
    corpus: str, output: Path,
    shapes: list[speed.Shape] = [speed.Shape(), speed.Shape(384, 6, 256, 32)],  # noqa: B006 - read only
    data_root: Path | None = None, tokenizer: str | None = None,
    steps: int = 20, warm_up: int = 3, threads: int = 2,
    compiled: bool = True, without: list[str] = [],  # noqa: B006 - read only
    vocab_size: int = 8192,
) -> None:  # fmt: skip
    """Measure pretraining speed.

    Args:
        corpus: as for pretrain.py.
        output: folder of logs and of what was timed.
        shapes: of models and steps.
        data_root: as for pretrain.py.
        tokenizer: folder or Hub id; by default one is trained on the corpus.
        steps: of each contestant that are timed.
        warm_up: steps of each before.
        threads: of each contestant.
        compiled: let compiled ones take part, which need minutes to get ready.
        without: words; those whose names hold one of them stay away, for instance the padded one.
        vocab_size: of the tokenizer that is trained.
    """
    check_counts(steps=steps, threads=threads)
    check_counts(0, warm_up=warm_up)
    text, _ = find_texts(corpus, DataConfig(), data_root)
    words = tokenizer or own_tokenizer(text, output, vocab_size)
    root = str(data_root) if data_root else None
    for number, shape in enumerate(shapes):
        model = shape.model(len(open_tokenizer(words)))
        setting = Setting(
            corpus, root, words, str(output / str(number)), shape.block_size, shape.batch_size, threads, model
        )
        peaks, entries = speed.peaks(threads), speed.contestants(compiled=compiled, without=without)
        tokens = speed.step_tokens(setting, entries)  # the cache is made before anybody is timed
        timed = speed.enter(setting, shape, entries)
        for _ in tqdm(contest(timed, steps, warm_up=warm_up), str(shape), steps + warm_up, unit="round"):
            pass
        print(speed.report(shape, shape.flops(model["vocab_size"]), timed, tokens, peaks))
        print(f"rows of a step of ours are made in {1e3 * speed.input_seconds(setting, steps):.1f} ms\n")
        speed.keep(output / f"speed-{number}.json", shape, timed, tokens)


if __name__ == "__main__":
    command(main)

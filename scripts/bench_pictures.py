"""Measure the input path of pictures beside steps that learn from them: `bench_pictures.py`, or `--corpus FOLDER`."""

from pathlib import Path
from typing import Literal

from selfsup.data.album import PictureDataConfig
from selfsup.training.command import command


def main(
    corpus: str = "digits", data: PictureDataConfig = PictureDataConfig(), image_size: int | None = None,
    rounds: int = 40, threads: int = 2, precision: Literal["no", "bf16"] = "bf16", data_root: Path | None = None,
) -> None:  # fmt: skip
    """Print pictures a second of both for some models, and the share of a step that is input; on the GPU if there is
    one. Pictures were decoded before.

    Args:
        corpus: as for pretrain_pictures.py.
        data: which pictures, and how many a step.
        image_size: height and width to which all pictures are brought; those of the first if absent.
        rounds: steps of each model that are counted.
        threads: of the process.
        precision: of the steps, as Accelerate calls it.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
    """
    import torch
    from accelerate import Accelerator
    from tqdm import tqdm

    from selfsup.benchmark import pictures as bench
    from selfsup.benchmark.counts import check_counts
    from selfsup.data.album import called, first_look

    check_counts(rounds=rounds, threads=threads, image_size=image_size or 1)
    torch.set_num_threads(threads)
    look = first_look(called(corpus), data.columns, split=data.split, data_root=data_root)
    if image_size:
        look = look._replace(height=image_size, width=image_size)
    timed = {}
    for name, case in bench.cases(look).items():
        steps = bench.laps(case, corpus, look, data, rounds=rounds, accelerator=Accelerator(mixed_precision=precision),
                           data_root=data_root)  # fmt: skip
        timed[name] = list(tqdm(steps, name, total=rounds, unit="step", leave=False))
    print(bench.report(timed, data.batch_size))


if __name__ == "__main__":
    command(main)

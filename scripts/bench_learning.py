"""Measure how many tokens pretraining takes to a loss: BERT with transformers' defaults, BERT tuned, and a recipe."""

import json
from functools import partial
from pathlib import Path

from selfsup.benchmark import counts, learning
from selfsup.data.texts import DataConfig, find_texts, own_tokenizer
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.objectives import Objective
from selfsup.optim.optimizers import OptimConfig
from selfsup.pictures.curves import draw_runs
from selfsup.training.command import command, start
from selfsup.training.export import open_tokenizer
from selfsup.training.loop import TrainConfig


def main(
    corpus: str, output: Path, objectives: dict[str, Objective], model: TextEncoderConfig, data: DataConfig,
    optim: OptimConfig, train: TrainConfig, tokens: int = 6_000_000, sweep_tokens: int = 2_000_000,
    rates: list[float] = [2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3], seeds: list[int] = [0, 1, 2],  # noqa: B006 - read only
    data_root: Path | None = None, tokenizer: str | None = None, timed: Path | None = None, arguments: str = "",
) -> None:  # fmt: skip
    """Pretrain in three ways on the same tokens; what is reported is scored on text that no setting was chosen on.

    Args:
        corpus: as for pretrain.py, with a validation text.
        output: folder of all runs, of learning.png and of sweep.json.
        objectives: of the recipe.
        model: of the recipe; BERT has its size.
        data: of the recipe; BERT reads its first stage.
        optim: of the recipe.
        train: of all, but for length and seed.
        tokens: that each run reads.
        sweep_tokens: that each run of the sweep reads.
        seeds: of the runs that are compared.
        rates: learning rates tried for the tuned BERT.
        data_root: as for pretrain.py.
        tokenizer: folder or Hub id; by default one is trained on the corpus.
        timed: speed-N.json of bench_pretraining.py for steps of this shape, to tell seconds too.
    """
    counts.check_counts(0, seeds=seeds, rates=rates, tokens=tokens, sweep_tokens=sweep_tokens)
    ours = learning.Arm(model, objectives, optim, data.all_stages())
    speeds = learning.rates_of(timed, ours) if timed else None
    accelerator, texts = start(output, arguments, seed=0, resume=True), find_texts(corpus, data, data_root)
    words = open_tokenizer(tokenizer or own_tokenizer(texts[0], output, model.vocab_size))
    text, tuning, reported = learning.open_parts(texts, words, data)
    learn = partial(learning.learn, tokenizer=words, train=train, accelerator=accelerator, text=text)
    tuner, plain = partial(learn, held_out=tuning), learning.bert(model, learning.START, ours.stages[0])
    best, tried = learning.sweep(tuner, plain, output / "sweep", rates=rates, tokens=sweep_tokens)
    scored = partial(learn, held_out=reported)
    logs = learning.compare(scored, learning.arms(ours, best), output, tokens=tokens, seeds=seeds)
    if accelerator.is_main_process:
        (output / "sweep.json").write_text(json.dumps(tried, indent=1))
        print(learning.report(logs, [learning.DEFAULT, learning.TUNED], speeds))
        draw_runs({name: of_seeds[0] for name, of_seeds in logs.items()}, output / "learning.png")


if __name__ == "__main__":
    command(main, recipe=Path(__file__).parent / "recipes" / "pretrain_small.yaml")

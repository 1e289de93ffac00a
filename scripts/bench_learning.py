"""Measure how many tokens pretraining takes to a loss: BERT with transformers' defaults, BERT tuned, and a recipe."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from selfsup.benchmark import learning
from selfsup.data.texts import DataConfig, find_texts, open_plans, own_tokenizer
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.objectives import Objective
from selfsup.optim.optimizers import OptimConfig
from selfsup.pictures.curves import draw_runs
from selfsup.training.command import command, start
from selfsup.training.export import open_tokenizer
from selfsup.training.loop import TrainConfig


def main(
    corpus: str, output: Path, objectives: dict[str, Objective], model: TextEncoderConfig, data: DataConfig,
    optim: OptimConfig, train: TrainConfig, tokens: int = 6_000_000, sweep_tokens: int = 2_000_000, seeds: int = 3,
    rates: list[float] = [2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3], warm_ups: list[int] = [25, 100],  # noqa: B006 - read only
    data_root: Path | None = None, tokenizer: str | None = None, timed: Path | None = None, arguments: str = "",
) -> None:  # fmt: skip
    """Pretrain in three ways on the same tokens.

    Args:
        corpus: as for pretrain.py.
        output: folder of all runs, of learning.png and of the sweep.
        objectives: of the recipe.
        model: of the recipe; BERT has its size.
        data: of the recipe; BERT reads its first stage.
        optim: of the recipe.
        train: of all, but for the length, the seed and how often is validated.
        tokens: that each run reads.
        sweep_tokens: that each run of the sweep reads.
        seeds: repetitions, 0, 1, 2 …
        rates: learning rates tried for the tuned BERT.
        warm_ups: steps of warm-up tried with each.
        data_root: as for pretrain.py.
        tokenizer: folder or Hub id; by default one is trained on the corpus.
        timed: speed-N.json of bench_pretraining.py for steps of this shape, to tell seconds too.
    """
    accelerator, texts = start(output, arguments, seed=0, resume=True), find_texts(corpus, data, data_root)
    words = open_tokenizer(tokenizer or own_tokenizer(texts[0], output, model.vocab_size))
    stage = replace(data.all_stages()[0], until=1.0)
    plans = open_plans(texts, words, replace(data, stages=[stage]), 1, pack=False, seed=0)
    learn = partial(learning.learn, tokenizer=words, plans=plans, train=train, accelerator=accelerator)
    best = learning.sweep(learn, model, stage, output / "sweep", rates=rates, warm_ups=warm_ups, tokens=sweep_tokens)
    arms = learning.arms(learning.Arm(model, objectives, optim, data.all_stages()), best)
    logs = {
        name: [learn(arm, output / f"{name}-{seed}", tokens=tokens, seed=seed) for seed in range(seeds)]
        for name, arm in arms.items()
    }
    print(learning.report(logs, list(arms)[:2], timed and learning.rates_of(timed)))
    draw_runs({name: of_seeds[0] for name, of_seeds in logs.items()}, output / "learning.png")


if __name__ == "__main__":
    command(main, recipe=Path(__file__).parent / "recipes" / "pretrain_small.yaml")

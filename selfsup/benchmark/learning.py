"""Validation loss against tokens: BERT as transformers trains it, the same with its settings tuned, and ours."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from transformers import PreTrainedConfig, set_seed

from selfsup.benchmark.speed import BERT
from selfsup.data.plan import Plan, Stage
from selfsup.objectives import Joint, MaskedTokens, Objective
from selfsup.optim.optimizers import OptimConfig
from selfsup.pictures.curves import places_of
from selfsup.training.export import build_players
from selfsup.training.loop import TrainConfig, fit
from selfsup.training.report import read_metrics
from selfsup.training.summary import table

DEFAULTS = OptimConfig(learning_rate=5e-5, weight_decay=0.0, betas=(0.9, 0.999), schedule="linear", warmup_steps=0)
WAYS = {  # what names of contestants begin with that train as an arm does
    "run_mlm's defaults": "run_mlm as shipped",
    "BERT, tuned": "run_mlm, bf16",
    "ours": "ours as in pretrain_small",
}
Log = Sequence[dict[str, Any]]  # lines of a metrics.jsonl


@dataclass(frozen=True)
class Arm:
    """A way to pretrain.

    Args:
        model: shape.
        objectives: by name.
        optim: how weights move; its warm-up is counted in steps.
        stages: block and batch sizes.
    """

    model: PreTrainedConfig
    objectives: Mapping[str, Objective]
    optim: OptimConfig
    stages: Sequence[Stage]

    def steps(self, tokens: int) -> int:
        """How many steps read so many tokens, no fewer."""
        begun, steps = 0.0, 0.0
        for stage in self.stages:  # shares of a run are shares of its steps
            steps += (stage.until - begun) * stage.block_size * stage.batch_size
            begun = stage.until
        return int(np.ceil(tokens / steps))


def bert(shape: PreTrainedConfig, optim: OptimConfig, stage: Stage) -> Arm:
    """BERT of the same size, which reads single segments of one length and hides 15 % of the tokens.

    Its architecture is ours with other settings, equal to transformers' on copied weights (tests/models/test_bert.py).

    Args:
        shape: whose size it takes.
        optim: how weights move.
        stage: block and batch size.
    """
    size = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    fields = {name: getattr(shape, name) for name in size} | BERT
    return Arm(type(shape)(**fields), {"tokens": MaskedTokens()}, optim, [replace(stage, until=1.0)])


def arms(ours: Arm, best: OptimConfig) -> dict[str, Arm]:
    """The recipe beside BERT as run_mlm trains it by default, and BERT with its best settings."""
    stage = ours.stages[0]
    return {
        "run_mlm's defaults": bert(ours.model, DEFAULTS, stage),
        "BERT, tuned": bert(ours.model, best, stage),
        "ours": ours,
    }


def learn(
    arm: Arm,
    folder: Path,
    *,
    tokenizer,
    plans: tuple[Plan, Plan],
    train: TrainConfig,
    tokens: int,
    seed: int,
    accelerator: Accelerator,
) -> Log:
    """Pretrain, or open what was pretrained there before; one that was stopped goes on.

    Args:
        arm: how.
        folder: of the run.
        tokenizer: of transformers.
        plans: of the training text, which the arm deals out in its own way, and of the text that is held out, with the
            same rows and masks for all arms.
        train: what is left behind, and how much is scored; the rest follows from `tokens` and `seed`.
        tokens: that are read, padding included.
        seed: of everything.
        accelerator: of the run.
    Returns:
        its log.
    """
    set_seed(seed)
    objective = Joint(deepcopy(dict(arm.objectives)))
    players = build_players(objective, deepcopy(arm.model), tokenizer, None)
    text, held_out = plans
    plan = Plan(text.corpus, text.regions, stages=arm.stages, seed=seed, **objective.reading)
    steps = arm.steps(tokens)
    each = max(1, steps // 12)
    train = replace(train, num_steps=steps, max_minutes=None, eval_every=each, save_every=each, keep=1, seed=seed)
    fit(
        players, objective, plan, held_out, optim=arm.optim, train=train, accelerator=accelerator, folder=folder,
        resume=True, companions=(players["model"].config, tokenizer),
    )  # fmt: skip
    return read_metrics(folder / "metrics.jsonl")


def losses(log: Log) -> tuple[np.ndarray, np.ndarray]:
    """(validations) tokens read until each, and its loss on masked tokens."""
    places = places_of(log, "tokens")
    kept = [number for number, line in enumerate(log) if "validation_tokens_loss" in line]
    return places[kept], np.array([log[number]["validation_tokens_loss"] for number in kept])


def tokens_until(log: Log, loss: float) -> float:
    """After how many tokens a run first had a loss, between validations in a straight line; infinite if it never had.

    Example:
        >>> first = {"step": 1, "tokens": 10, "tokens_per_second": 1.0, "validation_tokens_loss": 4.0}
        >>> tokens_until([first, {**first, "step": 2, "tokens": 20, "validation_tokens_loss": 2.0}], 3.0)
        15.0
    """
    tokens, values = losses(log)
    reached = np.flatnonzero(values <= loss)
    if not len(reached):
        return float("inf")
    last = int(reached[0])
    if last == 0:
        return float(tokens[0])
    share = (values[last - 1] - loss) / (values[last - 1] - values[last])
    return float(tokens[last - 1] + share * (tokens[last] - tokens[last - 1]))


def sweep(
    learn: Callable[..., Log],
    shape: PreTrainedConfig,
    stage: Stage,
    folder: Path,
    *,
    rates: Iterable[float],
    warm_ups: Iterable[int],
    tokens: int,
) -> OptimConfig:
    """Tune BERT: the learning rate and the warm-up with the least validation loss; all of them are kept in sweep.json.

    Args:
        learn: `learn` of an arm, a folder, `tokens` and `seed`.
        shape: whose size BERT takes.
        stage: block and batch size.
        folder: of the sweep.
        rates: learning rates to try.
        warm_ups: steps to try with each.
        tokens: that each run reads.
    Raises:
        ValueError: the best learning rate is at the edge of those tried, so a better one may lie beyond.
    """
    tried: list[tuple[float, float, int]] = []
    for rate, steps in product(sorted(rates), warm_ups):
        log = learn(
            bert(shape, tuned(rate, steps), stage), folder / f"rate-{rate:g}-warm-up-{steps}", tokens=tokens, seed=0
        )
        tried.append((float(losses(log)[1][-1]), rate, steps))
    names = ("loss", "learning_rate", "warmup_steps")
    (folder / "sweep.json").write_text(json.dumps([dict(zip(names, one, strict=True)) for one in tried], indent=1))
    _, best, steps = min(tried)
    lowest, highest = tried[0][1], tried[-1][1]
    if lowest < highest and best in (lowest, highest):
        raise ValueError(
            f"the best learning rate, {best:g}, is at the edge of those tried ({lowest:g} to {highest:g}): add some "
            "beyond it to --rates; what was learnt is kept"
        )
    return tuned(best, steps)


def tuned(rate: float, steps: int) -> OptimConfig:
    """Transformers' defaults with another learning rate and warm-up, and BERT's weight decay."""
    return replace(DEFAULTS, learning_rate=rate, warmup_steps=steps, weight_decay=0.01)


def rates_of(timed: Path) -> dict[str, float]:
    """Tokens a second of each arm, as the fastest of its way was timed: run_mlm in fp32, run_mlm in bf16 with whatever
    flags, and the recipe.

    Args:
        timed: what scripts/bench_pretraining.py wrote down, with steps of the same shape.
    """
    contestants = json.loads(timed.read_text())["contestants"]
    rates = {name: one["tokens"] / float(np.median(one["seconds"])) for name, one in contestants.items()}
    return {arm: max(rate for name, rate in rates.items() if name.startswith(way)) for arm, way in WAYS.items()}


def report(logs: Mapping[str, Sequence[Log]], targets: Sequence[str], rates: Mapping[str, float] | None = None) -> str:
    """Final losses, and tokens until the final loss of some arms as a share of theirs, seed by seed.

    Args:
        logs: by arm, one for every seed.
        targets: arms whose final loss is to be reached.
        rates: tokens a second by arm, see `rates_of`; then also how many times sooner that loss is reached.
    """
    heads = [head for name in targets for head in (f"tokens to the loss of {name}", *(["sooner by"] if rates else []))]
    rows: list[tuple[str, ...]] = [("", "tokens read", "final loss (least to most)", *heads)]
    ends = {name: [losses(log) for log in of_seeds] for name, of_seeds in logs.items()}
    for name, of_seeds in logs.items():
        cells = []
        for target in targets:
            pairs = zip(of_seeds, ends[target], strict=True)
            shares = [tokens_until(log, values[-1]) / tokens[-1] for log, (tokens, values) in pairs]
            cells.append(_spread(shares, 2))
            if rates:
                cells.append(_spread([rates[name] / rates[target] / share for share in shares], 1))
        read = ends[name][0][0][-1]
        rows.append((name, f"{read:,.0f}", _spread([values[-1] for _, values in ends[name]], 3), *cells))
    return table(rows)


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

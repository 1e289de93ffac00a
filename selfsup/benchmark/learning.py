"""Validation loss against tokens: BERT as transformers trains it, the same with its settings tuned, and ours."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from transformers import PreTrainedConfig, set_seed

from selfsup.benchmark.speed import BERT
from selfsup.data.plan import Plan, Stage
from selfsup.data.sources import Text
from selfsup.data.texts import DataConfig, open_plans
from selfsup.objectives import Joint, MaskedTokens, Objective
from selfsup.optim.optimizers import OptimConfig
from selfsup.pictures.curves import places_of
from selfsup.training.checkpoint import NotFinite
from selfsup.training.export import build_players
from selfsup.training.loop import TrainConfig, fit
from selfsup.training.report import read_metrics
from selfsup.training.summary import table

DEFAULTS = OptimConfig(learning_rate=5e-5, weight_decay=0.0, betas=(0.9, 0.999), schedule="linear", warmup_steps=0)
START = replace(DEFAULTS, weight_decay=0.01, warmup_steps=100)  # of the sweep; BERT's weight decay
DEFAULT, TUNED, OURS = "run_mlm's defaults", "BERT, tuned", "ours"
WAYS = {  # what names of contestants begin with that train as an arm does
    DEFAULT: "run_mlm as shipped",
    TUNED: "run_mlm, bf16",
    OURS: "ours as in pretrain_small",
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


def arms(ours: Arm, best: Arm) -> dict[str, Arm]:
    """The recipe beside BERT as run_mlm trains it by default, and BERT with its best settings."""
    return {DEFAULT: bert(ours.model, DEFAULTS, ours.stages[0]), TUNED: best, OURS: ours}


def open_parts(texts: tuple[Text, Text | None], tokenizer, data: DataConfig) -> tuple[Plan, Plan, Plan]:
    """Text to train on, text to choose settings on, and text that chose nothing, for what is reported.

    Args:
        texts: for training, and for validation, on which settings are chosen. The third is cut from the first.
        tokenizer: a fast one.
        data: how to deal them out; held-out text comes in blocks of the first stage.
    Raises:
        ValueError: there is no text for validation.
    """
    if texts[1] is None:
        raise ValueError("a text of its own to choose settings on is wanted: name one with --data.validation")
    single = replace(data, stages=[replace(data.all_stages()[0], until=1.0)])
    text, reported = open_plans((texts[0], None), tokenizer, single, 1, pack=False, seed=0)
    _, tuning = open_plans(texts, tokenizer, single, 1, pack=False, seed=0)
    return text, tuning, reported


def learn(
    arm: Arm,
    folder: Path,
    *,
    tokenizer,
    text: Plan,
    held_out: Plan,
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
        text: to train on, which the arm deals out in its own way.
        held_out: text to be scored on, with the same rows and masks for all arms.
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
    plan = Plan(text.corpus, text.regions, stages=arm.stages, seed=seed, **objective.reading)
    steps = arm.steps(tokens)
    each = max(1, steps // 12)
    train = replace(train, num_steps=steps, max_minutes=None, eval_every=each, save_every=each, keep=1, seed=seed)
    fit(
        players, objective, plan, held_out, optim=arm.optim, train=train, accelerator=accelerator, folder=folder,
        resume=True, companions=(players["model"].config, tokenizer),
    )  # fmt: skip
    return read_metrics(folder / "metrics.jsonl")


def compare(
    learn: Callable[..., Log], arms: Mapping[str, Arm], folder: Path, *, tokens: int, seeds: Iterable[int]
) -> dict[str, list[Log]]:
    """Train every arm with every seed.

    Args:
        learn: `learn` of an arm, a folder, `tokens` and `seed`.
        arms: by name.
        folder: that the folders of the runs go to.
        tokens: that each run reads.
        seeds: one run each.
    Returns:
        logs by arm, one for every seed.
    """
    return {
        name: [learn(arm, folder / f"{name}, seed {seed}, after {tokens}", tokens=tokens, seed=seed) for seed in seeds]
        for name, arm in arms.items()
    }


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
    learn: Callable[..., Log], start: Arm, folder: Path, *, rates: Iterable[float], tokens: int
) -> tuple[Arm, dict[str, float]]:
    """Tune an arm by hand's usual way: the learning rate first, then `CHANGES` one by one, each kept if it pays.

    Args:
        learn: `learn` of an arm, a folder, `tokens` and `seed`.
        start: what is tuned.
        folder: of the runs of the sweep, one a folder.
        rates: learning rates to try.
        tokens: that each run reads.
    Returns:
        the best arm, and the final loss of every run by name; that of a run that diverged is infinite.
    Raises:
        ValueError: the best learning rate is at the edge of those tried, so a better one may lie beyond.
    """
    tried: dict[str, float] = {}

    def score(name: str, arm: Arm) -> float:
        try:
            log = learn(arm, folder / f"{name} after {tokens}", tokens=tokens, seed=0)
            tried[name] = float(losses(log)[1][-1])
        except NotFinite:
            tried[name] = float("inf")
        return tried[name]

    rates = sorted(rates)
    scores = [score(f"rate {rate:g}", _with_optim(start, learning_rate=rate)) for rate in rates]
    place = int(np.argmin(scores))
    name, best = f"rate {rates[place]:g}", _with_optim(start, learning_rate=rates[place])
    if len(rates) > 1 and place in (0, len(rates) - 1):
        raise ValueError(
            f"the best learning rate, {rates[place]:g}, is at the edge of those tried ("
            f"{', '.join(f'{rate:g}: {loss:.3f}' for rate, loss in zip(rates, scores, strict=True))}): add some beyond "
            "it to --rates; what was learnt is kept"
        )
    for change, make in CHANGES.items():
        changed = make(best)
        before, longer = tried[name], f"{name}, {change}"
        if score(longer, changed) < before:
            name, best = longer, changed
    return best, tried


def _with_optim(arm: Arm, **changes: Any) -> Arm:
    return replace(arm, optim=replace(arm.optim, **changes))


def _without_dropout(arm: Arm) -> Arm:
    model = deepcopy(arm.model)
    model.dropout = 0.0
    return replace(arm, model=model)


def _half_the_batch(arm: Arm) -> Arm:
    return replace(arm, stages=[replace(one, batch_size=max(1, one.batch_size // 2)) for one in arm.stages])


CHANGES: dict[str, Callable[[Arm], Arm]] = {
    "no dropout": _without_dropout,
    "short warm-up": lambda arm: _with_optim(arm, warmup_steps=arm.optim.warmup_steps // 4),
    "wsd": lambda arm: _with_optim(arm, schedule="wsd", betas=(0.9, 0.98)),
    "half the batch": _half_the_batch,
}


def rates_of(timed: Path, ours: Arm) -> dict[str, float]:
    """Tokens a second of each arm, as the fastest of its way was timed: run_mlm in fp32, run_mlm in bf16 with whatever
    flags, and the recipe.

    Args:
        timed: what scripts/bench_pretraining.py wrote down.
        ours: the recipe; steps must have been timed with its size and first stage.
    Raises:
        ValueError: something else was timed.
    """
    kept, stage = json.loads(timed.read_text()), ours.stages[0]
    shape = {"hidden_size": ours.model.hidden_size, "num_layers": ours.model.num_hidden_layers}
    shape |= {"block_size": stage.block_size, "batch_size": stage.batch_size}
    if kept["shape"] != shape:
        raise ValueError(f"seconds are wanted of steps with {shape}, but {timed} has those of {kept['shape']}")
    contestants = kept["contestants"]
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
    if np.isinf(values).all():
        return "never"
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

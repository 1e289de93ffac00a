"""A checkpoint on all tasks with one setting: a table as GLUE has it, with what people and simple rules reach."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from selfsup.finetuning.baselines import baseline, shallow
from selfsup.finetuning.figures import Scorer, between, interval, spread
from selfsup.finetuning.learner import Learner
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.material import Material
from selfsup.finetuning.slices import folds as deal_folds
from selfsup.finetuning.trial import Trial, repetitions, run_trial
from selfsup.objectives.objective import text_rng
from selfsup.training.summary import table

FOLDS = 1_000_039  # key of chance


def score_task(
    learner: Learner,
    material: Material,
    config: FineTuneConfig,
    folder: Path,
    *,
    seeds: int,
    accelerator: Accelerator,
    keep_models: bool = False,
) -> dict[str, Any]:
    """Fine-tune on one task with several seeds; what is there already is not made again.

    Args:
        learner: what learns.
        material: of the task.
        config: how.
        folder: of the task; each seed has a folder in it.
        seeds: repetitions, 0, 1, 2 …
        accelerator: of the run.
        keep_models: export each, as seed-0/model.
    Returns:
        see `summary`; `shallow` (name, figure) besides where there is such a baseline.
    """
    if not material.held_out:
        raise ValueError(f"{material.name}: examples to score on are wanted, but none are held out: hold out some")
    trials = [
        run_trial(learner, material.task, material.train, material.held_out, config, folder / f"seed-{seed}",
                  labels=material.labels, seed=seed, accelerator=accelerator, keep_model=keep_models)
        for seed in repetitions(seeds)
    ]  # fmt: skip
    objective = material.bound(learner)
    name, guess = baseline(objective, material.train)
    guesses = [guess(example) for example in material.held_out]
    score = Scorer(material.task, objective)
    result = summary(trials, material, score, (name, guesses))
    if learnt := shallow(objective, material.train):
        tallies = score.of_guesses([learnt[1](example) for example in material.held_out], material.held_out)
        result["shallow"] = [learnt[0], float(score.figure(tallies.sum(axis=0)))]
    return result


def cross_validate(
    learner: Learner,
    material: Material,
    config: FineTuneConfig,
    folder: Path,
    *,
    number: int,
    seeds: int,
    accelerator: Accelerator,
) -> dict[str, Any]:
    """Score every training example by a model that learnt from the other folds; the held-out split is not touched.

    Args:
        learner, material, config, folder, accelerator: as for `score_task`.
        number: of folds.
        seeds: repetitions, each with folds of its own.
    Returns:
        see `summary`; `folds` has besides the main figure of each fold by seed.
    """
    objective = material.bound(learner)
    score = Scorer(material.task, objective)
    trials, each, guesses = [], [], [None] * len(material.train)
    curves: list[list[dict[str, float]]] = []
    for seed in repetitions(seeds):
        conclusions: list[Any] = [None] * len(material.train)
        parts: list[Trial] = []
        for fold, places in enumerate(deal_folds(number, len(material.train), rng=text_rng(seed, FOLDS, 0))):
            judged = set(places.tolist())
            rest = [example for place, example in enumerate(material.train) if place not in judged]
            judge = [material.train[place] for place in places]
            parts.append(
                run_trial(learner, material.task, rest, judge, config, folder / f"seed-{seed}-fold-{fold}",
                          labels=material.labels, seed=seed, accelerator=accelerator)
            )  # fmt: skip
            name, guess = baseline(objective, rest)
            for place, conclusion in zip(places, parts[-1].conclusions, strict=True):
                conclusions[place], guesses[place] = conclusion, guess(material.train[place])
        curves += [part.curve for part in parts]
        each.append([next(iter(part.figures.values())) for part in parts])
        seconds = sum(part.seconds for part in parts)
        trials.append(replace(parts[0], conclusions=conclusions, figures=score(conclusions, material.train),
                              seconds=seconds))  # fmt: skip
    scored = summary(trials, replace(material, held_out=material.train), score, (name, guesses))
    return scored | {"folds": each, "curves": curves, "epochs": [best_of(curve)["epoch"] for curve in curves]}


def summary(
    trials: Sequence[Trial], material: Material, score: Scorer, plain: tuple[str, Sequence[Any]]
) -> dict[str, Any]:
    """What trials of one task came to.

    Args:
        trials: one for each seed.
        material: of the task.
        score: its metrics.
        plain: name and guesses of what does not learn.
    Returns:
        `metric`, `figure` (mean, low, high; in 0-1), `baseline` (name, figure), `figures` (of every metric by seed),
        `epochs` (the best of each seed), `learnt`, `held_out`, `human`, `seconds`, `curves`, `best_seed`, the one that
        did best on its slice of training, and `signatures`, the settings of metrics by their names.
    """
    tallies = np.stack([score.tallies(trial.conclusions, material.held_out) for trial in trials])
    without = score.of_guesses(plain[1], material.held_out).sum(axis=0)
    metric = score.metrics[0].main
    chosen = [best_of(trial.curve) for trial in trials]
    merits = [line.get(f"slice_{metric}", -line["train_loss"]) for line in chosen]
    return {
        "metric": metric,
        "figure": interval(tallies, score),
        "baseline": [plain[0], float(score.figure(without))],
        "figures": [trial.figures for trial in trials],
        "epochs": [line["epoch"] for line in chosen],
        "learnt": trials[0].learnt,
        "held_out": len(material.held_out),
        "human": [material.human.figure, material.human.source] if material.human else None,
        "seconds": sum(trial.seconds for trial in trials),
        "curves": [trial.curve for trial in trials],
        "best_seed": int(np.argmax(merits)),
        "signatures": {one.main: said for one in score.metrics if (said := one.signature())},
    }


def best_of(curve: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """The line of the epoch whose weights were kept."""
    return next(line for line in curve if line["best"])


def report(results: Mapping[str, dict[str, Any]], folder: Path) -> float:
    """Print the table of all tasks with its macro average, and leave scores.json.

    Args:
        results: by task, of `score_task`.
        folder: where it goes.
    Returns:
        the mean of the tasks' figures.
    """
    rows: list[tuple[str, ...]] = [
        (
            "task",
            "metric",
            "figure (95 %)",
            "without learning",
            "people",
            "learnt from, scored on",
            "epochs, best",
            "minutes",
        )
    ]
    for task, found in results.items():
        human = f"{100 * found['human'][0]:.1f}" if found["human"] else ""
        rows.append(
            (task, found["metric"], between(found["figure"]), without(found), human,
             f"{found['learnt']:,}, {found['held_out']:,}",
             f"{len(found['curves'][0])}, {'/'.join(map(str, found['epochs']))}", f"{found['seconds'] / 60:.1f}")
        )  # fmt: skip
    mean = float(np.mean([found["figure"][0] for found in results.values()]))
    minutes = sum(found["seconds"] for found in results.values()) / 60
    if len(results) > 1:
        plain = float(np.mean([found["baseline"][1] for found in results.values()]))
        rows.append(("macro average", "", f"{100 * mean:.1f}", f"{100 * plain:.1f}", "", "", "", f"{minutes:.1f}"))
    print(f"\n{table(rows)}\n")
    for source in dict.fromkeys(found["human"][1] for found in results.values() if found["human"]):
        print(f"people: {source}")
    signatures = {name: said for found in results.values() for name, said in found.get("signatures", {}).items()}
    for name, said in signatures.items():
        print(f"{name}: {said}")
    (folder / "scores.json").write_text(json.dumps({**results, "macro_average": mean}, indent=1))
    return mean


def without(found: Mapping[str, Any]) -> str:
    """The baselines of a task, as a cell of a table."""
    both = [found[kind] for kind in ("baseline", "shallow") if kind in found]
    return ", ".join(f"{100 * figure:.1f}  ({name})" for name, figure in both)


def present(result: Mapping[str, Any], folder: Path) -> None:
    """Leave the model of the seed that did best on its slice of training as model/, and the epochs as curves.png.

    Args:
        result: of `score_task` or `cross_validate`.
        folder: of the run.
    """
    panels: dict[str, dict[str, list[tuple[float, float, float, float]]]] = {}
    for panel, names in {
        "loss": {"train_loss": "learnt from", "slice_loss": "slice that chooses"},
        result["metric"]: {f"slice_{result['metric']}": "slice that chooses"},
    }.items():
        lines = {label: spread(result["curves"], name) for name, label in names.items()}
        if any(lines.values()):
            panels[panel] = {label: points for label, points in lines.items() if points}
    from selfsup.pictures.efficiency import draw_bands  # here: matplotlib takes seconds, and --help draws nothing

    draw_bands(panels, folder / "curves.png", title="epochs: mean, least and most of the seeds", across="steps",
               logarithmic=False)  # fmt: skip
    print(f"curves   {folder / 'curves.png'}")
    best = folder / f"seed-{result['best_seed']}" / "model"
    if best.is_dir():
        shutil.copytree(best, folder / "model", dirs_exist_ok=True)
        print(f"model    {folder / 'model'}  (seed {result['best_seed']}, {why_kept(result)})")
    else:
        print("folds leave no model: run again without --folds for one")


def why_kept(result: Mapping[str, Any]) -> str:
    """Why the model of one seed is kept: examples so few leave no slice to choose by."""
    sliced = any("slice_loss" in line for line in result["curves"][result["best_seed"]])
    return "the best on its slice of training" if sliced else "the least training loss: too few examples for a slice"

"""A checkpoint on all tasks with one setting: a table as GLUE has it, with what people and simple rules reach."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from selfsup.finetuning.baselines import baseline
from selfsup.finetuning.comparison import between, interval
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.material import Material
from selfsup.finetuning.trial import Learner, Scorer, Trial, run_trial
from selfsup.training.summary import table


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
        keep_models: export each.
    Returns:
        `metric`, `figure` (mean, low, high; in 0-1), `baseline` (name, figure), `figures` (of every metric by seed),
        `learnt`, `held_out`, `human`, `seconds` and `best_seed`, the one that did best on the slices of train.
    """
    objective = material.bound(learner)
    score = Scorer(material.task, objective)
    trials = [
        run_trial(learner, material.task, material.train, material.held_out, config, folder / f"seed-{seed}",
                  labels=material.labels, seed=seed, accelerator=accelerator, keep_model=keep_models)
        for seed in range(seeds)
    ]  # fmt: skip
    return summary(trials, material, score, objective)


def summary(trials: Sequence[Trial], material: Material, score: Scorer, objective) -> dict[str, Any]:
    """What trials of one task came to, see `score_task`."""
    tallies = np.stack([score.tallies(trial.conclusions, material.held_out) for trial in trials])
    name, guess = baseline(objective, material.train)
    references = [objective.reference(example) for example in material.held_out]
    plain = score.metrics[0].tallies([guess(example) for example in material.held_out], references).sum(axis=0)
    metric = score.metrics[0].main
    chosen = [next((line for line in trial.curve if line["best"]), trial.curve[-1]) for trial in trials]
    merits = [line.get(f"slice_{metric}", -line["train_loss"]) for line in chosen]
    return {
        "metric": metric,
        "figure": interval(tallies, score),
        "baseline": [name, float(score.figure(plain))],
        "figures": [trial.figures for trial in trials],
        "epochs": [line["epoch"] for line in chosen],
        "learnt": trials[0].learnt,
        "held_out": len(material.held_out),
        "human": [material.human.figure, material.human.source] if material.human else None,
        "seconds": sum(trial.seconds for trial in trials),
        "best_seed": int(np.argmax(merits)),
    }


def report(results: Mapping[str, dict[str, Any]], folder: Path) -> float:
    """Print the table of all tasks with its macro average, and leave scores.json.

    Args:
        results: by task, of `score_task`.
        folder: where it goes.
    Returns:
        the mean of the tasks' figures.
    """
    rows: list[tuple[str, ...]] = [
        ("task", "metric", "figure (95 %)", "without learning", "people", "learnt from, scored on", "minutes")
    ]
    for task, found in results.items():
        name, plain = found["baseline"]
        human = f"{found['human'][0]:.1f}" if found["human"] else ""
        rows.append(
            (task, found["metric"], between(found["figure"]), f"{100 * plain:.1f}  ({name})", human,
             f"{found['learnt']:,}, {found['held_out']:,}", f"{found['seconds'] / 60:.1f}")
        )  # fmt: skip
    mean = float(np.mean([found["figure"][0] for found in results.values()]))
    minutes = sum(found["seconds"] for found in results.values()) / 60
    if len(results) > 1:
        plain = float(np.mean([found["baseline"][1] for found in results.values()]))
        rows.append(("macro average", "", f"{100 * mean:.1f}", f"{100 * plain:.1f}", "", "", f"{minutes:.1f}"))
    print(f"\n{table(rows)}\n")
    for source in dict.fromkeys(found["human"][1] for found in results.values() if found["human"]):
        print(f"people: {source}")
    (folder / "scores.json").write_text(json.dumps({**results, "macro_average": mean}, indent=1))
    return mean

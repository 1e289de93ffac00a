"""What a question about two segments, asked in pretraining, is worth to a task about two sentences."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from accelerate import Accelerator
from transformers import PreTrainedConfig

from selfsup.finetuning.baselines import baseline
from selfsup.finetuning.figures import Scorer, between, interval
from selfsup.finetuning.learner import Learner, open_learner
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.material import Material
from selfsup.finetuning.trial import Trial, run_trial
from selfsup.objectives import MaskedTokens, NextSentence, Objective, SentenceOrder
from selfsup.training.export import open_tokenizer
from selfsup.training.summary import table

SCRATCH, PLAIN, NEXT, ORDER = "not pretrained", "no question", "next sentence", "sentence order"
NAMES = (PLAIN, NEXT, ORDER, SCRATCH)


def questions() -> dict[str, dict[str, Objective]]:
    """What is asked beside masked tokens, by name; all read pairs, so that nothing but the question differs."""
    asked: dict[str, dict[str, Objective]] = {
        PLAIN: {},
        NEXT: {"next": NextSentence()},
        ORDER: {"order": SentenceOrder()},
    }
    return {name: {"tokens": MaskedTokens(num_segments=2), **objectives} for name, objectives in asked.items()}


def as_pretraining(arguments: str, asked: Mapping[str, Objective], run: Path, tokenizer: str, seed: int) -> str:
    """The arguments of one pretraining, as pretrain.py takes them back.

    Args:
        arguments: of the comparison, as YAML.
        asked: objectives of this run, see `questions`.
        run: its folder.
        tokenizer: of all runs.
        seed: of this one.
    """
    header = "".join(line for line in arguments.splitlines(keepends=True) if line.startswith("#"))
    own = ("task_data", "tune", "seeds")
    given = {name: value for name, value in yaml.safe_load(arguments).items() if name not in own}
    init_args = {"tokens": {"num_segments": 2}}
    given["objectives"] = {
        name: {"class_path": f"selfsup.objectives.{type(objective).__name__}", "init_args": init_args.get(name, {})}
        for name, objective in asked.items()
    }
    given |= {"output": str(run), "tokenizer": tokenizer, "train": {**given["train"], "seed": seed}}
    return header + yaml.safe_dump(given, sort_keys=False)


def untrained(shape: PreTrainedConfig, tokenizer: str) -> Learner:
    """A learner that was not pretrained: its shape, and the folder of its tokenizer."""
    return Learner(shape, open_tokenizer(tokenizer))


def learn(
    run: Path, material: Material, config: FineTuneConfig, *, fresh: Learner, seed: int, accelerator: Accelerator
) -> Trial:
    """Fine-tune the model of one run on the task; what is there already is not made again.

    Args:
        run: its folder, see `folder_of`; the trial is kept there.
        material: of the task.
        config: how it is learnt.
        fresh: what learns where the run pretrained nothing.
        seed: of this run.
        accelerator: of the comparison; all processes call together.
    """
    accelerator.wait_for_everyone()  # the model is written by one of them
    learner = open_learner(str(run)) if (run / "model").is_dir() else fresh
    return run_trial(learner, material.task, material.train, material.held_out, config, run / "trial",
                     labels=material.labels, seed=seed, accelerator=accelerator)  # fmt: skip


def compare_questions(
    trials: Mapping[str, Sequence[Trial]], material: Material, learner: Learner, folder: Path, *, title: str
) -> dict[str, Any]:
    """Put every way of pretraining beside the plain one: a table, comparison.json and comparison.png.

    Args:
        trials: by name, one for every seed.
        material: of the task.
        learner: any of them.
        folder: of the comparison; the runs lie where `folder_of` says.
        title: of the picture.
    Returns:
        by metric and name: mean, lower and upper bound, 0-1; and the share of the most frequent class.
    """
    objective = material.bound(learner)
    score = Scorer(material.task, objective)
    tallies = {
        name: np.stack([score.tallies(trial.conclusions, material.held_out) for trial in done])
        for name, done in trials.items()
    }
    rows: list[tuple[str, ...]] = [
        ("beside masked tokens", "own perplexity", "question right", "task (95 %)", f"minus {PLAIN} (95 %)")
    ]
    figures = {name: interval(rows, score) for name, rows in tallies.items()}
    differences = {name: interval(rows, score, tallies[PLAIN]) for name, rows in tallies.items() if name != PLAIN}
    for name, done in trials.items():
        runs = [_results(folder_of(folder, name, seed)) for seed in range(len(done))]
        cells = [between(figures[name]), between(differences[name], "+") if name in differences else ""]
        rows.append((name, _spread(runs, "validation_tokens_perplexity"), _spread(runs, "accuracy"), *cells))
    called, guess = baseline(objective, material.train)
    blind = score.of_guesses([guess(example) for example in material.held_out], material.held_out)
    majority = float(score.figure(blind.sum(axis=0)))
    panels = {f"task: {score.metrics[0].main}": figures, f"minus {PLAIN}": differences}
    picture = folder / "comparison.png"
    print(f"\n{table(rows)}\n\n{called}: {100 * majority:.1f} %\npicture  {picture}")
    (folder / "comparison.json").write_text(json.dumps({**panels, "majority": majority}, indent=1))
    from selfsup.pictures.comparison import draw_intervals  # here: matplotlib takes seconds, and --help draws nothing

    draw_intervals(panels, picture, title=title, baselines=dict(zip(panels, (majority, 0.0), strict=True)))
    return {**panels, "majority": majority}


def folder_of(folder: Path, name: str, seed: int) -> Path:
    """Where the run of a name and seed lies, with its results.json and its trial."""
    return folder / f"{name.replace(' ', '_')}-{seed}"


def _results(run: Path) -> dict[str, Any]:
    file = run / "results.json"
    if not file.exists():
        return {}
    results = json.loads(file.read_text())
    asked = [name for name in ("next", "order") if f"validation_{name}_accuracy" in results]
    return results | {"accuracy": 100 * results[f"validation_{asked[0]}_accuracy"]} if asked else results


def _spread(runs: Sequence[Mapping[str, Any]], key: str) -> str:
    """Mean of the seeds, and the least and the most."""
    values = [run[key] for run in runs if key in run]
    return f"{np.mean(values):.1f}  ({min(values):.1f} to {max(values):.1f})" if values else ""

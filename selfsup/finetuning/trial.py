"""One trial: a model, a task and a seed go in; what the model concludes on held-out examples comes out, and is kept."""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from selfsup.finetuning.figures import Scorer
from selfsup.finetuning.keeping import KeptEpochs
from selfsup.finetuning.learner import Learner, build_learner
from selfsup.finetuning.learning import FineTuneConfig, fine_tune
from selfsup.finetuning.slices import hold_back
from selfsup.objectives.objective import Example, text_rng
from selfsup.objectives.supervised import Supervised
from selfsup.predicting.assess import assess
from selfsup.task import Task
from selfsup.training.export import export
from selfsup.training.processors import fingerprint

RECORD = "trial.json"
PREDICTIONS = "predictions.jsonl"
SLICE = 1_000_003  # keys of chance besides epochs, which are few


@dataclass(frozen=True)
class Trial:
    """What came of one.

    Args:
        conclusions: on the held-out examples, in order.
        figures: of all metrics.
        curve: a line for each epoch, see `fine_tune`.
        seconds: of all of it, on the machine where it ran; work lost to a stop is not counted.
        learnt: number of examples that were learnt from; without the slice.
    """

    conclusions: list[Any]
    figures: dict[str, float]
    curve: list[dict[str, float]]
    seconds: float
    learnt: int


def repetitions(seeds: int) -> range:
    """The seeds 0, 1, 2 … of some repetitions.

    Raises:
        ValueError: there are none.
    """
    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1, but {seeds} came")
    return range(seeds)


def run_trial(
    learner: Learner,
    task: Task,
    examples: Sequence[Example],
    held_out: Sequence[Example],
    config: FineTuneConfig,
    folder: Path,
    *,
    labels: Sequence[str],
    seed: int,
    accelerator: Accelerator,
    keep_model: bool = False,
) -> Trial:
    """Fine-tune a model and score it on held-out examples; once: what is kept in the folder is not made again.

    Args:
        learner: what learns.
        task: what is learnt.
        examples: to learn from; a slice of them chooses the epoch, see `FineTuneConfig`.
        held_out: to score on; they choose nothing.
        config: how it is learnt.
        folder: keeps trial.json, predictions.jsonl and curves.jsonl; with `keep_model` model/ too.
        labels: names in the order of their ids; empty where answers are no labels.
        seed: of the new head, the slice, the order and dropout.
        accelerator: of the run; all processes call together.
        keep_model: export the model with its processor.
    Raises:
        ValueError: the model does not fit the task, or a loss was not finite.
    """
    objective = task.objective()
    asked = {
        "model": learner.fingerprint(),
        "tokenizer": fingerprint(learner.processor),
        "precision": accelerator.mixed_precision,
        "labels": list(labels),
        **described(task, objective),
        "config": asdict(config),
        "examples": _digest(examples),
        "held_out": _digest(held_out),
        "seed": seed,
    }
    kept = _kept(folder, asked)
    if kept and (not keep_model or (folder / "model" / "config.json").exists()):
        return kept
    began = time.monotonic()
    learnt, held_back = hold_back(examples, config.slice_share, rng=text_rng(seed, SLICE, 0))
    if not held_back and (config.patience or config.slice_share):
        accelerator.print(
            f"{len(examples)} examples are too few for a slice of {config.slice_share:.0%} that chooses the epoch: all "
            "epochs are read and the last one is kept"
        )
    objective.survey(examples)
    model = build_learner(learner, objective, labels, seed=seed, fields=config.model)
    objective.bind(learner.processor, model.config)
    model.config.update(objective.findings())  # some are known once there are tokens
    score = Scorer(task, objective)
    kept_epochs = KeptEpochs(folder / "epochs", _digest(asked))
    prepared = time.monotonic() - began
    curve = fine_tune(model, objective, learnt, config, seed=seed, accelerator=accelerator, held_back=held_back,
                      score=score, label="/".join(folder.parts[-2:]), kept=kept_epochs)  # fmt: skip
    trained = time.monotonic()
    if held_back:
        last = assess(model, objective, held_back, accelerator=accelerator)
        objective.settle(held_back, last.conclusions, score.metrics[0])
        model.config.update(objective.findings())
    found = assess(model, objective, held_out, accelerator=accelerator)
    next(line for line in curve if line["best"])["test_loss"] = found.loss
    figures = score(found.conclusions, held_out)
    trial = Trial(
        found.conclusions, figures, curve, prepared + curve[-1]["seconds"] + time.monotonic() - trained, len(learnt)
    )
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        if keep_model:
            export(model, learner.processor, folder / "model")
        _keep(trial, asked, held_out, folder)
        kept_epochs.delete()
    accelerator.wait_for_everyone()
    return trial


def _kept(folder: Path, asked: dict[str, Any]) -> Trial | None:
    """The trial that a folder holds, if it holds one.

    Raises:
        ValueError: it is another one than is asked for.
    """
    try:
        record = json.loads((folder / RECORD).read_text())
        lines = (folder / PREDICTIONS).read_text().split("\n")[:-1]  # splitlines() would cut at U+2028 too
    except (OSError, ValueError):
        return None
    known = {f"--tune.{name}": value for name, value in asdict(FineTuneConfig()).items()}  # older trials lack the new
    old, new = known | _flat(record["asked"]), _flat(json.loads(json.dumps(asked)))
    if changed := [name for name in new if old.get(name) != new[name]]:
        raise ValueError(
            f"{folder} holds a trial already, with other {', '.join(changed)}: choose another output, or delete it"
        )
    if len(lines) != record["held_out"]:  # it was killed while it was made again
        return None
    conclusions = [json.loads(line)["prediction"] for line in lines]
    rate = record["seconds"] / record["curve"][-1]["step"]
    curve = [{"seconds": rate * line["step"]} | line for line in record["curve"]]  # which older trials lack
    return Trial(conclusions, record["figures"], curve, record["seconds"], record["learnt"])


def _keep(trial: Trial, asked: dict[str, Any], held_out: Sequence[Example], folder: Path) -> None:
    """Write a trial: each prediction with its example, and the record last, so that it stands for a whole one."""
    lines = [
        json.dumps({"prediction": conclusion, **example}, ensure_ascii=False, default=str)
        for conclusion, example in zip(trial.conclusions, held_out, strict=True)
    ]
    (folder / PREDICTIONS).write_text("".join(line + "\n" for line in lines))
    (folder / "curves.jsonl").write_text("".join(json.dumps(line) + "\n" for line in trial.curve))
    record = asdict(trial) | {"asked": asked, "held_out": len(trial.conclusions)}
    del record["conclusions"]
    aside = folder / f".{RECORD}"
    aside.write_text(json.dumps(record, indent=1))
    aside.replace(folder / RECORD)


def _flat(asked: dict[str, Any]) -> dict[str, Any]:
    config = {f"--tune.{name}": value for name, value in asked["config"].items()}
    return {name: value for name, value in asked.items() if name != "config"} | config


def described(task: Task, objective: Supervised) -> dict[str, str]:
    """What is asked and how it is scored, in words that change with it.

    Args:
        task: whose metrics score.
        objective: of it, fresh: it has seen no examples yet.
    """
    return {
        "objective": _told(f"{type(objective).__name__} {sorted(vars(objective).items(), key=repr)}"),
        "metrics": _told(repr((*task.source_metrics, *task.metrics))),
    }


def _told(description: str) -> str:
    """Without addresses in memory, which are others in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", description)


def _digest(value: Any) -> str:
    return blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()

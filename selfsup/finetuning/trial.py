"""One trial: a model, a task and a seed go in; what the model concludes on held-out examples comes out, and is kept."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b, file_digest
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import transformers
from accelerate import Accelerator
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from selfsup.finetuning.learning import FineTuneConfig, fine_tune
from selfsup.finetuning.prediction import assess
from selfsup.finetuning.slices import hold_back
from selfsup.objectives.objective import Example, text_rng
from selfsup.objectives.supervised import Supervised, few
from selfsup.task import Task
from selfsup.tokenization.encode import fingerprint
from selfsup.training.export import export, open_tokenizer, opening

RECORD = "trial.json"
PREDICTIONS = "predictions.jsonl"
SLICE = 1_000_003  # keys of chance besides epochs, which are few


@dataclass(frozen=True)
class Learner:
    """What is to learn a task.

    Args:
        start: folder or Hub id of a trained model; or the shape of one that was not trained.
        tokenizer: of the model.
        trust_remote_code: run Python files that come with the model.
    """

    start: str | PreTrainedConfig
    tokenizer: PreTrainedTokenizerBase
    trust_remote_code: bool = False

    def fingerprint(self) -> str:
        """Changes with the weights and the configuration, which is all where there are no weights yet."""
        if isinstance(self.start, PreTrainedConfig):
            return blake2b(repr(sorted(self.start.to_dict().items())).encode(), digest_size=8).hexdigest()
        weights = sorted(Path(self.start).glob("*.safetensors"))
        if not weights:
            return self.start
        digests = []
        for path in (*weights, Path(self.start) / "config.json"):
            with path.open("rb") as file:
                digests.append(file_digest(file, lambda: blake2b(digest_size=8)).hexdigest())
        return "-".join(digests)


def open_learner(model: str, *, scratch: bool = False, trust_remote_code: bool = False) -> Learner:
    """The model of a name, or one of its shape.

    Args:
        model: folder of a run, exported folder, checkpoint, or Hub id.
        scratch: take the shape and the tokenizer alone.
        trust_remote_code: run Python files that come with the model.
    Raises:
        ValueError: nothing opens under that name.
    """
    exported = Path(model) / "model"
    name = str(exported) if (exported / "config.json").is_file() else model
    tokenizer = open_tokenizer(name, trust_remote_code)
    if not scratch:
        return Learner(name, tokenizer, trust_remote_code)
    with opening("a model whose shape can be taken is wanted", name):
        shape = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
    return Learner(shape, tokenizer, trust_remote_code)


@dataclass(frozen=True)
class Trial:
    """What came of one.

    Args:
        conclusions: on the held-out examples, in order.
        figures: of all metrics.
        curve: a line for each epoch, see `fine_tune`.
        seconds: of all of it, on the machine where it ran.
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
        keep_model: export the model with its tokenizer.
    Raises:
        ValueError: the model does not fit the task, or a loss was not finite.
    """
    objective = task.objective()
    asked = {
        "model": learner.fingerprint(),
        "tokenizer": fingerprint(learner.tokenizer),
        "precision": accelerator.mixed_precision,
        "labels": list(labels),
        "objective": _told(f"{type(objective).__name__} {sorted(vars(objective).items(), key=repr)}"),
        "metrics": _told(repr(task.metrics)),
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
    objective.survey(examples)
    model = build_learner(learner, objective, labels, seed=seed, fields=config.model)
    objective.bind(learner.tokenizer, model.config)
    score = Scorer(task, objective)
    curve = fine_tune(model, objective, learnt, config, seed=seed, accelerator=accelerator, held_back=held_back,
                      score=score, label="/".join(folder.parts[-2:]))  # fmt: skip
    if held_back:
        last = assess(model, objective, held_back, accelerator=accelerator)
        objective.settle(held_back, last.conclusions, score.metrics[0])
        model.config.update(objective.findings())
    found = assess(model, objective, held_out, accelerator=accelerator)
    next(line for line in curve if line["best"])["test_loss"] = found.loss
    figures = score(found.conclusions, held_out)
    trial = Trial(found.conclusions, figures, curve, time.monotonic() - began, len(learnt))
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        if keep_model:
            export(model, learner.tokenizer, folder / "model")
        _keep(trial, asked, folder)
    accelerator.wait_for_everyone()
    return trial


class Scorer:
    """The metrics of a task, over conclusions.

    Args:
        task: whose metrics.
        objective: bound.
    Raises:
        ValueError: a metric looks for a label that there is not.
    """

    def __init__(self, task: Task, objective: Supervised) -> None:
        self.objective = objective
        self.metrics = [make() for make in task.metrics]
        for metric in self.metrics:
            if getattr(metric, "labels", ()) is None:  # a tally has a place for every label, seen or not
                metric.labels = [name for name, _ in sorted(objective.label_ids.items(), key=lambda pair: pair[1])]
            sought = getattr(metric, "positive", None)
            if sought is not None and sought not in metric.labels:
                raise ValueError(
                    f"{type(metric).__name__} looks for the label {sought!r}, but the labels are {few(metric.labels)}: "
                    "name them so with --data.labels, or name a metric of your own in a task file"
                )

    def __call__(self, conclusions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """All figures by name, the one that stands for the task first."""
        predictions, references = self._sides(conclusions, examples)
        figures: dict[str, float] = {}
        for metric in self.metrics:
            found = metric.figures(metric.tallies(predictions, references).sum(axis=0))
            figures |= {name: float(found[name]) for name in (metric.main, *found)}
        return figures

    def tallies(self, conclusions: Sequence[Any], examples: Sequence[Example]) -> np.ndarray:
        """(examples, k) what each adds to the first metric, for intervals."""
        return self.metrics[0].tallies(*self._sides(conclusions, examples))

    def figure(self, totals: np.ndarray) -> np.ndarray:
        """Sums of tallies (..., k) to the figure that stands for the task (...)."""
        return self.metrics[0].figure(totals)

    def _sides(self, conclusions: Sequence[Any], examples: Sequence[Example]) -> tuple[list[Any], list[Any]]:
        return (
            [self.objective.scored(conclusion) for conclusion in conclusions],
            [self.objective.reference(example) for example in examples],
        )


def build_learner(
    learner: Learner,
    objective: Supervised,
    labels: Sequence[str],
    *,
    seed: int,
    fields: Mapping[str, Any] = MappingProxyType({}),
) -> PreTrainedModel:
    """A model with the head of an objective, which starts afresh, on a body that does not.

    Args:
        learner: what learns.
        objective: not yet bound; it has seen the training examples.
        labels: names in the order of their ids; empty where answers are no labels.
        seed: of the new weights.
        fields: of the configuration, in place of those of the learner.
    Raises:
        ValueError: nothing opens under that name, it has no such head or field, or the weights of its body are not
            there.
    """
    auto = getattr(transformers, objective.auto_class)
    config = config_of(learner, labels)
    if unknown := [name for name in fields if not hasattr(config, name)]:
        raise ValueError(
            f"--tune.model names {', '.join(unknown)}, but the configuration of the model has no such field: it has "
            f"{', '.join(sorted(config.to_dict()))}"
        )
    config = type(config).from_dict(config.to_dict() | dict(fields))
    config.problem_type = objective.problem_type()
    config.update(objective.findings())
    torch.manual_seed(seed)
    if isinstance(learner.start, PreTrainedConfig):
        return auto.from_config(config, dtype=torch.float32, trust_remote_code=learner.trust_remote_code)
    with opening(f"a trained model for {objective.auto_class} is wanted", learner.start):
        model, info = auto.from_pretrained(
            learner.start, config=config, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True,
            trust_remote_code=learner.trust_remote_code,
        )  # fmt: skip
    body = model.base_model_prefix + "."
    if lost := [name for name in info["missing_keys"] if name.startswith(body) and "pooler" not in name]:
        raise ValueError(
            f"weights of the whole body were wanted, but {learner.start} lacks {len(lost)} of them, {sorted(lost)[0]} "
            "among them: name a folder that pretraining exported, or a Hub encoder"
        )
    if reshaped := sorted(name for name, *_ in info["mismatched_keys"] if name.startswith(body)):
        raise ValueError(
            f"weights of the whole body were wanted, but {len(reshaped)} of them have another shape in "
            f"{learner.start}, {reshaped[0]} among them: leave sizes out of --tune.model, or start from scratch"
        )
    if not strange_head(learner, objective, labels):
        return model
    torch.manual_seed(seed)
    fresh = auto.from_config(config, dtype=torch.float32, trust_remote_code=learner.trust_remote_code)
    fresh.base_model.load_state_dict(model.base_model.state_dict())
    return fresh


def strange_head(learner: Learner, objective: Supervised, labels: Sequence[str]) -> tuple[str, ...]:
    """Labels that a learner tells apart already, if they are others than those wanted: then its head starts afresh."""
    config = config_of(learner, ())
    head = objective.auto_class.removeprefix("AutoModel")
    known = tuple(name for _, name in sorted((config.id2label or {}).items()))
    unnamed = all(name == f"LABEL_{number}" for number, name in enumerate(known))
    brings_head = not isinstance(learner.start, PreTrainedConfig) and any(
        name.endswith(head) for name in config.architectures or ()
    )
    if not brings_head or known == tuple(labels) or (unnamed and len(known) == len(labels)):
        return ()
    return known


def config_of(learner: Learner, labels: Sequence[str]) -> PreTrainedConfig:
    """The configuration that a learner has when it knows some labels; without any, as it came."""
    if isinstance(learner.start, PreTrainedConfig):
        config = learner.start
    else:
        with opening("a trained model is wanted", learner.start):
            config = AutoConfig.from_pretrained(learner.start, trust_remote_code=learner.trust_remote_code)
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: place for place, name in enumerate(labels)}}
    return type(config).from_dict(config.to_dict() | (names if labels else {}))


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
    old, new = _flat(record["asked"]), _flat(json.loads(json.dumps(asked)))
    if changed := [name for name in new if old.get(name) != new[name]]:
        raise ValueError(
            f"{folder} holds a trial already, with other {', '.join(changed)}: choose another output, or delete it"
        )
    if len(lines) != record["held_out"]:  # it was killed while it was made again
        return None
    conclusions = [json.loads(line)["prediction"] for line in lines]
    return Trial(conclusions, record["figures"], record["curve"], record["seconds"], record["learnt"])


def _keep(trial: Trial, asked: dict[str, Any], folder: Path) -> None:
    """Write a trial; the record last, so that it stands for a whole one."""
    lines = [json.dumps({"prediction": conclusion}, ensure_ascii=False) for conclusion in trial.conclusions]
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


def _told(description: str) -> str:
    """Without addresses in memory, which are others in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", description)


def _digest(value: Any) -> str:
    return blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()

"""What a question about two segments, asked in pretraining, is worth to a task about two sentences."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from accelerate import Accelerator
from transformers import AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedTokenizerBase

from selfsup.data.labelled import PairTask, read_pairs
from selfsup.metrics.bootstrap import bootstrap
from selfsup.objectives import Classification, MaskedTokens, NextSentence, Objective, SentenceOrder
from selfsup.pictures.comparison import draw_intervals
from selfsup.training.finetuning import FineTuneConfig, fine_tune, right_answers
from selfsup.training.summary import table

SCRATCH, PLAIN, NEXT, ORDER = "not pretrained", "no question", "next sentence", "sentence order"
NAMES = (PLAIN, NEXT, ORDER, SCRATCH)
RECORD = "pairs.json"
INTERVAL_SEED = 0  # the same draws for all: equal answers have equal intervals


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
    given = {name: value for name, value in yaml.safe_load(arguments).items() if name not in ("task", "tune", "seeds")}
    init_args = {"tokens": {"num_segments": 2}}
    given["objectives"] = {
        name: {"class_path": f"selfsup.objectives.{type(objective).__name__}", "init_args": init_args.get(name, {})}
        for name, objective in asked.items()
    }
    given |= {"output": str(run), "tokenizer": tokenizer, "train": {**given["train"], "seed": seed}}
    return header + yaml.safe_dump(given, sort_keys=False)


def score_pairs(
    model: Path | PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    task: PairTask,
    config: FineTuneConfig,
    run: Path,
    *,
    seed: int,
    data_root: Path | None,
    accelerator: Accelerator,
) -> list[int]:
    """Fine-tune a model on a task of pairs and see which held-out ones it gets right; once, the answers are kept.

    Args:
        model: an exported folder, or the shape of a model that was not pretrained.
        tokenizer: of the model.
        task: which pairs.
        config: how it is fine-tuned.
        run: folder that keeps the answers, as pairs.json; made anew when the task or the configuration has changed.
        seed: of the new head, the order and dropout.
        data_root: folder that mirrors the Hub.
        accelerator: of the run.
    Returns:
        (examples) 1 where right.
    """
    record = run / RECORD
    asked = {"task": asdict(task), "config": asdict(config), "seed": seed, "model": _fingerprint(model)}
    if record.exists() and (kept := json.loads(record.read_text()))["asked"] == asked:
        return kept["right"]
    training, held_out = (read_pairs(task, tokenizer, split, data_root) for split in (task.split, task.held_out))
    labels = [example["label"] for example in training]
    torch.manual_seed(seed)
    if isinstance(model, PreTrainedConfig):
        shape = deepcopy(model)
        shape.num_labels, shape.pad_token_id = max(labels) + 1, tokenizer.pad_token_id
        network = AutoModelForSequenceClassification.from_config(shape)
    else:
        network = AutoModelForSequenceClassification.from_pretrained(model, num_labels=max(labels) + 1)
    objective = Classification()
    objective.bind(tokenizer, network.config)
    tuned = fine_tune(network, objective, training, config, seed=seed, accelerator=accelerator)
    right = [int(hit) for hit in right_answers(tuned, objective, held_out, device=accelerator.device)]
    accelerator.free_memory()  # it would keep every model alive
    majority = max(set(labels), key=labels.count)
    always = [int(example["label"] == majority) for example in held_out]
    if accelerator.is_main_process:
        run.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"asked": asked, "right": right, "majority": float(np.mean(always))}))
    accelerator.wait_for_everyone()
    return right


def _fingerprint(model: Path | PreTrainedConfig) -> str:
    """Changes with the weights of a model, or with the shape of one that is to be made."""
    if isinstance(model, PreTrainedConfig):
        return blake2b(repr(sorted(model.to_dict().items())).encode(), digest_size=8).hexdigest()
    with (model / "model.safetensors").open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=8)).hexdigest()


def compare(right: Mapping[str, Sequence[Sequence[int]]], folder: Path, *, title: str) -> dict[str, Any]:
    """Put every way of pretraining beside the plain one: a table, comparison.json and comparison.png.

    Args:
        right: by name, for every seed which examples came out right.
        folder: of the comparison; the runs lie where `folder_of` says.
        title: of the picture.
    Returns:
        by metric and name: mean, lower and upper bound; and the share of the most frequent class.
    """
    rows: list[tuple[str, ...]] = [
        ("beside masked tokens", "own perplexity", "question right", "task right (95 %)", f"minus {PLAIN} (95 %)")
    ]
    accuracies, differences = {}, {}
    plain = np.array(right[PLAIN])
    for name, hits in right.items():
        scores = np.array(hits)
        accuracies[name] = scaled(bootstrap(scores, rng=np.random.default_rng(INTERVAL_SEED)))
        cells = [_between(accuracies[name])]
        if name == PLAIN:
            cells.append("")
        else:
            differences[name] = scaled(bootstrap(scores, plain, rng=np.random.default_rng(INTERVAL_SEED)))
            cells.append(_between(differences[name], sign="+"))
        runs = [_results(folder_of(folder, name, seed)) for seed in range(len(scores))]
        rows.append((name, _spread(runs, "validation_tokens_perplexity"), _spread(runs, "accuracy"), *cells))
    majority = 100 * json.loads((folder_of(folder, PLAIN, 0) / RECORD).read_text())["majority"]
    panels = {"task: share right (%)": accuracies, f"minus {PLAIN} (points)": differences}
    picture = folder / "comparison.png"
    print(f"\n{table(rows)}\n\nalways the most frequent class: {majority:.1f} %\npicture  {picture}")
    (folder / "comparison.json").write_text(json.dumps({**panels, "majority": majority}, indent=1))
    draw_intervals(panels, picture, title=title, baselines=dict(zip(panels, (majority, 0.0), strict=True)))
    return {**panels, "majority": majority}


def scaled(interval: tuple[float, float, float]) -> tuple[float, float, float]:
    """Shares as per cent."""
    mean, low, high = interval
    return 100 * mean, 100 * low, 100 * high


def folder_of(folder: Path, name: str, seed: int) -> Path:
    """Where the run of a name and seed lies, with its results.json and pairs.json."""
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


def _between(interval: tuple[float, float, float], sign: str = "") -> str:
    mean, low, high = (format(value, f"{sign}.1f") for value in interval)
    return f"{mean}  ({low} to {high})"

"""How much a body knows: probes of its features and full fine-tuning, beside fresh weights and raw pixels."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from selfsup.finetuning.baselines import baseline
from selfsup.finetuning.features import Pooling, extract, open_body, without_head
from selfsup.finetuning.figures import Scorer, between, interval
from selfsup.finetuning.learner import Learner, config_of
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.material import Material
from selfsup.finetuning.pixels import pixels_of
from selfsup.finetuning.probes import PROBES, choose
from selfsup.finetuning.slices import draw_share
from selfsup.finetuning.trial import repetitions, run_trial
from selfsup.objectives.objective import accepted_fields, text_rng
from selfsup.task import Task
from selfsup.training.processors import sees
from selfsup.training.summary import table

TRAINED, FRESH, PIXELS = "trained", "fresh weights", "pixels"
SHARE, SLICE = 1_000_033, 1_000_003  # keys of chance, as in comparisons and trials
FULL = "full"
Kind = Literal["nearest", "linear", "full"]


@dataclass(frozen=True)
class ProbeConfig:
    """What is asked of a body.

    Args:
        kinds: of probes: neighbours, a linear layer, and fine-tuning of everything.
        features: the mean of the last layer, or its class token.
        shares: of the labelled examples, each above 0 and at most 1.
        seeds: repetitions, 0, 1, 2 …; each draws its own shares, slices and fresh weights.
        tune: how everything is fine-tuned, with trained weights and with fresh ones.
    """

    kinds: tuple[Kind, ...] = ("nearest", "linear")
    features: Pooling = "mean"
    shares: tuple[float, ...] = (0.01, 0.1, 1.0)
    seeds: int = 3
    tune: FineTuneConfig = field(default_factory=FineTuneConfig)

    def __post_init__(self) -> None:
        repetitions(self.seeds)
        if not self.kinds:
            raise ValueError("at least one kind of probe is wanted, but none came: name nearest, linear or full")
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise ValueError(
                f"shares of the training examples above 0 and at most 1 are wanted, but {self.shares} came"
            )


class Sheet(NamedTuple):
    """Vectors of all examples, (examples, features) each, and the seconds that they took."""

    train: Tensor
    held_out: Tensor
    seconds: float


class Cell(NamedTuple):
    """What one probe came to with one seed.

    Args:
        tallies: (examples, k) of the task's metric on the held-out examples.
        chosen: in words; empty where nothing was.
        seconds: without those of the features.
    """

    tallies: np.ndarray
    chosen: str
    seconds: float


def check_probed(task: Task, learner: Learner, config: ProbeConfig) -> Task:
    """The task as it is asked of the body, see `without_head`.

    Raises:
        ValueError: the task does not fit, or everything is to be fine-tuned where the model has no such head.
    """
    asked, shape = without_head(task), config_of(learner, ())
    read, wanted = (("pictures" if it else "text") for it in (sees(shape), "image" in asked.objective().roles))
    if read != wanted:
        raise ValueError(
            f"a model that reads {wanted} is wanted for {task.name}, but this one ({shape.model_type}) reads "
            f"{read}: name another task, objective or model"
        )
    if FULL in config.kinds:
        accepted_fields(task.objective().auto_class, shape)
    return asked


def probe(
    arms: Mapping[str, Learner], task: Task, material: Material, config: ProbeConfig, folder: Path,
    *, accelerator: Accelerator,
) -> dict[str, Any]:  # fmt: skip
    """All probes of a body, of the same network with fresh weights, and where there are pictures of their pixels.

    The held-out examples choose nothing; what is chosen is chosen on a slice of the examples that are learnt from.

    Args:
        arms: learners by the names `TRAINED` and `FRESH`.
        task: as it came, to be fine-tuned on.
        material: of the task without its head.
        config: what is asked.
        folder: keeps the trials of full fine-tuning.
        accelerator: of the run; all processes call together.
    Returns:
        `metric`, `held_out`, `baseline` (name, figure), `features` (in words), `feature_seconds` by arm, and for each
        share `labels` and `cells`: for each kind and arm `figure` (mean, low, high), `gain` (what is trained minus it),
        `figures` by seed, `chosen` by seed and `seconds`, all seeds together.
    Raises:
        ValueError: the body gives no such features, or there are no held-out examples.
    """
    if not material.held_out:
        raise ValueError(f"{material.name}: examples to score on are wanted, but none are held out: hold out some")
    objective = material.bound(arms[TRAINED])
    score = Scorer(material.task, objective)
    answers = torch.tensor([objective.label_ids[example["label"]] for example in material.train])
    sheets: dict[str, Sheet] = {}
    words, seconds = "", dict.fromkeys(arms, 0.0)
    cells: dict[tuple[float, str, str], list[Cell]] = {}
    for seed in repetitions(config.seeds):
        for arm, learner in arms.items():
            if set(config.kinds) != {FULL} and (arm == FRESH or not seed):
                sheets[arm], words = _sheet(learner, material, config, f"{arm}, seed {seed}", seed, accelerator)
                seconds[arm] += sheets[arm].seconds
        if "image" in objective.roles and not seed:
            sheets[PIXELS] = Sheet(pixels_of(material.train), pixels_of(material.held_out), 0.0)
        for share in config.shares:
            places = draw_share(range(len(material.train)), share, rng=text_rng(seed, SHARE, 0))
            for kind in config.kinds:
                for arm in sheets if kind != FULL else arms:
                    done = cells.setdefault((share, kind, arm), [])
                    if kind == FULL:
                        done.append(_tuned(arms[arm], replace(material, task=task), places, config, score,
                                           folder / f"share-{share:g}" / f"{arm.replace(' ', '-')}-{seed}", seed,
                                           accelerator))  # fmt: skip
                    elif share == 1 and arm != FRESH and done:
                        done.append(done[0]._replace(seconds=0.0))  # nothing in it is left to chance but the slice
                    else:
                        done.append(_probed(kind, sheets[arm], answers, places, material, score, seed, accelerator))
    name, guess = baseline(objective, material.train)
    plain = score.of_guesses([guess(example) for example in material.held_out], material.held_out)
    return {
        "metric": score.metrics[0].main,
        "learnt": len(material.train),
        "held_out": len(material.held_out),
        "seeds": config.seeds,
        "baseline": [name, float(score.figure(plain.sum(axis=0)))],
        "features": words,
        "feature_seconds": seconds,
        "shares": {share: _of_share(share, cells, score, len(material.train)) for share in config.shares},
    }


def _sheet(
    learner: Learner, material: Material, config: ProbeConfig, label: str, seed: int, accelerator: Accelerator
) -> tuple[Sheet, str]:
    began, body = time.monotonic(), open_body(learner, seed=seed)
    objective = material.bound(learner)
    train, held_out = (
        extract(body, objective, examples, pooling=config.features, accelerator=accelerator, label=label)
        for examples in (material.train, material.held_out)
    )
    return Sheet(train.values, held_out.values, time.monotonic() - began), train.said


def _probed(
    kind: str, sheet: Sheet, answers: Tensor, places: Sequence[int], material: Material, score: Scorer, seed: int,
    accelerator: Accelerator,
) -> Cell:  # fmt: skip
    """A probe on some of the labelled examples: choose on a slice of them, then learn from all of them."""
    began, form, classes = time.monotonic(), PROBES[kind], len(material.labels)
    places = list(places)
    known, right, asked = (
        values.to(accelerator.device) for values in (sheet.train[places], answers[places], sheet.held_out)
    )
    choice, sliced = choose(form, known, right, classes, rng=text_rng(seed, SLICE, 0))
    guesses = [material.labels[number] for number in form.fit(known, right, asked, classes, choice).tolist()]
    tallies = score.of_guesses(guesses, material.held_out)
    chosen = f"{form.symbol} {choice:g}" + ("" if sliced else " (usual)")
    return Cell(tallies, chosen, time.monotonic() - began)


def _tuned(
    learner: Learner, material: Material, places: Sequence[int], config: ProbeConfig, score: Scorer, folder: Path,
    seed: int, accelerator: Accelerator,
) -> Cell:  # fmt: skip
    trial = run_trial(learner, material.task, [material.train[place] for place in places], material.held_out,
                      config.tune, folder, labels=material.labels, seed=seed, accelerator=accelerator)  # fmt: skip
    best = next(line for line in trial.curve if line["best"])
    return Cell(score.of_guesses(trial.conclusions, material.held_out), f"epoch {best['epoch']:g}", trial.seconds)


def _of_share(
    share: float, cells: Mapping[tuple[float, str, str], Sequence[Cell]], score: Scorer, number: int
) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    for (of, kind, arm), done in cells.items():
        if of != share:
            continue
        tallies = np.stack([cell.tallies for cell in done])
        trained = np.stack([cell.tallies for cell in cells[share, kind, TRAINED]])
        found.setdefault(kind, {})[arm] = {
            "figure": interval(tallies, score),
            "gain": None if arm == TRAINED else interval(trained, score, tallies),
            "figures": [float(score.figure(cell.tallies.sum(axis=0))) for cell in done],
            "chosen": [cell.chosen for cell in done],
            "seconds": sum(cell.seconds for cell in done),
        }
    return {"labels": max(1, round(share * number)), "cells": found}


def report(result: Mapping[str, Any], folder: Path, *, title: str) -> None:
    """Print the table, and leave results.json and probes.png.

    Args:
        result: of `probe`.
        folder: where they go.
        title: of the picture.
    """
    rows: list[tuple[str, ...]] = [
        ("labels", "probe", "on", f"{result['metric']} (95 %)", "trained minus it", "chosen", "seconds")
    ]
    groups: dict[str, dict[str, tuple[float, float, float]]] = {}
    for found in result["shares"].values():
        labels = f"{found['labels']:,}"
        group = groups.setdefault(f"{labels} labels", {})
        for kind, arms in found["cells"].items():
            for arm, cell in arms.items():
                gain = between(cell["gain"], "+") if cell["gain"] else ""
                chosen = ", ".join(dict.fromkeys(cell["chosen"]))
                rows.append((labels, kind, arm, between(cell["figure"]), gain, chosen, f"{cell['seconds']:.1f}"))
                mean, low, high = (100 * value for value in cell["figure"])
                group[f"{kind}: {arm}"] = (mean, low, high)
                labels = ""
    name, plain = result["baseline"]
    rows.append(("", name, "", f"{100 * plain:.1f}", "", "", ""))
    print(f"\n{table(rows)}\n")
    if result["features"]:
        took = ", ".join(f"{arm} {seconds:.1f} s" for arm, seconds in result["feature_seconds"].items())
        print(f"features  {result['features']} ({took})")
    print(f"seeds     {result['seeds']}; scored on {result['held_out']:,} examples, which chose nothing")
    (folder / "results.json").write_text(json.dumps(result, indent=1))
    from selfsup.pictures.comparison import draw_intervals  # here: matplotlib takes seconds, and --help draws nothing

    picture = folder / "probes.png"
    draw_intervals(groups, picture, title=title, unit=f"{result['metric']} in %",
                   baselines=dict.fromkeys(groups, 100 * plain))  # fmt: skip
    print(f"picture   {picture}\nfigures   {folder / 'results.json'}")

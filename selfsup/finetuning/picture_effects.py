"""What normalisation and augmentation are worth to a small network of pictures: one effect each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from accelerate import Accelerator
from numpy.random import default_rng
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from selfsup.examples import DataChoice
from selfsup.finetuning.beginning import begin_pictures
from selfsup.finetuning.effects import Arm, Effect
from selfsup.finetuning.learner import open_learner
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.material import open_material
from selfsup.finetuning.trial import run_trial
from selfsup.models.convnet_config import ConvNetConfig
from selfsup.objectives import ImageClassification
from selfsup.objectives.augmentation import Augmentation
from selfsup.objectives.objective import Batch, Example, Players
from selfsup.objectives.sequences import bare
from selfsup.task import Task

KIND, FIELDS = "selfsup_convnet", {"channels": [8, 8, 16, 16, 32, 32]}
TUNE = FineTuneConfig(learning_rate=3e-3, weight_decay=0.05, batch_size=64, epochs=5, slice_share=0.0)
RACE = replace(TUNE, batch_size=128, epochs=8, slice_share=0.1)
WAYS = {"AdamW": RACE, "Muon": replace(RACE, optimizer="Muon", learning_rate=1e-2)}
NORMALISATIONS: Sequence[str] = get_args(ConvNetConfig.__annotations__["normalisation"])
RATES = (1e-3, 1e-2)
LADDER = (1e-3, 4e-3, 1.6e-2, 6.4e-2, 0.256, 1.024)  # of learning rates, until one is too large
ALTERED: Mapping[str, Augmentation] = {
    "turned": Augmentation(rotate=30),
    "scaled": Augmentation(scale=(0.7, 1.3)),
    "shifted": Augmentation(shift=0.15),
}


class ByTheBatch(ImageClassification):
    """Concludes as a network in training would: normalised by what stands in the batch, not by running averages."""

    def forward(self, players: Players, batch: Batch, turn: str) -> Any:
        with normalised_as_in_training(bare(players)):
            return super().forward(players, batch, turn)


class Altered(ImageClassification):
    """Concludes about pictures that are altered, each in a way that its own pixels decide, so always the same."""

    def __init__(self, alteration: Augmentation) -> None:
        super().__init__(augmentation=alteration)

    def encode(self, example: Example) -> Example:
        rng = default_rng(int(str(example["image"]), 16))
        return super().encode(example) | {"chances": self.augmentation.draw(rng)}


@contextmanager
def normalised_as_in_training(model: nn.Module) -> Iterator[None]:
    """Layers with running averages behave as in training, and have the old averages afterwards."""
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    before = [{name: buffer.clone() for name, buffer in layer.named_buffers()} for layer in layers]
    was_training = [layer.training for layer in layers]
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer, buffers, training in zip(layers, before, was_training, strict=True):
            layer.train(training)
            for name, buffer in layer.named_buffers():
                buffer.copy_(buffers[name])


def normalising(clothes: Task, choice: DataChoice, data_root: Path | None) -> Effect:
    """How well does a network learn with each normalisation, at a small and at a large learning rate, and how far are
    running averages from what was normalised by in training?"""
    return Effect(
        clothes,
        choice,
        _beginning(clothes, choice, FIELDS, data_root),
        TUNE,
        {
            f"{name}, {rate:g}": Arm(
                ImageClassification, {"normalisation": name}, tune=replace(TUNE, learning_rate=rate)
            )
            for rate in RATES
            for name in NORMALISATIONS
        },
        {"accuracy": _scored(clothes, ImageClassification), "by the batch": _scored(clothes, ByTheBatch)},
    )


def altering(clothes: Task, choice: DataChoice, data_root: Path | None) -> Effect:
    """Does a network that learns from altered pictures know pictures that are altered in the same way, or another?"""
    every = Augmentation(rotate=30, scale=(0.7, 1.3), shift=0.15)
    ways = {"as they are": Augmentation(), **ALTERED, "all three": every}
    return Effect(
        clothes,
        choice,
        _beginning(clothes, choice, FIELDS, data_root),
        TUNE,
        {f"learnt {name}": Arm(partial(ImageClassification, augmentation=way)) for name, way in ways.items()},
        {name: _scored(clothes, partial(Altered, way)) for name, way in ways.items()},
    )


def optimising(clothes: Task, choice: DataChoice, data_root: Path | None) -> Effect:
    """How soon, and how well in the end, does the network of a fresh configuration learn (90,058 weights for grey
    clothes), by AdamW and by Muon, each at a rate that is fixed here, from pictures as they are, and mirrored?"""
    ways = {"": Augmentation(), ", mirrored": Augmentation(flip=0.5)}
    return Effect(
        clothes,
        choice,
        _beginning(clothes, choice, {}, data_root),
        RACE,
        {
            f"{name}{said}": Arm(partial(ImageClassification, augmentation=way), tune=tune)
            for name, tune in WAYS.items()
            for said, way in ways.items()
        },
        {"accuracy": _scored(clothes, ImageClassification)},
        watched=0.9,
    )


def largest_rates(
    clothes: Task, choice: DataChoice, folder: Path, *, seeds: Sequence[int], accelerator: Accelerator,
    data_root: Path | None = None,
) -> dict[str, list[float]]:  # fmt: skip
    """The largest learning rate of `LADDER` with which each normalisation learns.

    One epoch is read with each rate, from the smallest on. A rate is too large from where the loss is not finite, or
    less than half is right of what was right with the best rate before.

    Args:
        clothes: the task.
        choice: of its data.
        folder: keeps all trials.
        seeds: of weights and order.
        accelerator: of the run.
        data_root: folder that mirrors the Hub.
    Returns:
        by normalisation one rate for each seed; 0 where the smallest is too large.
    """
    if not (folder / "shape" / "config.json").exists():
        _beginning(clothes, choice, FIELDS, data_root)(folder / "shape")
    learner = open_learner(str(folder / "shape"), scratch=True)
    material = open_material(clothes, choice, learner, data_root=data_root, say=accelerator.print)
    found: dict[str, list[float]] = {}
    for name in NORMALISATIONS:
        found[name] = []
        for seed in seeds:
            stable, best = 0.0, 0.0
            for rate in LADDER:
                tune = replace(TUNE, learning_rate=rate, epochs=1, model={"normalisation": name})
                try:
                    trial = run_trial(
                        learner, clothes, material.train, material.held_out, tune, folder / f"{name}-{rate:g}-{seed}",
                        labels=material.labels, seed=seed, accelerator=accelerator,
                    )  # fmt: skip
                except ValueError as error:
                    if "finite" not in str(error):
                        raise
                    break
                right = next(iter(trial.figures.values()))
                if right < best / 2:
                    break
                stable, best = rate, max(best, right)
            found[name].append(stable)
    return found


def told(found: Mapping[str, Sequence[float]]) -> list[tuple[str, ...]]:
    """Rows of a table: a normalisation, the middle of its seeds, and all of them."""
    rows: list[tuple[str, ...]] = [("", "largest rate that learns (median)", "seeds")]
    for name, rates in found.items():
        rows.append((name, f"{np.median(rates):g}", ", ".join(f"{rate:g}" for rate in rates)))
    return rows


def _beginning(
    task: Task, choice: DataChoice, fields: Mapping[str, Any], data_root: Path | None
) -> Callable[[Path], Any]:
    return lambda folder: begin_pictures(task, choice, KIND, fields, folder, data_root=data_root)


def _scored(clothes: Task, objective: Callable[[], ImageClassification]) -> Callable[[int], Task]:
    return lambda beams: Task(objective=objective, metrics=clothes.metrics, data=())


EFFECTS = {"normalising": normalising, "altering": altering, "optimising": optimising}

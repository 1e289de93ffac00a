"""How many pictures a second the input path makes ready, beside the steps that learn from them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from selfsup.benchmark.speed import ratio_of_medians
from selfsup.data.album import Look, PictureDataConfig, open_albums
from selfsup.objectives import Contrastive, MaskedAutoencoding, Rotation
from selfsup.objectives.augmentation import Augmentation
from selfsup.objectives.pictures import Sight
from selfsup.optim.optimizers import OptimConfig, build_optimizer
from selfsup.training.batches import Share, Steps
from selfsup.training.seeing import acquainted, build_seeing_model, shape_for
from selfsup.training.step import take_step
from selfsup.training.summary import table

WARM_UP = 3  # steps that are not counted
LARGEST_PATCH = 4
SMALL = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 128}


@dataclass(frozen=True)
class Case:
    """A model that learns something of pictures.

    Args:
        objective: what.
        kind: of a fresh model.
        fields: of its configuration.
    """

    objective: Sight
    kind: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Lap:
    """One step, in seconds.

    Args:
        drawn: chance is drawn, and bytes are laid side by side.
        altered: numbers are made of the bytes on the device, and altered.
        taken: the model learns from them, with `altered` in it once more.
    """

    drawn: float
    altered: float
    taken: float


def cases(look: Look) -> dict[str, Case]:
    """What is timed: each altered in another way, from nothing to two views of every picture.

    Args:
        look: of the pictures; patches are as large as fit into them, up to 4 pixels.
    """
    side = max(look.height, look.width)  # to which pictures that are not square are brought
    small = SMALL | {"patch_size": max(size for size in range(1, LARGEST_PATCH + 1) if side % size == 0)}
    little = Augmentation(shift=0.1, flip=0.5)
    return {
        "masked autoencoder": Case(MaskedAutoencoding(), "selfsup_masked_autoencoder", small),
        "Transformer, shift and flip": Case(Rotation(little), "selfsup_vit", small),
        "convolutions, shift and flip": Case(Rotation(little), "selfsup_convnet", {}),
        "convolutions, two views": Case(Contrastive(), "selfsup_convnet", {}),
    }


def laps(
    case: Case, corpus: str, look: Look, data: PictureDataConfig, *, rounds: int, accelerator: Accelerator,
    data_root: Path | None = None,
) -> Iterator[Lap]:  # fmt: skip
    """Take steps from decoded pictures in memory; the first few are not counted.

    Args:
        case: what learns.
        corpus: name of the pictures.
        look: of the first of them.
        data: which pictures, and how many a step; without stages, of which a bench would see the first alone.
        rounds: steps that are counted.
        accelerator: of the run.
        data_root: folder that mirrors the Hub.
    Raises:
        ValueError: there are no such pictures, or the model does not read them; or there are stages.
    """
    if data.stages:
        raise ValueError("a batch_size of all steps is wanted, but stages came: leave --data.stages out")
    config, processor = shape_for(look, case.kind, case.fields)
    config = acquainted(config, case.objective)
    plan, _ = open_albums(corpus, data, case.objective.form(processor, config), seed=0, data_root=data_root,
                          say=lambda line: None)  # fmt: skip
    torch.manual_seed(0)
    model = accelerator.prepare(build_seeing_model(case.objective, config)).train()
    case.objective.bind(processor, config)
    optimizer = build_optimizer(model, OptimConfig())
    steps = Steps(plan, case.objective, Share(), None, warmup_steps=0)
    for step in range(WARM_UP + rounds):
        times = [time.perf_counter()]
        batches = steps[step]
        times.append(time.perf_counter())
        for batch in batches:
            moved = {name: value.to(accelerator.device) for name, value in batch.items()}
            case.objective.inputs(moved)["pixel_values"].flatten()[0].item()  # a GPU is done once its number is here
        times.append(time.perf_counter())
        take_step({"model": model}, {"model": optimizer}, case.objective, batches, clip_norm=1.0,
                  accelerator=accelerator)  # fmt: skip
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize()  # the optimizer's last step, too
        times.append(time.perf_counter())
        if step >= WARM_UP:
            yield Lap(*np.diff(times))


def report(timed: Mapping[str, Sequence[Lap]], batch_size: int) -> str:
    """The table: pictures a second of the input path and of whole steps, and the share of a step that is input."""
    rows: list[tuple[str, ...]] = [
        ("", "input: pictures/s", "steps: pictures/s", "drawn, ms", "altered, ms", "step, ms", "input of a step (95 %)")
    ]
    for name, some in timed.items():
        drawn, altered, taken = np.array([(lap.drawn, lap.altered, lap.taken) for lap in some]).T
        whole = drawn + taken
        share, low, high = ratio_of_medians(drawn + altered, whole)
        rates = (batch_size / np.median(one) for one in (drawn + altered, whole))
        rows.append((name, *(f"{rate:,.0f}" for rate in rates),
                     *(f"{1e3 * np.median(one):.1f}" for one in (drawn, altered, whole)),
                     f"{share:.1%} ({low:.1%} to {high:.1%})"))  # fmt: skip
    return f"{batch_size} pictures a step\n\n{table(rows)}\n"

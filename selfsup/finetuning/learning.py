"""Fine-tuning: epochs of `take_step` on examples in memory, and the best of them chosen on a slice held back."""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from selfsup.data.collate import collate, num_target_tokens, num_tokens
from selfsup.finetuning.keeping import KeptEpochs
from selfsup.objectives.objective import Example, text_rng
from selfsup.objectives.supervised import Supervised
from selfsup.optim.groups import layer_groups
from selfsup.optim.muon import Muon
from selfsup.optim.optimizers import muon_groups
from selfsup.optim.schedules import factor
from selfsup.predicting.assess import assess
from selfsup.training.batches import Share
from selfsup.training.sharding import is_wanted
from selfsup.training.step import agree, seed_step, take_step

POOL = 16  # batches whose examples are sorted by length together: little padding, and still much chance


@dataclass(frozen=True)
class FineTuneConfig:
    """How a pretrained model learns a task.

    Args:
        learning_rate: at its peak, of the head; small models want 1e-4 to 1e-3.
        optimizer: AdamW, or Muon for the matrices in blocks, which learns faster from scratch.
        epochs: times that all examples are read.
        min_steps: few examples are read more often, until there are as many steps.
        batch_size: rows of a step, over all processes.
        micro_batch_size: rows of one forward pass; None for all rows of a process at once.
        warmup_share: share of the steps until the peak; then down to 0 in a straight line.
        weight_decay: of matrices.
        layer_decay: how much slower each block learns than the one above it; 1 for one rate everywhere.
        freeze_body: only the head learns.
        model: fields of its configuration in place of those it was pretrained with: {dropout: 0.1, pooling: first}.
        slice_share: of the training examples, at most 1,000 of them, held back to choose the best epoch by; 0 for none,
            and none where it would be fewer than 50: then the last epoch is the best.
        patience: epochs without a better score on the slice after which no more are read; None for all.
    """

    learning_rate: float = 3e-4
    optimizer: Literal["AdamW", "Muon"] = "AdamW"
    epochs: int = 5
    min_steps: int = 0
    batch_size: int = 32
    micro_batch_size: int | None = None
    warmup_share: float = 0.06
    weight_decay: float = 0.01
    layer_decay: float = 1.0
    freeze_body: bool = False
    model: dict[str, Any] = field(default_factory=dict)
    slice_share: float = 0.1
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not 0 < self.learning_rate < math.inf:
            raise ValueError(f"epochs and batch_size of at least 1 and a learning_rate above 0 are wanted, but {self}")
        if any(number is not None and number < 1 for number in (self.micro_batch_size, self.patience)):
            raise ValueError(f"micro_batch_size and patience must be at least 1 or null, but {self} came")
        for name in ("warmup_share", "slice_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, but {getattr(self, name)} came")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be above 0 and at most 1, but {self.layer_decay} came")
        if self.patience is not None and self.slice_share == 0:
            raise ValueError(
                "patience watches the slice held back from training, but slice_share is 0: set one of them"
            )
        if self.optimizer == "Muon" and self.layer_decay != 1:
            raise ValueError(
                f"Muon moves all layers at one rate, but layer_decay is {self.layer_decay}: set one of them"
            )
        if self.weight_decay < 0 or self.min_steps < 0:
            raise ValueError("weight_decay and min_steps must not be negative")


def of_tasks(
    config: FineTuneConfig, tasks: Collection[str], epochs: Mapping[str, int] | None, known: Collection[str] = ()
) -> dict[str, FineTuneConfig]:
    """One setting for all tasks, but with other numbers of epochs where they are named.

    Args:
        config: of all.
        tasks: of this run.
        epochs: by task.
        known: further tasks; a recipe may name epochs of those that this run leaves out.
    Raises:
        ValueError: epochs are named for what is no task.
    """
    epochs = epochs or {}
    if strange := sorted(set(epochs) - {*tasks, *known}):
        raise ValueError(f"--epochs names {', '.join(strange)}, but the tasks are {', '.join(tasks)}")
    return {task: replace(config, epochs=epochs.get(task, config.epochs)) for task in tasks}


def fine_tune(
    model: PreTrainedModel,
    objective: Supervised,
    examples: Sequence[Example],
    config: FineTuneConfig,
    *,
    seed: int,
    accelerator: Accelerator,
    held_back: Sequence[Example] = (),
    score: Callable[[Sequence[Any], Sequence[Example]], dict[str, float]] | None = None,
    label: str = "fine-tuning",
    kept: KeptEpochs | None = None,
) -> list[dict[str, float]]:
    """Train a model on examples; on return it has the weights of the best epoch, or without a slice of the last.

    Args:
        model: with the head of the objective; trained in place.
        objective: bound, with one player.
        examples: raw ones, by role.
        config: how long and how fast.
        seed: of the order of the examples and of dropout.
        accelerator: of the run; all processes call together.
        held_back: a slice that chooses the epoch; nothing is learnt from it.
        score: figures of conclusions on examples; the first one chooses. Without it the loss does.
        label: of the progress bar.
        kept: where whole epochs are kept, and gone on from after the last of them; nowhere without it.
    Returns:
        for each epoch `epoch`, `step`, `seconds` so far (with encoding and scoring, without work lost to a stop),
        `train_loss` and of the slice `slice_loss` and `slice_<figure>`; the chosen one has `best` 1.
    Raises:
        ValueError: a loss was not finite, or weights were to be sharded.
    """
    if is_wanted():
        raise ValueError(
            "fine-tuning does not shard weights: launch with scripts/launch/ddp.yaml, gpu.yaml or cpu.yaml"
        )
    began = time.monotonic()
    rows = [objective.encode(part) for example in examples for part in objective.parts(example)]
    objective.meet(rows)
    per_epoch = math.ceil(len(rows) / config.batch_size)
    epochs = max(config.epochs, math.ceil(config.min_steps / per_epoch))
    for name, weight in model.named_parameters():
        weight.requires_grad_(not (config.freeze_body and name.startswith(model.base_model_prefix + ".")))
    optimizer = _optimizer(model, config)
    accelerator.ddp_handler = accelerator.ddp_handler or DistributedDataParallelKwargs(broadcast_buffers=False)
    prepared = accelerator.prepare(model)
    share = Share(accelerator.process_index, accelerator.num_processes, config.micro_batch_size)
    warmup_steps = math.ceil(config.warmup_share * per_epoch * epochs)
    curve: list[dict[str, float]] = []
    best: dict[str, Tensor] = {}
    if kept:
        curve, best = kept.restore(model, optimizer)
        curve = [{"seconds": 0.0} | line for line in curve]  # epochs that an older version kept have none
        began -= curve[-1]["seconds"] if curve else 0.0
    bar = tqdm(total=per_epoch * epochs, desc=label, leave=False, disable=not accelerator.is_main_process)
    bar.update(per_epoch * len(curve))
    ahead = _ahead(curve)
    stopped = bool(curve and held_back and config.patience and len(curve) - 1 - ahead >= config.patience)
    with bar:
        for epoch in range(epochs if stopped else len(curve), epochs):
            model.train()
            sums = counts = 0.0
            for place, chosen in enumerate(_batches(rows, per_epoch, text_rng(seed, epoch, 0))):
                step = epoch * per_epoch + place
                rate = factor(step, schedule="linear", warmup_steps=warmup_steps, num_steps=per_epoch * epochs)
                for group in optimizer.param_groups:
                    group["lr"] = config.learning_rate * rate * group["scale"]
                seed_step(seed, step, accelerator.process_index)
                progress = step / (per_epoch * epochs)
                drawn = [
                    [objective.corrupt(rows[i], rng=text_rng(seed, epoch, 1 + i), progress=progress)] for i in chosen
                ]
                batches = [collate(part, padding=objective.padding) for part in share.of(drawn)]
                figures = take_step({"model": prepared}, {"model": optimizer}, objective, batches, clip_norm=1.0,
                                    accelerator=accelerator)  # fmt: skip
                if not all(map(math.isfinite, figures.values())):
                    raise ValueError(
                        f"at step {step + 1} of fine-tuning loss or gradient was no finite number: lower "
                        f"--tune.learning_rate, which is {config.learning_rate}"
                    )
                sums, counts = sums + figures["loss"] * len(chosen), counts + len(chosen)
                bar.set_postfix_str(f"epoch {epoch + 1}/{epochs}, loss {sums / counts:.3f}", refresh=False)
                bar.update()
            agree(model, accelerator)
            line = {"epoch": epoch + 1, "step": (epoch + 1) * per_epoch, "train_loss": sums / counts}
            if held_back:
                found = assess(prepared, objective, held_back, accelerator=accelerator)
                line["slice_loss"] = found.loss
                scores = score(found.conclusions, held_back) if score else {}
                line |= {f"slice_{name}": value for name, value in scores.items()}
                line["merit"] = next(iter(scores.values()), -found.loss)
            curve.append(line | {"seconds": time.monotonic() - began})
            ahead = _ahead(curve)
            if held_back and ahead == epoch:
                best = {name: value.detach().clone() for name, value in model.state_dict().items()}
            if kept and accelerator.is_main_process:
                kept.keep(model, optimizer, curve, best)
            if held_back and config.patience and epoch - ahead >= config.patience:
                break
    if best:
        model.load_state_dict(best)
    for at, line in enumerate(curve):
        line.pop("merit", None)
        line["best"] = int(at == ahead)
    accelerator.free_memory()  # it would keep every model alive
    return curve


def _optimizer(model: PreTrainedModel, config: FineTuneConfig) -> torch.optim.Optimizer:
    """What moves the weights; each of its groups has a `scale`, its share of the learning rate."""
    rate, betas = config.learning_rate, (0.9, 0.999)
    if config.optimizer == "Muon":
        alike = [group | {"scale": 1.0} for group in muon_groups(model, config.weight_decay)]
        return Muon(alike, lr=rate, betas=betas, eps=1e-8)
    groups = layer_groups(
        model, model.base_model_prefix, weight_decay=config.weight_decay, layer_decay=config.layer_decay
    )
    return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=1e-8, fused=True)


def _ahead(curve: Sequence[Mapping[str, float]]) -> int:
    """The best epoch so far, the later of two alike; without merits the last."""
    return max(range(len(curve)), key=lambda at: (curve[at].get("merit", at), at), default=0)


def _batches(rows: Sequence[Example], number: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """All rows once in a new order, as batches of nearly one size, the rows of each of nearly one length."""
    lengths = np.array([num_tokens(row) + num_target_tokens(row) for row in rows])
    parts = np.array_split(rng.permutation(len(rows)), number)
    batches: list[np.ndarray] = []
    for start in range(0, number, POOL):
        pool = np.concatenate(parts[start : start + POOL])
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += np.array_split(pool, len(parts[start : start + POOL]))
    return (batches[place] for place in rng.permutation(number))

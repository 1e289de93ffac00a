"""Fine-tuning on a list of examples: a few epochs of `take_step`, then which examples come out right."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from selfsup.data.collate import collate
from selfsup.objectives.objective import Example, Objective, text_rng
from selfsup.optim.optimizers import OptimConfig, build_optimizer
from selfsup.optim.schedules import factor
from selfsup.training.batches import Share
from selfsup.training.step import seed_step, take_step


@dataclass(frozen=True)
class FineTuneConfig:
    """How a pretrained model learns a task.

    Args:
        learning_rate: at its peak; small models want 1e-4 to 3e-4.
        epochs: times that all examples are read.
        batch_size: examples of a step, over all processes.
        warmup_share: share of the steps until the peak; then down to 0 in a straight line.
        weight_decay: of matrices.
    """

    learning_rate: float = 3e-4
    epochs: int = 5
    batch_size: int = 32
    warmup_share: float = 0.06
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not self.learning_rate > 0:
            raise ValueError(f"epochs and batch_size of at least 1 and a learning_rate above 0 are wanted, but {self}")


def fine_tune(
    model: nn.Module,
    objective: Objective,
    examples: Sequence[Example],
    config: FineTuneConfig,
    *,
    seed: int,
    accelerator: Accelerator,
) -> nn.Module:
    """Train all weights of a model on some examples.

    Args:
        model: with the head of the objective; trained in place.
        objective: bound, with one player.
        examples: raw ones, as `objective.encode` reads them.
        config: how long and how fast.
        seed: of the order of the examples and of dropout.
        accelerator: of the run; all processes call together.
    Returns:
        the prepared model, for `right_answers`.
    Raises:
        ValueError: a loss was not finite.
    """
    encoded = [objective.encode(example) for example in examples]
    model.train()
    prepared = accelerator.prepare(model)
    optim = OptimConfig(learning_rate=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.999))
    optimizer = build_optimizer(model, optim)
    share = Share(accelerator.process_index, accelerator.num_processes)
    per_epoch = math.ceil(len(encoded) / config.batch_size)
    num_steps = per_epoch * config.epochs
    warmup_steps = math.ceil(config.warmup_share * num_steps)
    for step in tqdm(range(num_steps), desc="fine-tuning", leave=False, disable=not accelerator.is_main_process):
        epoch, place = divmod(step, per_epoch)
        order = text_rng(seed, epoch, 0).permutation(len(encoded))
        chosen = np.array_split(order, per_epoch)[place]  # batches of nearly one size: no small last one
        rows = [[objective.corrupt(encoded[i], rng=text_rng(seed, epoch, 1 + i), progress=0.0)] for i in chosen]
        rate = factor(step, schedule="linear", warmup_steps=warmup_steps, num_steps=num_steps, cooldown_share=0.0)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rate
        seed_step(seed, step, accelerator.process_index)
        batches = [collate(part, padding=objective.padding) for part in share.of(rows)]
        figures = take_step(
            {"model": prepared}, {"model": optimizer}, objective, batches, clip_norm=1.0, accelerator=accelerator
        )
        if not all(map(math.isfinite, figures.values())):
            raise ValueError(
                f"at step {step + 1} of fine-tuning loss or gradient was no finite number: lower --tune.learning_rate, "
                f"which is {config.learning_rate}"
            )
    return prepared


def right_answers(
    model: nn.Module, objective: Objective, examples: Sequence[Example], *, device: torch.device, batch_size: int = 64
) -> np.ndarray:
    """Which examples a model gets right, each read by itself as far as its score goes.

    Args:
        model: with the head of the objective.
        objective: bound, with one answer an example.
        examples: raw ones.
        device: of the model.
        batch_size: examples at once; the answers do not depend on it.
    Returns:
        (examples) bool, in their order.
    """
    encoded = [objective.encode(example) for example in examples]
    order = np.argsort([len(example["input_ids"]) for example in encoded], kind="stable")  # little padding
    right = np.zeros(len(encoded), dtype=bool)
    model.eval()
    with torch.no_grad():
        for chosen in np.array_split(order, math.ceil(len(order) / batch_size)):
            batch = collate([[encoded[i]] for i in chosen], padding=objective.padding)
            batch = {name: value.to(device) for name, value in batch.items()}
            logits = objective.forward({"model": model}, batch, "model")["logits"]
            right[chosen] = (logits.argmax(dim=-1) == batch["labels"]).cpu().numpy()
    return right

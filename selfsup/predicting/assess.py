"""What a model concludes on examples: every one exactly once, the same on any number of processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from selfsup.data.collate import collate, num_target_tokens, num_tokens
from selfsup.objectives.objective import Example
from selfsup.objectives.supervised import Supervised

TOKENS = 8192  # of a batch, padding included: short rows come in large batches, long ones do not fill the memory


@dataclass(frozen=True)
class Assessment:
    """What came of some examples.

    Args:
        conclusions: one for each example, in order.
        loss: mean over all answers in nats; nan where there were none.
    """

    conclusions: list[Any]
    loss: float


def assess(
    model: nn.Module,
    objective: Supervised,
    examples: Sequence[Example],
    *,
    accelerator: Accelerator,
    batch_tokens: int = TOKENS,
) -> Assessment:
    """Run a model over examples and conclude.

    Batches are made before they are dealt out, so no result depends on the number of processes; what a row gives is
    small (see `Supervised.predict`), and nothing else is kept of it.

    Args:
        model: with the head of the objective, prepared or bare; in evaluation mode meanwhile, and as it was afterwards.
        objective: bound.
        examples: raw ones; with answers for the loss, or without.
        accelerator: of the run; all processes call together.
        batch_tokens: of a forward pass.
    Returns:
        the same on every process.
    """
    parts = [objective.parts(example) for example in examples]
    rows = [objective.encode(part) for some in parts for part in some]
    batches = by_length(rows, batch_tokens)
    was_training = model.training
    model.eval()
    predictions: list[tuple[int, Any]] = []
    sums = torch.zeros(2, dtype=torch.float64)  # loss, answers
    with torch.no_grad():
        for chosen in batches[accelerator.process_index :: accelerator.num_processes]:
            batch = collate([[rows[i]] for i in chosen], padding=objective.padding)
            counts = sum(objective.counts(batch, "model").values())
            batch = {name: value.to(accelerator.device) for name, value in batch.items()}
            with accelerator.autocast():
                outputs = objective.forward({"model": model}, batch, "model")
                answers = objective.answer({"model": model}, batch, outputs)
            predictions += zip(chosen.tolist(), answers, strict=True)
            if objective.answered(batch):
                losses = objective.loss(outputs, batch, "model")
                sums += torch.tensor([sum(float(value) for value in losses.values()), counts], dtype=torch.float64)
    model.train(was_training)
    if accelerator.num_processes > 1:
        predictions = gather_object(predictions)
        sums = accelerator.reduce(sums.to(accelerator.device), "sum").cpu()
    of_row = dict(predictions)
    places = iter(range(len(rows)))
    conclusions = [
        objective.conclude(example, [of_row[next(places)] for _ in some])
        for example, some in zip(examples, parts, strict=True)
    ]
    return Assessment(conclusions, float(sums[0] / sums[1]) if sums[1] else float("nan"))


def by_length(rows: Sequence[Example], batch_tokens: int) -> list[np.ndarray]:
    """Places of rows in batches of nearly one length: as many as fit, padding included, and at least one. A row is as
    long as its source and its target together, each padded on its own."""
    lengths = [(num_tokens(row), num_target_tokens(row)) for row in rows]
    batches: list[np.ndarray] = []
    chosen: list[int] = []
    widths = (0, 0)
    longest_first = np.argsort([sum(both) for both in lengths], kind="stable")[::-1]  # memory runs out at once or never
    for place in longest_first.tolist():
        wider = (max(widths[0], lengths[place][0]), max(widths[1], lengths[place][1]))
        if chosen and (len(chosen) + 1) * sum(wider) > batch_tokens:
            batches.append(np.array(chosen))
            chosen, wider = [], lengths[place]
        chosen.append(place)
        widths = wider
    return [*batches, np.array(chosen)] if chosen else batches

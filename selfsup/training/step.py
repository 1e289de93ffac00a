"""One step: every player moves in its turn, the same whatever micro-batches and processes a batch was spread over."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer

from selfsup.objectives.objective import Batch, Objective, Players
from selfsup.training.sharding import is_sharded


def take_step(
    players: Players,
    optimizers: Mapping[str, Optimizer],
    objective: Objective,
    micro_batches: Sequence[Batch],
    *,
    clip_norm: float,
    accelerator: Accelerator,
) -> dict[str, float]:
    """Move every player once, in the order of the objective's turns.

    Args:
        players: prepared modules.
        optimizers: one for each player.
        objective: bound.
        micro_batches: this process's share of the step, on the CPU.
        clip_norm: largest length of a gradient; 0 for none.
        accelerator: of the run; all processes call together.
    Returns:
        `loss`, the mean loss of every answer as `<name>_loss`, and the length of the gradient before it was clipped,
        the same on all processes. Where a number is not finite, that player was not moved.
    """
    figures = {"loss": 0.0}
    for turn in objective.turns:
        with _waiting(players, turn):
            losses, norm = _take_turn(players, objective, micro_batches, turn, clip_norm, accelerator, optimizers[turn])
        for name, loss in losses.items():
            figures[f"{name}_loss"] = loss
            figures["loss"] += objective.weights[name] * loss
        figures["gradient_norm" if len(objective.turns) == 1 else f"{turn}_gradient_norm"] = norm
    return figures


def _take_turn(
    players: Players,
    objective: Objective,
    micro_batches: Sequence[Batch],
    turn: str,
    clip_norm: float,
    accelerator: Accelerator,
    optimizer: Optimizer,
) -> tuple[dict[str, float], float]:
    """Gradient of the sum over answers of weight * sum / count, with the counts of all micro-batches and processes."""
    counts = [objective.counts(batch, turn) for batch in micro_batches]
    names = sorted(counts[0])
    all_counts = total(accelerator, [sum(count[name] for count in counts) for name in names])
    sums = torch.zeros(len(names), dtype=torch.float64, device=accelerator.device)
    optimizer.zero_grad(set_to_none=True)
    for number, batch in enumerate(micro_batches, start=1):
        batch = {name: value.to(accelerator.device, non_blocking=True) for name, value in batch.items()}
        with ExitStack() as local:
            # Gradients are exchanged once, after the last micro-batch; those of waiting players never. Sharded players
            # exchange theirs each time: to wait would take the memory for whole gradients, which sharding is to save.
            for name, player in players.items():
                if not is_sharded(player) and (name != turn or number < len(micro_batches)):
                    local.enter_context(accelerator.no_sync(player))
            losses = objective.loss(objective.forward(players, batch, turn), batch, turn)
            parts = [
                objective.weights[name] * losses[name] / max(count, 1.0)
                for name, count in zip(names, all_counts, strict=True)
            ]
            # DDP and FSDP average gradients over the processes, but the counts are already those of all of them.
            accelerator.backward(torch.stack(parts).sum() * accelerator.num_processes)
        sums += torch.stack([losses[name].detach().double() for name in names])
    norm = _clip(players[turn], clip_norm or math.inf)
    all_sums = accelerator.reduce(sums, "sum").tolist()
    means = {name: value / max(n, 1.0) for name, value, n in zip(names, all_sums, all_counts, strict=True)}
    if all(map(math.isfinite, [norm, *means.values()])):
        optimizer.step()
    return means, norm


def _clip(player: nn.Module, longest: float) -> float:
    """Shorten the gradient to at most `longest`; how long it was."""
    norm = torch.nn.utils.clip_grad_norm_(player.parameters(), longest)
    # Of a sharded player it may lie in parts too. Accelerate's own way compares the weights of players with `==`.
    return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)


@contextmanager
def _waiting(players: Players, turn: str) -> Iterator[None]:
    """Freeze all players but one: they take part in its turn, and get no gradient from it. What they share with it
    moves in both turns."""
    moving = {id(weight) for weight in players[turn].parameters()}
    waiting = [
        weight
        for name, player in players.items()
        if name != turn
        for weight in player.parameters()
        if weight.requires_grad and id(weight) not in moving
    ]
    for weight in waiting:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in waiting:
            weight.requires_grad_(True)


def total(accelerator: Accelerator, numbers: Sequence[float]) -> list[float]:
    """Sums of some numbers over all processes."""
    if accelerator.num_processes == 1:
        return [float(number) for number in numbers]
    together = torch.tensor(numbers, dtype=torch.float64, device=accelerator.device)
    return accelerator.reduce(together, "sum").tolist()


def num_read(batch: Batch) -> int:
    """How many pictures a batch holds, or else tokens, padding not counted."""
    if "pixel_values" in batch:
        return len(batch["pixel_values"])
    return int(batch.get("attention_mask", torch.ones_like(batch["input_ids"])).sum())


@torch.no_grad()
def agree(player: nn.Module, accelerator: Accelerator) -> None:
    """Running averages are of what a process saw: all take their mean, so that every process has one model.

    Args:
        player: whose buffers are kept with its weights; others are made of the configuration.
        accelerator: of the run; all processes call together.
    """
    if accelerator.num_processes == 1:
        return
    by_kind: dict[torch.dtype, list[torch.Tensor]] = {}
    for module in player.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_floating_point() and name not in module._non_persistent_buffers_set:
                by_kind.setdefault(buffer.dtype, []).append(buffer)
    for buffers in by_kind.values():  # exchanged together
        means = accelerator.reduce(torch.cat([buffer.flatten() for buffer in buffers]), "mean")
        for buffer, mean in zip(buffers, means.split([buffer.numel() for buffer in buffers]), strict=True):
            buffer.copy_(mean.view_as(buffer))


def seed_step(seed: int, step: int, process: int) -> None:
    """Key what the device draws in a step, dropout above all, by where it is drawn: nothing of it has to be saved.

    Args:
        seed: of the run.
        step: from 0.
        process: number of this process; each drops other units.
    """
    torch.manual_seed(int(np.random.SeedSequence((seed, step, process)).generate_state(1, np.uint64)[0] >> 1))

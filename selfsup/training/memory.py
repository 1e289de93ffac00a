"""What a step costs, measured in a process of its own, so that the peaks of settings do not mix."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import Accelerator
from transformers import PreTrainedConfig

import selfsup.models  # noqa: F401 - makes the Auto classes know ours
from selfsup.objectives.objective import Batch, Objective
from selfsup.optim.optimizers import OptimConfig, build_optimizer
from selfsup.training.step import take_step
from selfsup.training.summary import peak_memory_gib

STEPS = 2  # the first makes the optimizer's states


def step_cost(
    objective: Objective,
    config: PreTrainedConfig,
    micro_batches: Sequence[Batch],
    optim: OptimConfig,
    activation_checkpointing: bool,
) -> tuple[float, float]:
    """Take steps with a fresh model; call it in a fresh process.

    Args:
        objective: bound.
        config: of the model.
        micro_batches: of the step, on the CPU.
        optim: how weights move.
        activation_checkpointing: forget inner results and compute them again.
    Returns:
        GiB at the peak, of the device on a GPU, else by which this process grew: weights, gradients, optimizer states
        and the results of a forward pass; and seconds of the last step.
    """
    accelerator = Accelerator()
    before = 0.0 if accelerator.device.type == "cuda" else _resident_gib("VmRSS")
    model = getattr(transformers, objective.auto_class).from_config(config)
    bare = {"model": model, **objective.further_players(model)}
    for player in bare.values():
        player.train()
        if activation_checkpointing:
            player.activation_checkpointing_enable()
    players = {name: accelerator.prepare(player) for name, player in bare.items()}
    optimizers = {name: build_optimizer(player, optim) for name, player in bare.items()}
    for _ in range(STEPS):
        began = time.monotonic()
        take_step(players, optimizers, objective, micro_batches, clip_norm=optim.clip_norm, accelerator=accelerator)
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize()
    peak = peak_memory_gib() if accelerator.device.type == "cuda" else _resident_gib("VmHWM")
    return peak - before, time.monotonic() - began


def _resident_gib(field: str) -> float:
    """Memory of this process alone, now or at its peak: what `getrusage` says begins with that of its parent."""
    status = Path("/proc/self/status")
    if not status.exists():
        return peak_memory_gib()
    kibibytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith(field))
    return int(kibibytes) / 2**20


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of a module returns when it is all that a new process does."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()

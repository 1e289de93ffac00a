"""Checkpoints: safetensors for tensors, JSON for numbers; complete or absent, never half-written.

The place in the data is the step, and the chance of a step is keyed by its number: so weights, optimizer states and a
few integers are all that has to be kept for a run to go on as if it had never stopped.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedTokenizerBase
from transformers.dynamic_module_utils import custom_object_save

from selfsup.tokenization.save import save_tokenizer

STATE_FILE = "state.json"


class Damaged(ValueError):
    """A checkpoint is not whole: a file is missing, cut off, or not what it should be."""

    def __init__(self, folder: Path, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).partition("\n")[0]
        super().__init__(f"the checkpoint {folder} is damaged ({reason or type(error).__name__})")


class NotFinite(ValueError):
    """A loss or a weight is infinite or no number: the run diverged."""


def save_checkpoint(
    root: Path,
    step: int,
    players: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    state: Mapping[str, Any],
    companions: Sequence[Any] = (),
) -> Path:
    """Write everything beside, then rename: whoever is killed meanwhile loses this checkpoint only.

    Args:
        root: folder of all checkpoints of a run.
        step: steps done.
        players: unwrapped modules; the one called "model" also opens with `from_pretrained`.
        optimizers: one for each player.
        state: numbers to be had back, as JSON holds them.
        companions: configurations and tokenizers to store beside, with a `save_pretrained`; the SentencePiece model
            of a tokenizer goes with it, so that whoever opens the checkpoint encodes as fast.
    Returns:
        the folder.
    Raises:
        NotFinite: weights are not finite, and so of no use to anybody.
        OSError: it cannot be written.
    """
    broken = [
        key for player in players.values() for key, value in _weights(player).items() if not value.isfinite().all()
    ]
    if broken:
        raise NotFinite(
            f"weights are no longer finite after step {step}, so they are not kept: lower the learning rate; the first "
            f"of {len(broken)} is {broken[0]}"
        )
    folder = root / f"checkpoint-{step:08d}"
    partial = root / f".{folder.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for companion in companions:
            if isinstance(companion, PreTrainedTokenizerBase):
                save_tokenizer(companion, partial)
            else:
                companion.save_pretrained(partial)
        if getattr(players.get("model"), "_auto_class", None):
            custom_object_save(players["model"], partial)  # its code, as its own `save_pretrained` does
        for name, player in players.items():
            save_file(_weights(player), partial / f"{name}.safetensors", metadata={"format": "pt"})
            tensors, numbers = _optimizer_state(player, optimizers[name])
            save_file(tensors, partial / f"{name}.optimizer.safetensors")
            state = {**state, f"{name}_optimizer": numbers}
        (partial / STATE_FILE).write_text(json.dumps({**state, "step": step}, indent=1))
        for file in partial.iterdir():
            _sync(file)
        shutil.rmtree(folder, ignore_errors=True)  # an older one of the same step, replaced by its equal
        partial.rename(folder)
        _sync(root)
    except (OSError, SafetensorError) as error:  # a full disk is the one or the other
        shutil.rmtree(partial, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise OSError(
            f"the checkpoint of step {step} could not be written to {root} ({reason}): free "
            "some disk or choose another output; earlier checkpoints are intact, --resume true continues from the last"
        ) from error
    return folder


def load_checkpoint(
    folder: Path, players: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]
) -> dict[str, Any]:
    """Put weights and optimizer states back, in place, bit by bit; all of it, or nothing.

    Args:
        folder: of one checkpoint.
        players: unwrapped modules of the same shapes.
        optimizers: one for each player.
    Returns:
        the numbers that were saved.
    Raises:
        Damaged: a file is missing or cut off; nothing was changed.
        ValueError: the weights are those of another model.
    """
    state = read_state(folder)
    try:
        weights = {name: load_file(folder / f"{name}.safetensors") for name in players}
        tensors = {name: load_file(folder / f"{name}.optimizer.safetensors") for name in players}
        numbers = {name: state.pop(f"{name}_optimizer") for name in players}
    except (OSError, SafetensorError, KeyError) as error:
        raise Damaged(folder, error) from error
    for name, player in players.items():
        saved, own = weights[name], _weights(player)
        if {k: v.shape for k, v in saved.items()} != {k: v.shape for k, v in own.items()}:
            raise ValueError(
                f"{folder} holds another model than the one asked for: give the arguments of the first run (they are "
                "in its run.yaml), or another output folder"
            )
    for name, player in players.items():
        with torch.no_grad():
            for key, value in _weights(player).items():
                value.copy_(weights[name][key])
        _restore_optimizer(player, optimizers[name], tensors[name], numbers[name])
    return state


def read_state(folder: Path) -> dict[str, Any]:
    """The numbers of a checkpoint.

    Raises:
        Damaged: they are missing or cut off.
    """
    try:
        state = json.loads((folder / STATE_FILE).read_text())
    except (OSError, ValueError) as error:
        raise Damaged(folder, error) from error
    if not isinstance(state, dict) or "run" not in state or not isinstance(state.get("step"), int):
        raise Damaged(folder, ValueError(f"{STATE_FILE} lacks the step or the run"))
    return state


def checkpoints(root: Path) -> list[Path]:
    """All complete checkpoints of a run, oldest first."""
    return sorted(folder for folder in root.glob("checkpoint-*") if (folder / STATE_FILE).exists())


def prune(root: Path, keep: int, best: int | None) -> None:
    """Delete all but the last `keep` checkpoints and the one of step `best`."""
    for folder in checkpoints(root)[:-keep] if keep else []:
        if best is None or folder.name != f"checkpoint-{best:08d}":
            aside = root / f".{folder.name}.old"  # so that a half-deleted one never looks whole
            folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
    for left in root.glob(".checkpoint-*"):  # of processes that were killed
        shutil.rmtree(left, ignore_errors=True)


def _weights(player: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name; shared ones once, under their first name."""
    return dict(player.named_parameters()) | {
        name: buffer
        for prefix, module in player.named_modules()
        for name, buffer in (
            (f"{prefix}.{key}".lstrip("."), value)
            for key, value in module._buffers.items()
            if value is not None and key not in module._non_persistent_buffers_set
        )
    }


def _optimizer_state(player: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State of every parameter by its name: tensors, and what is not one."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for name, parameter in player.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            (tensors if isinstance(value, Tensor) else numbers)[f"{name}:{key}"] = value
    return tensors, numbers


def _restore_optimizer(
    player: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
) -> None:
    parameters = dict(player.named_parameters())
    for place, value in [*tensors.items(), *numbers.items()]:
        name, key = place.rsplit(":", 1)
        if isinstance(value, Tensor) and key != "step":  # step counters stay where torch keeps them, on the CPU
            value = value.to(parameters[name].device)
        optimizer.state[parameters[name]][key] = value


def _sync(path: Path) -> None:
    """Wait until the disk has it: a rename must not overtake what it names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

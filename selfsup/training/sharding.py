"""Weights and optimizer states spread over the processes (FSDP2), and whole again for checkpoints and export.

Accelerate's own FSDP2 takes one model, only together with its optimizer, and no CPU, where alone it can be tested
everywhere. PyTorch's `fully_shard`, on which it builds, takes any number of players and runs on gloo too.
"""

import os
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer


def is_wanted() -> bool:
    """Whether `accelerate launch` was given a launch file for FSDP, and started processes that see each other.

    Raises:
        ValueError: it asks for the first FSDP.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return False
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise ValueError(f"fsdp_version 2 is wanted, but {version} came: launch with scripts/launch/fsdp2.yaml")
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def is_sharded(player: nn.Module) -> bool:
    """Whether a player came from `shard`."""
    return hasattr(player, "set_requires_gradient_sync")


def shard(player: nn.Module, accelerator: Accelerator) -> nn.Module:
    """A copy of a player on this process's device; every process keeps its part of the weights.

    Layers gather their weights one after the other, forward and backward, and let them go at once.

    Args:
        player: whole; it stays as it is, and is where `gather` puts what was learnt.
        accelerator: of the run; all processes call together.
    """
    from torch.distributed.fsdp import fully_shard
    from transformers.modeling_layers import GradientCheckpointingLayer

    # In evaluation mode `prepare_model` brings autocast and the device alone.
    copy = accelerator.prepare_model(deepcopy(player), device_placement=True, evaluation_mode=True)
    for layer in copy.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            fully_shard(layer)
    # By default the outermost weights stay gathered after a forward pass without a backward one, as in validation:
    # then `parameters()` would name other tensors than those that the optimizer moves.
    return fully_shard(copy, reshard_after_forward=True)


def refuse_shared(players: Mapping[str, nn.Module]) -> None:
    """Two players cannot both gather and let go one weight.

    Raises:
        ValueError: players share weights.
    """
    owners: dict[int, str] = {}
    for name, player in players.items():
        for weight in player.parameters():
            if (owner := owners.setdefault(id(weight), name)) != name:
                raise ValueError(
                    f"players with weights of their own are wanted for FSDP, but {owner} and {name} share some: "
                    "launch with scripts/launch/ddp.yaml"
                )


def gather(
    players: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    whole: Mapping[str, nn.Module],
    whole_optimizers: Mapping[str, Optimizer],
) -> None:
    """Copy sharded weights and optimizer states into whole ones; all processes call together.

    Args:
        players: sharded.
        optimizers: theirs.
        whole: the players that were sharded; overwritten.
        whole_optimizers: theirs; overwritten.
    """
    for name, player in players.items():
        for part, value in _pairs(player, whole[name]):
            value.detach().copy_(_gathered(part))
        for part, weight in zip(player.parameters(), whole[name].parameters(), strict=True):
            whole_optimizers[name].state[weight] = {
                key: _gathered(value).to(weight.device, copy=True) if isinstance(value, Tensor) else value
                for key, value in optimizers[name].state.get(part, {}).items()
            }


def scatter(
    players: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    whole: Mapping[str, nn.Module],
    whole_optimizers: Mapping[str, Optimizer],
) -> None:
    """The way back: every process takes its part of the whole weights and optimizer states.

    Args: as `gather`; but `players` and `optimizers` are overwritten.
    """
    for name, player in players.items():
        for part, value in _pairs(player, whole[name]):
            part.detach().copy_(_parted(value.detach(), part))
        for part, weight in zip(player.parameters(), whole[name].parameters(), strict=True):
            optimizers[name].state[part] = {
                key: _parted(value, part) if isinstance(value, Tensor) and value.shape == weight.shape else value
                for key, value in whole_optimizers[name].state.get(weight, {}).items()
            }


def _pairs(player: nn.Module, whole: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Parameters and buffers, each with its counterpart."""
    yield from zip(player.parameters(), whole.parameters(), strict=True)
    yield from zip(player.buffers(), whole.buffers(), strict=True)


def _gathered(part: Any) -> Tensor:
    return part.detach().full_tensor() if hasattr(part, "full_tensor") else part


def _parted(value: Tensor, like: Any) -> Tensor:
    """This process's part of a tensor that is split as another one is."""
    from torch.distributed.tensor import distribute_tensor

    value = value.to(like.device)
    return distribute_tensor(value, like.device_mesh, like.placements) if hasattr(like, "device_mesh") else value

"""The optimizers by name, and which weights they may shrink."""

import re
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.optim import Optimizer

from selfsup.optim.muon import Muon
from selfsup.optim.schedules import Schedule

_IN_A_BLOCK = re.compile(r"\.\d+\.")
_QUERY_KEY_VALUE = re.compile(r"attention\.query_key_value")  # of our blocks; others order their rows otherwise


@dataclass(frozen=True)
class OptimConfig:
    """How weights move.

    Args:
        name: AdamW, Muon (for matrices in blocks, AdamW for the rest), Adam, SGD (with momentum), Adagrad or RMSProp.
        learning_rate: at its peak.
        weight_decay: of matrices; norms, biases and embeddings keep their size.
        betas: of AdamW and Adam; the second is the smoothing of RMSProp.
        momentum: of SGD, RMSProp and Muon, for which 0.95 is usual.
        schedule: what follows the warm-up; see `schedules.factor`.
        warmup_steps: steps until the peak.
        cooldown_share: last share of the run, for the schedule "wsd".
        clip_norm: largest length of the gradient; 0 for none.
    """

    name: Literal["AdamW", "Muon", "Adam", "SGD", "Adagrad", "RMSProp"] = "AdamW"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    momentum: float = 0.9
    schedule: Schedule = "wsd"
    warmup_steps: int = 100
    cooldown_share: float = 0.5
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate must be above 0 and finite, but {self.learning_rate} came")
        for name, share in (("betas", self.betas[0]), ("betas", self.betas[1]), ("momentum", self.momentum)):
            if not 0 <= share < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, but {share} came")
        if self.warmup_steps < 0 or self.clip_norm < 0 or self.weight_decay < 0:
            raise ValueError("warmup_steps, clip_norm and weight_decay must not be negative")
        if not 0 <= self.cooldown_share <= 1:
            raise ValueError(f"cooldown_share must lie between 0 and 1, but {self.cooldown_share} came")


def build_optimizer(model: nn.Module, config: OptimConfig) -> Optimizer:
    """The optimizer of one player.

    Args:
        model: whose weights move.
        config: how.
    Returns:
        a `torch.optim.Optimizer` with two groups: matrices, which decay, and the rest, which do not; with Muon those of
        `muon_groups`.
    """
    lr = config.learning_rate
    if config.name == "Muon":
        groups = muon_groups(model, config.weight_decay)
        return Muon(groups, lr=lr, betas=config.betas, momentum=config.momentum, eps=1e-8)
    groups = decay_groups(model, config.weight_decay)
    if config.name == "AdamW":
        return torch.optim.AdamW(groups, lr=lr, betas=config.betas, eps=1e-8)
    if config.name == "Adam":
        return torch.optim.Adam(groups, lr=lr, betas=config.betas, eps=1e-8)
    if config.name == "SGD":
        return torch.optim.SGD(groups, lr=lr, momentum=config.momentum)
    if config.name == "Adagrad":
        return torch.optim.Adagrad(groups, lr=lr)
    return torch.optim.RMSprop(groups, lr=lr, alpha=config.betas[1], momentum=config.momentum)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Matrices with weight decay; norms, biases and embeddings without.

    Of weights with more axes than two, convolutions are matrices; the lengths of weight normalisation, (outputs, 1, 1,
    1), and what is added to every picture, (1, patches, hidden), are none.

    Args:
        model: whose parameters are sorted; shared ones come once.
        weight_decay: of the first group.
    Returns:
        two groups as `torch.optim` takes them, without empty ones.
    """
    embeddings = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters()
    }
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            is_matrix = parameter.ndim == 2 or (parameter.ndim > 2 and 1 < len(parameter) < parameter.numel())
            (matrices if is_matrix and id(parameter) not in embeddings else others).append(parameter)
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def muon_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """The groups of `decay_groups`, with the matrices inside numbered blocks parted off for Muon.

    Args:
        model: a Transformer, whose blocks have numbers in the names of their weights.
        weight_decay: of matrices.
    Returns:
        groups as `Muon` takes them.
    """
    parts = {
        id(weight): 3 if _QUERY_KEY_VALUE.search(name) else 1
        for name, weight in model.named_parameters()
        if _IN_A_BLOCK.search(name)
    }
    matrices, *others = decay_groups(model, weight_decay)
    groups = [
        {**matrices, "params": [w for w in matrices["params"] if parts.get(id(w), 0) == count], "parts": count}
        for count in (0, 1, 3)
    ]
    return [group for group in [*groups, *({**other, "parts": 0} for other in others)] if group["params"]]

"""Muon: hidden matrices move by the nearest orthogonal matrix to their momentum, everything else as AdamW moves it."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

STEP = 0.5  # root mean square of a step; the source has 0.2, with which small encoders learn more slowly (README)
ROUNDS = 5
# Of the odd polynomial a x + b x^3 + c x^5, whose rounds bring singular values of 0.01 to 1 near 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(AdamW):
    """Muon for groups of hidden matrices, AdamW for the others, and one learning rate for both.

    An orthogonal step changes all directions of a matrix alike, however unevenly its gradient weighs them. It is scaled
    to about the size of a step of AdamW, so one learning rate and weight decay serve both.

    Args:
        groups: as AdamW takes them, each with `parts`: 0 for AdamW; else its matrices (rows, columns) go by Muon, in so
            many parts of their rows, as queries, keys and values lie on top of each other in attention. A convolution
            (outputs, inputs, height, width) is a matrix with a row for each output.
        momentum: of Muon, Nesterov's.
        options: of AdamW.
    Raises:
        ValueError: a weight of a group for Muon is no matrix, or its rows do not divide into the parts.
    Source:
        Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the scale of a step follows
        Liu et al. 2025, "Muon is Scalable for LLM Training", equation 4.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, momentum: float = 0.95, **options: Any) -> None:
        super().__init__(groups, **options)
        self.momentum = momentum
        for group in self.param_groups:
            for weight in group["params"] if group["parts"] else []:
                if weight.ndim < 2 or weight.shape[0] % group["parts"]:
                    raise ValueError(
                        f"Muon moves matrices, and convolutions as such, here of {group['parts']} equal parts, but "
                        f"one of the shape {tuple(weight.shape)} came: put it into a group with parts = 0"
                    )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient; the gradients of Muon's are used up."""
        for group in self.param_groups:
            for weight in group["params"] if group["parts"] else []:
                if weight.grad is not None:
                    self._move(weight, group)
                    weight.grad = None  # so that AdamW leaves it alone
        super().step()

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
            state["step"] = torch.zeros(())  # AdamW looks for it in every state that it loads
        momentum = state["momentum"].lerp_(weight.grad, 1 - self.momentum)
        ahead = weight.grad.lerp(momentum, self.momentum)  # type: ignore[union-attr]  # Nesterov: where it will be
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        moves = [orthogonalise(part) * max(part.shape) ** 0.5 for part in ahead.flatten(1).chunk(group["parts"])]
        weight.add_(torch.cat(moves).view(weight.shape), alpha=-group["lr"] * STEP)


def orthogonalise(matrix: Tensor) -> Tensor:
    """The matrix with its singular values brought near 1 (0.7 to 1.2), by the iteration of Newton and Schulz.

    Args:
        matrix: (rows, columns). One in float32 is computed in bfloat16, which is exact enough and much faster.
    Returns:
        the same shape and type; zeros stay zeros.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.mT if tall else matrix
    wide = wide.to(torch.bfloat16 if matrix.dtype == torch.float32 else matrix.dtype)
    wide = wide / wide.norm().clamp(min=1e-7)
    for _ in range(ROUNDS):
        gram = wide @ wide.mT
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return (wide.mT if tall else wide).to(matrix.dtype)

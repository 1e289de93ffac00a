"""Muon: hidden matrices move by the nearest orthogonal matrix to their momentum, everything else as AdamW moves it."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

STEP = 0.5  # root mean square of a step; the source has 0.2, with which small encoders learn more slowly (README)
ROUNDS = 5
TOGETHER = 2**24  # numbers that are made orthogonal at once, so that little memory is taken
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
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every weight that has a gradient; the gradients of Muon's are used up.

        Args:
            closure: called first, to make the gradients.
        Returns:
            what it returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        alike: dict[Any, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for group in self.param_groups:
            for weight in group["params"] if group["parts"] else []:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    ahead = self._ahead(weight)
                    for part, move in zip(weight.chunk(group["parts"]), ahead.chunk(group["parts"]), strict=True):
                        kind = (part[0].numel(), len(part), part.dtype, part.device, group["lr"])
                        alike[kind].append((part, move.flatten(1)))
                    weight.grad = None  # so that AdamW leaves it alone
        for (columns, rows, *_, rate), pairs in alike.items():
            number = max(1, TOGETHER // (columns * rows))
            for some in (pairs[first : first + number] for first in range(0, len(pairs), number)):
                moves = orthogonalise(torch.stack([move for _, move in some])) * max(columns, rows) ** 0.5
                for (part, _), move in zip(some, moves, strict=True):
                    part.add_(move.view(part.shape), alpha=-rate * STEP)
        super().step()
        return loss

    def _ahead(self, weight: Tensor) -> Tensor:
        """The gradient where the momentum leads to, as Nesterov has it."""
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
            state["step"] = torch.zeros(())  # AdamW looks for it in every state that it loads
        assert weight.grad is not None
        momentum = state["momentum"].lerp_(weight.grad, 1 - self.momentum)
        return weight.grad.lerp(momentum, self.momentum)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Matrices with their singular values brought near 1 (0.7 to 1.2), by the iteration of Newton and Schulz.

    Args:
        matrices: (number, rows, columns). In float32 they are computed in bfloat16, which is exact enough and much
            faster.
    Returns:
        the same shape and type; zeros stay zeros.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    wide = matrices.mT if tall else matrices
    wide = wide.to(torch.bfloat16 if matrices.dtype == torch.float32 else matrices.dtype)
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ROUNDS):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return (wide.mT if tall else wide).to(matrices.dtype)

"""Logistic regression on pixels: what can be had of pictures without any layer between."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from selfsup.objectives.objective import Example

PENALTY = 1.0  # half the square of the weights, beside the sum of the losses: scikit-learn's C = 1
ROUNDS = 100  # of L-BFGS at most


def logistic_regression(examples: Sequence[Example]) -> Callable[[Example], Any]:
    """Learn a weight for each pixel and class.

    Args:
        examples: with `image` and `label`, the name of one class.
    Returns:
        from an example to its likeliest class.
    """
    names = sorted({example["label"] for example in examples})
    numbers = {name: number for number, name in enumerate(names)}
    pixels = pixels_of(examples)
    weights = fit(pixels, torch.tensor([numbers[example["label"]] for example in examples]), len(names))

    def guess(example: Example) -> Any:
        return names[int((torch.from_numpy(_flat(example)) @ weights[:-1] + weights[-1]).argmax())]

    return guess


def fit(values: Tensor, answers: Tensor, num_classes: int, *, rounds: int = ROUNDS, penalty: float = PENALTY) -> Tensor:
    """The weights with the least sum of cross-entropies and penalty.

    Args:
        values: (examples, values).
        answers: (examples) int64.
        num_classes: that there are.
        rounds: of the search at most.
        penalty: of half the squares; with three classes or more scikit-learn's 1 / C.
    Returns:
        (values + 1, classes); the last row has no partner among the values, and no penalty.
    """
    weights = values.new_zeros(values.shape[1] + 1, num_classes).requires_grad_()
    search = torch.optim.LBFGS([weights], max_iter=rounds, line_search_fn="strong_wolfe", tolerance_grad=1e-6)

    def loss() -> Tensor:
        search.zero_grad()
        logits = values @ weights[:-1] + weights[-1]
        total = cross_entropy(logits, answers, reduction="sum") + penalty / 2 * weights[:-1].square().sum()
        total = total / len(values)
        total.backward()
        return total

    search.step(loss)
    return weights.detach()


def pixels_of(examples: Sequence[Example]) -> Tensor:
    """(examples, pixels) float32 in 0-1, of pictures of one size."""
    return torch.from_numpy(np.stack([_flat(example) for example in examples]))


def _flat(example: Example) -> np.ndarray:
    return (example["image"].pixels.reshape(-1) / np.float32(255)).astype(np.float32)

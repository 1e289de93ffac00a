"""Probes: what can be told from vectors alone, by nearest neighbours or by a linear layer, with little to choose."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import normalize

from selfsup.finetuning.pixels import fit
from selfsup.finetuning.slices import hold_back

SLICE_SHARE = 0.2  # of the labelled examples, to choose by
TEMPERATURE = 0.07  # of similarities
CHUNK = 1024  # examples that are compared with all others at once

# What was known, its answers, what is asked, the number of classes, and what was chosen -> classes of what is asked.
Fit = Callable[[Tensor, Tensor, Tensor, int, float], Tensor]


@dataclass(frozen=True)
class Probe:
    """What learns from vectors.

    Args:
        fit: vectors with answers, and vectors without, to answers for those.
        choices: what is tried on a slice cut from training; of equals the first is taken.
        usual: taken where examples are too few for a slice.
        symbol: of what is chosen, in tables.
    """

    fit: Fit
    choices: tuple[float, ...]
    usual: float
    symbol: str


def nearest(known: Tensor, answers: Tensor, asked: Tensor, num_classes: int, neighbours: float) -> Tensor:
    """The class with the most votes among the nearest neighbours, near ones counting more.

    Similarity is the cosine, and a vote exp(similarity / `TEMPERATURE`).

    Args:
        known: (examples, features).
        answers: (examples) int64, their classes.
        asked: (asked, features).
        num_classes: that there are.
        neighbours: that vote, or all where there are fewer.
    Returns:
        (asked) int64.
    Source:
        Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", section 3.4.
    """
    known, found = normalize(known, dim=1), []
    for part in normalize(asked, dim=1).split(CHUNK):
        similarity, places = (part @ known.T).topk(min(int(neighbours), len(known)), dim=1)
        votes = ((similarity - 1) / TEMPERATURE).exp()  # at most 1, so that none overflows
        found.append(votes.new_zeros(len(part), num_classes).scatter_add_(1, answers[places], votes).argmax(dim=1))
    return torch.cat(found)


def linear(known: Tensor, answers: Tensor, asked: Tensor, num_classes: int, penalty: float) -> Tensor:
    """Logistic regression on features that are standardised by what is known.

    Args:
        known, answers, asked, num_classes: see `nearest`.
        penalty: of the weights, beside the sum of the losses, see `fit`.
    Returns:
        (asked) int64.
    """
    deviation, mean = torch.std_mean(known, dim=0, correction=0)
    deviation = torch.where(deviation > 1e-6, deviation, 1.0)  # what never changes tells nothing
    weights = fit((known - mean) / deviation, answers, num_classes, penalty=penalty)
    return (((asked - mean) / deviation) @ weights[:-1] + weights[-1]).argmax(dim=1)


PROBES: Mapping[str, Probe] = MappingProxyType(
    {
        "nearest": Probe(nearest, (1, 5, 10, 20, 50), usual=5, symbol="k"),
        "linear": Probe(linear, (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01), usual=1.0, symbol="penalty"),
    }
)


def choose(probe: Probe, known: Tensor, answers: Tensor, num_classes: int, *, rng: Generator) -> tuple[float, bool]:
    """What a probe does best with, on a slice cut from what is known.

    Args:
        probe: which.
        known, answers, num_classes: see `nearest`.
        rng: of the slice.
    Returns:
        the choice, and whether there was a slice to choose by; without one it is the usual.
    """
    learnt, judge = (list(part) for part in hold_back(range(len(known)), SLICE_SHARE, rng=rng))
    if not judge:
        return probe.usual, False
    right = {}
    for choice in probe.choices:
        said = probe.fit(known[learnt], answers[learnt], known[judge], num_classes, choice)
        right[choice] = int((said == answers[judge]).sum())
    return max(right, key=lambda choice: right[choice]), True

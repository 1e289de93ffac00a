"""Which of the training examples are learnt from, and which are held back to choose or to score by."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.random import Generator

Each = TypeVar("Each")
FEWEST = 50  # examples that a choice may rest on
MOST = 1000  # that are worth holding back for it


def hold_back(examples: Sequence[Each], share: float, *, rng: Generator) -> tuple[Sequence[Each], Sequence[Each]]:
    """Cut a slice from training examples to choose by.

    Args:
        examples: raw ones.
        share: of them, 0-1; at most `MOST` examples are taken, and none where it would be fewer than `FEWEST`.
        rng: the only source of chance.
    Returns:
        what is learnt from, and the slice.
    """
    number = min(MOST, int(share * len(examples)))
    if number < FEWEST:
        return examples, []
    order = rng.permutation(len(examples))
    return [examples[i] for i in np.sort(order[number:])], [examples[i] for i in np.sort(order[:number])]


def draw_share(examples: Sequence[Each], share: float, *, rng: Generator) -> Sequence[Each]:
    """A part of training examples; under the same `rng` a smaller one lies inside a larger one.

    Args:
        examples: raw ones.
        share: of them, above 0 and at most 1; at least one is drawn.
        rng: the only source of chance.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of the examples must be above 0 and at most 1, but {share} came")
    number = max(1, round(share * len(examples)))
    return [examples[i] for i in np.sort(rng.permutation(len(examples))[:number])]


def folds(number: int, of: int, *, rng: Generator) -> list[np.ndarray]:
    """Deal examples into folds of nearly one size, each example into exactly one.

    Args:
        number: of folds, at least 2.
        of: examples.
        rng: the only source of chance.
    Returns:
        places of the examples of each fold, in rising order.
    Raises:
        ValueError: fewer than two folds, or more of them than examples.
    """
    if not 2 <= number <= of:
        raise ValueError(f"between 2 folds and one for each of the {of} examples are wanted, but {number} came")
    return [np.sort(part) for part in np.array_split(rng.permutation(of), number)]

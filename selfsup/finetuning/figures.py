"""Figures with their intervals: from tallies, from curves, and as words."""

from collections.abc import Mapping, Sequence

import numpy as np

from selfsup.finetuning.trial import Scorer
from selfsup.metrics.bootstrap import bootstrap

Interval = tuple[float, float, float]  # mean, low, high
INTERVAL_SEED = 0  # the same draws for all: equal answers have equal intervals


def interval(tallies: np.ndarray, score: Scorer, against: np.ndarray | None = None) -> Interval:
    """Mean over seeds and 95 % interval of the figure of a task, or of a paired difference.

    Args:
        tallies: (seeds, examples, k).
        score: of the task.
        against: the same for what is subtracted.
    """
    rng = np.random.default_rng(INTERVAL_SEED)
    return bootstrap(tallies, against, rng=rng, figure=score.figure)


def spread(curves: Sequence[Sequence[Mapping[str, float]]], name: str) -> list[tuple[float, float, float, float]]:
    """A figure after each epoch that all seeds reached: step, mean, least and most."""
    epochs = [[line[name] for line in lines if name in line] for lines in zip(*curves, strict=False)]
    steps = [lines[0]["step"] for lines in zip(*curves, strict=False)]
    return [
        (step, float(np.mean(values)), min(values), max(values))
        for step, values in zip(steps, epochs, strict=True)
        if values
    ]


def between(found: Interval, sign: str = "") -> str:
    """A mean and its interval, in hundredths."""
    mean, low, high = (format(100 * value, f"{sign}.1f") for value in found)
    return f"{mean}  ({low} to {high})"

"""Means with intervals over examples and seeds: the one statistic for whoever compares runs."""

import numpy as np
from numpy.random import Generator


def bootstrap(
    scores: np.ndarray, against: np.ndarray | None = None, *, rng: Generator, num_draws: int = 2000
) -> tuple[float, float, float]:
    """Mean and 95 % interval of a score, or of a paired difference; seeds and examples are drawn with replacement.

    With n seeds that differ, the seeds' part of the interval is too narrow by a factor of sqrt((n - 1) / n), as in
    every bootstrap of few: 0.82 for three.

    Args:
        scores: (seeds, examples) float; row i is what the run of seed i got for each example.
        against: (seeds, examples), the same seeds and examples under another treatment, to be subtracted.
        rng: the only source of chance.
        num_draws: of seeds and examples together.
    Returns:
        mean, lower and upper bound.
    Raises:
        ValueError: no scores, or two shapes.
    Source:
        Efron & Tibshirani 1993, "An Introduction to the Bootstrap", sections 13.3 (percentile interval) and 8.4 (two
        ways of drawing at once).
    Example:
        >>> bootstrap(np.ones((2, 3)), rng=np.random.default_rng(0))
        (1.0, 1.0, 1.0)
    """
    if not scores.size or (against is not None and against.shape != scores.shape):
        other = "" if against is None else f" and {against.shape}"
        raise ValueError(f"scores by seed and example are wanted, the same for both, but {scores.shape}{other} came")
    values = scores.astype(float) if against is None else scores.astype(float) - against
    seeds, examples = values.shape
    means = [
        values[np.ix_(rng.integers(seeds, size=seeds), rng.integers(examples, size=examples))].mean()
        for _ in range(num_draws)
    ]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(values.mean()), float(low), float(high)

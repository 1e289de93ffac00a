"""Figures with intervals over examples and seeds: the one statistic for whoever compares runs."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

CHUNK = 4_000_000  # weights of examples held at once, 32 MB


def bootstrap(
    scores: np.ndarray,
    against: np.ndarray | None = None,
    *,
    rng: Generator,
    num_draws: int = 2000,
    figure: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[float, float, float]:
    """Mean over seeds and 95 % interval of a figure, or of a paired difference; seeds and examples are drawn again.

    Both treatments see the same draws. With n seeds that differ, the seeds' part of the interval is too narrow by a
    factor of sqrt((n - 1) / n), as in every bootstrap of few: 0.82 for three.

    Args:
        scores: (seeds, examples); row i is what the run of seed i got for each example, and the figure is their mean.
            Or, with `figure`, tallies (seeds, examples, k): what each example adds to the sums of a metric.
        against: the same seeds and examples under another treatment, to be subtracted.
        rng: the only source of chance.
        num_draws: of seeds and examples together.
        figure: sums (..., k) -> figures (...), like `TallyMetric.figure`.
    Returns:
        mean, lower and upper bound. Where a skew figure has its mean outside the percentiles, the interval is
        stretched to hold it.
    Raises:
        ValueError: no scores, too few or too many axes, or two shapes.
    Source:
        Efron & Tibshirani 1993, "An Introduction to the Bootstrap", sections 13.3 (percentile interval) and 8.4 (two
        ways of drawing at once).
    Example:
        >>> bootstrap(np.ones((2, 3)), rng=np.random.default_rng(0))
        (1.0, 1.0, 1.0)
    """
    _check(scores, against, axes="(seeds, examples)" if figure is None else "(seeds, examples, k)")
    sides = np.stack([scores] if against is None else [scores, against]).astype(float)
    if figure is None:
        sides, figure = sides[..., None], lambda totals: totals[..., 0] / scores.shape[1]
    num_sides, seeds, examples, width = sides.shape
    tallies = sides.transpose(2, 0, 1, 3).reshape(examples, -1)

    def differences(seed_weights: np.ndarray, totals: np.ndarray) -> np.ndarray:
        figures = figure(totals.reshape(-1, num_sides, seeds, width))
        means = (figures * seed_weights[:, None]).sum(axis=-1) / seeds
        return means[:, 0] - means[:, 1] if num_sides == 2 else means[:, 0]

    mean = differences(np.ones((1, seeds)), tallies.sum(axis=0))[0]
    drawn, chunk = [], max(1, CHUNK // examples)
    for start in range(0, num_draws, chunk):
        weights = [(_times_drawn(seeds, rng), _times_drawn(examples, rng)) for _ in range(start, num_draws)[:chunk]]
        seed_weights, example_weights = (np.array(side, dtype=float) for side in zip(*weights, strict=True))
        drawn.append(differences(seed_weights, example_weights @ tallies))
    low, high = np.percentile(np.concatenate(drawn), (2.5, 97.5))
    return float(mean), float(min(low, mean)), float(max(high, mean))


def _times_drawn(number: int, rng: Generator) -> np.ndarray:
    """How often each of `number` things comes up in as many draws with replacement."""
    return np.bincount(rng.integers(number, size=number), minlength=number)


def _check(scores: np.ndarray, against: np.ndarray | None, *, axes: str) -> None:
    num_axes = axes.count(",") + 1
    if scores.size and scores.ndim == num_axes and (against is None or against.shape == scores.shape):
        return
    came = str(scores.shape) if against is None else f"{scores.shape} and {against.shape}"
    raise ValueError(
        f"scores by seed and example are wanted, the same for both, but {came} came instead of {axes}: "
        "run both treatments with the same seeds, score them on the same examples, and give `figure` with tallies only"
    )

"""Correlation of numbers: Pearson's, and Spearman's of their ranks."""

from collections.abc import Sequence
from typing import ClassVar

import datasets
import numpy as np

from selfsup.metrics.metric import TallyMetric, both, check_pairs, ratio

STILL = 1e-12  # a variance this small, of numbers scaled to variance 1, is rounding


class Correlation(TallyMetric):
    """Pearson's correlation and Spearman's, -1 to 1; ties share their mean rank, and what is constant scores 0.

    A tally holds the moments (1, x, y, xx, yy, xy) of a pair, and (x, y, xx, yy, xy) of its two ranks. Ranks are those
    in the whole sample, and numbers are centred and scaled by it, which changes no correlation and keeps the moments
    precise: so `tallies` must see all examples, and a bootstrap draws ranks once given, without ranking each draw.

    Source:
        Spearman 1904, "The Proof and Measurement of Association between Two Things".
    Example:
        >>> Correlation().compute(predictions=[1.0, 2.0, 9.0], references=[1.0, 2.0, 3.0])["spearman"]
        1.0
    """

    main = "pearson"
    whole_sample = True
    takes: ClassVar[list[datasets.Features]] = [both(datasets.Value("float64"))]

    def tallies(self, predictions: Sequence[float], references: Sequence[float]) -> np.ndarray:
        check_pairs(predictions, references)
        x, y = (np.asarray(side, dtype=float) for side in (predictions, references))
        wrong = np.flatnonzero(~(np.isfinite(x) & np.isfinite(y)))
        if len(wrong):
            row = wrong[0]
            raise ValueError(f"finite numbers are wanted, but prediction and reference {row} are {x[row]} and {y[row]}")
        columns = [np.ones_like(x)]
        for one, other in ((x, y), (ranks(x), ranks(y))):
            one, other = standard(one), standard(other)
            columns += [one, other, one * one, other * other, one * other]
        return np.stack(columns, axis=-1)

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        means = totals[..., 1:] / totals[..., :1]
        return {"pearson": _correlation(means[..., :5]), "spearman": _correlation(means[..., 5:])}


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs.

    Example:
        >>> ranks(np.array([20.0, 10.0, 20.0]))
        array([2.5, 1. , 2.5])
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def standard(values: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1; zeros where all are the same."""
    centred = values - values.mean()
    spread = centred.std()
    return centred / spread if spread > STILL * np.abs(values).max() else np.zeros_like(centred)


def _correlation(means: np.ndarray) -> np.ndarray:
    """(..., 5) means of x, y, xx, yy and xy -> (...)."""
    x, y, xx, yy, xy = np.moveaxis(means, -1, 0)
    spread_x, spread_y = xx - x * x, yy - y * y
    moves = (spread_x > STILL) & (spread_y > STILL)
    return np.clip(ratio(xy - x * y, np.where(moves, np.sqrt(np.abs(spread_x * spread_y)), 0)), -1, 1)

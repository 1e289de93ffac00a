import numpy as np
import pytest

from selfsup.metrics.threshold import find_threshold


def test_no_threshold_is_better_than_the_one_found():
    rng = np.random.default_rng(0)
    for _ in range(30):
        margins = rng.integers(-4, 5, 12) / 2
        answered, silent = rng.random((12, 1)), (rng.random((12, 1)) < 0.4).astype(float)
        found = find_threshold(margins, answered, silent, lambda totals: totals[..., 0])
        figures = [
            np.where(margins > at, silent[:, 0], answered[:, 0]).sum() for at in [found, *np.arange(-3, 4, 0.25)]
        ]
        assert figures[0] == pytest.approx(max(figures))


def test_all_or_none_are_answered_where_that_is_best():
    margins, one, zero = np.array([2.0, -1.0]), np.ones((2, 1)), np.zeros((2, 1))
    assert find_threshold(margins, one, zero, lambda totals: totals[..., 0]) > 2
    assert find_threshold(margins, zero, one, lambda totals: totals[..., 0]) < -1

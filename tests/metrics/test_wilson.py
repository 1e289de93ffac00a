"""Intervals of shares: against scipy."""

import pytest
from scipy.stats import binomtest

from selfsup.metrics.wilson import wilson


@pytest.mark.parametrize(("hits", "count"), [(0, 1), (1, 1), (50, 100), (3, 7), (0, 40), (40, 40), (99_000, 100_000)])
def test_it_is_that_of_scipy(hits, count):
    wanted = binomtest(hits, count).proportion_ci(method="wilson")
    assert wilson(hits, count) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_without_answers_it_knows_nothing():
    assert wilson(0, 0) == (0.0, 1.0)

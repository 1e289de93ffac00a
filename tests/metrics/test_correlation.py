"""Correlations: against scipy."""

import numpy as np
import pytest
from numpy.random import default_rng
from scipy import stats

from selfsup.metrics import Correlation
from selfsup.metrics.correlation import ranks


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("scale", "shift", "digits"), [(1, 0, 9), (1, 0, 0), (1e-3, 1e6, 9), (1e9, -1e3, 9)])
def test_they_are_those_of_scipy(seed, scale, shift, digits):
    """With ties (no digits), and with numbers whose plain moments would lose all their digits."""
    rng = default_rng(seed)
    x = rng.normal(size=80)
    y = rng.uniform(-1, 1) * x + rng.normal(size=80)
    x, y = scale * x.round(digits) + shift, y.round(digits)
    figures = Correlation().compute(predictions=x.tolist(), references=y.tolist())
    assert figures["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-7)
    assert figures["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_ranks_are_those_of_scipy():
    values = default_rng(0).integers(7, size=40).astype(float)
    np.testing.assert_array_equal(ranks(values), stats.rankdata(values))


def test_examples_drawn_twice_count_twice():
    rng = default_rng(0)
    x, y, times = rng.normal(size=30), rng.normal(size=30), rng.integers(4, size=30)
    metric = Correlation()
    pearson = metric.figures(times @ metric.tallies(x, y))["pearson"]
    assert pearson == pytest.approx(stats.pearsonr(x.repeat(times), y.repeat(times)).statistic)


@pytest.mark.parametrize(("predictions", "references"), [([3.1, 3.1, 3.1], [1, 2, 3]), ([1, 2], [5, 5]), ([1], [1])])
def test_what_does_not_move_agrees_with_nothing(predictions, references):
    assert Correlation().compute(predictions=predictions, references=references) == {"pearson": 0, "spearman": 0}


def test_spearman_sees_order_alone():
    x = default_rng(0).normal(size=20)
    figures = Correlation().compute(predictions=np.exp(3 * x).tolist(), references=(-x).tolist())
    assert figures["spearman"] == pytest.approx(-1)
    assert -1 < figures["pearson"] < 0


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match=r"^finite numbers are wanted, but prediction and reference 1 are 2.0 and "):
        Correlation().tallies([1.0, 2.0], [1.0, wrong])

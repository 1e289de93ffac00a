"""Intervals over seeds and examples: against scipy where there is one seed, and that they cover what they should."""

import numpy as np
import pytest
from scipy import stats

from selfsup.metrics.bootstrap import bootstrap


def test_one_seed_is_the_ordinary_bootstrap():
    hits = np.random.default_rng(0).random((1, 300)) < 0.7
    mean, low, high = bootstrap(hits, rng=np.random.default_rng(1), num_draws=8000)
    wanted = stats.bootstrap((hits[0].astype(float),), np.mean, method="percentile", n_resamples=8000, rng=2)
    assert mean == hits.mean()
    assert (low, high) == pytest.approx(wanted.confidence_interval, abs=0.006)


def test_seeds_that_differ_widen_the_interval():
    alike, apart = np.zeros((3, 500)), np.zeros((3, 500))
    alike[:, :250] = 1
    for row, share in zip(apart, (0.3, 0.5, 0.7), strict=True):
        row[: int(500 * share)] = 1
    widths = []
    for scores in (alike, apart):
        _, low, high = bootstrap(scores, rng=np.random.default_rng(0))
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]


def test_pairs_cancel_what_both_find_hard():
    """The second treatment is right wherever the first is, and on one example in fifty besides: never worse."""
    first = np.random.default_rng(0).random((3, 1000)) < 0.6
    second = first.copy()
    second[:, ::50] = True
    gain, low, high = bootstrap(second, first, rng=np.random.default_rng(1))
    assert 0 < low < gain < high
    assert high - low < 0.3 * np.subtract(*bootstrap(second, rng=np.random.default_rng(1))[:0:-1])


def test_intervals_hold_the_truth_nineteen_times_of_twenty():
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        _, low, high = bootstrap(rng.random((1, 200)) < 0.7, rng=rng, num_draws=300)
        held += low <= 0.7 <= high
    assert 178 <= held <= 200


@pytest.mark.parametrize(("scores", "against"), [(np.zeros((0, 3)), None), (np.zeros((2, 3)), np.zeros((3, 3)))])
def test_other_shapes_are_refused(scores, against):
    with pytest.raises(ValueError, match="scores by seed and example are wanted, the same for both, but"):
        bootstrap(scores, against, rng=np.random.default_rng(0))

"""Intervals over seeds and examples: against scipy where there is one seed, and that they cover what they should."""

import numpy as np
import pytest
from scipy import stats

import selfsup.metrics.bootstrap
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


def precision(totals):
    """Right of all that was predicted, from sums (..., 2)."""
    return totals[..., 0] / np.maximum(totals[..., 1], 1)


def tallies(seed: int, share: float, seeds: int = 3, examples: int = 40) -> np.ndarray:
    """(seeds, examples, 2) right and predicted spans."""
    rng = np.random.default_rng(seed)
    predicted = rng.integers(4, size=(seeds, examples))
    return np.stack([rng.binomial(predicted, share), predicted], axis=-1)


@pytest.mark.parametrize("chunk", [1, 4_000_000])
def test_tallies_give_what_drawing_examples_gives(chunk, monkeypatch):
    """Seed by seed and draw by draw, with the same chances: the figure of the examples that were drawn."""
    monkeypatch.setattr(selfsup.metrics.bootstrap, "CHUNK", chunk)
    one, other = tallies(0, 0.8), tallies(1, 0.6)
    rng, differences = np.random.default_rng(2), []
    for _ in range(200):
        seeds, examples = rng.integers(3, size=3), rng.integers(40, size=40)
        gains = [precision(one[s][examples].sum(axis=0)) - precision(other[s][examples].sum(axis=0)) for s in seeds]
        differences.append(np.mean(gains))
    mean, low, high = bootstrap(one, other, rng=np.random.default_rng(2), num_draws=200, figure=precision)
    assert mean == pytest.approx(
        np.mean([precision(a.sum(axis=0)) - precision(b.sum(axis=0)) for a, b in zip(one, other, strict=True)])
    )
    assert (low, high) == pytest.approx(np.percentile(differences, (2.5, 97.5)))


def test_a_mean_is_a_figure_like_others():
    hits = np.random.default_rng(0).random((3, 50)) < 0.7
    counted = np.stack([hits, np.ones_like(hits)], axis=-1)
    plain = bootstrap(hits, ~hits, rng=np.random.default_rng(1), num_draws=100)
    against = np.stack([~hits, np.ones_like(hits)], axis=-1)
    assert bootstrap(counted, against, rng=np.random.default_rng(1), num_draws=100, figure=precision) == pytest.approx(
        plain
    )


def test_a_metric_brings_its_figure():
    """Sentences, not words, are drawn: long ones that are all right or all wrong make the interval wide."""
    from selfsup.metrics import TagAccuracy

    metric = TagAccuracy()
    widths = []
    for length in (1, 20):
        references = [["x"] * length for _ in range(400 // length)]
        predictions = [["x" if row % 4 else "y"] * length for row in range(400 // length)]
        scores = metric.tallies(predictions, references)[None]
        mean, low, high = bootstrap(scores, rng=np.random.default_rng(0), figure=metric.figure)
        assert mean == 0.75
        widths.append(high - low)
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(20), rel=0.15)


def test_intervals_hold_their_mean():
    """Even of a figure that no draw exceeds: how near the examples drawn are to those there are."""
    scores = np.random.default_rng(0).normal(size=(1, 50, 1))
    nearness = lambda totals: -np.abs(totals[..., 0] - scores.sum())  # noqa: E731
    mean, low, high = bootstrap(scores, rng=np.random.default_rng(1), figure=nearness)
    assert mean == high
    assert low < -5 < high
    assert bootstrap(np.full((1, 7), 0.1), rng=np.random.default_rng(0)) == pytest.approx((0.1, 0.1, 0.1))


@pytest.mark.parametrize(
    ("scores", "against", "figure"),
    [
        (np.zeros((0, 3)), None, None),
        (np.zeros((2, 3)), np.zeros((3, 3)), None),
        (np.zeros((2, 3)), np.zeros((2, 4)), None),
        (np.zeros(3), None, None),
        (np.zeros((2, 3, 2)), None, None),
        (np.zeros((2, 3)), None, precision),
        (np.zeros((2, 3, 2)), np.zeros((1, 3, 2)), precision),
    ],
)
def test_other_shapes_are_refused(scores, against, figure):
    with pytest.raises(ValueError, match="scores by seed and example are wanted, the same for both, but") as refusal:
        bootstrap(scores, against, rng=np.random.default_rng(0), figure=figure)
    assert str(scores.shape) in str(refusal.value)

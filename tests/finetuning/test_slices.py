"""Slices, shares and folds of examples: what they hold, and that they part the examples."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.random import default_rng

from selfsup.finetuning.slices import FEWEST, MOST, draw_share, folds, hold_back


@pytest.mark.parametrize(
    ("examples", "share", "held_back"),
    [
        (500, 0.1, FEWEST),
        (499, 0.1, 0),  # 49 are too few to choose by
        (2000, 0.1, 200),
        (20_000, 0.1, MOST),
        (100_000, 0.1, MOST),
        (100_000, 0.0, 0),
    ],
)
def test_a_slice_is_cut_off_and_nothing_is_lost(examples, share, held_back):
    everything = range(examples)
    learnt, slice_ = hold_back(everything, share, rng=default_rng(0))
    assert len(slice_) == held_back
    assert sorted([*learnt, *slice_]) == list(everything)
    assert list(learnt) == sorted(learnt), "what is left keeps its order"


def test_slices_are_drawn_by_chance_alone():
    one, again, other = (hold_back(range(2000), 0.5, rng=default_rng(seed))[1] for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert np.mean(one) == pytest.approx(1000, abs=60)  # spread over all of them


def test_a_smaller_share_lies_inside_a_larger_one():
    shares = [0.001, 0.01, 0.1, 0.5, 1.0]
    drawn = [draw_share(range(777), share, rng=default_rng(3)) for share in shares]
    assert [len(part) for part in drawn] == [1, 8, 78, 388, 777]
    for small, large in pairwise(drawn):
        assert set(small) < set(large)
    assert drawn[-1] == list(range(777))
    assert draw_share(range(777), 0.1, rng=default_rng(4)) != drawn[2]
    assert draw_share(["only"], 0.01, rng=default_rng(0)) == ["only"]


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_impossible_shares_are_refused(share):
    with pytest.raises(ValueError, match=f"above 0 and at most 1, but {share} came"):
        draw_share(range(5), share, rng=default_rng(0))


@pytest.mark.parametrize(("number", "of"), [(5, 103), (2, 2), (7, 7)])
def test_folds_part_the_examples(number, of):
    dealt = folds(number, of, rng=default_rng(0))
    assert len(dealt) == number
    assert sorted(np.concatenate(dealt)) == list(range(of))
    sizes = [len(fold) for fold in dealt]
    assert max(sizes) - min(sizes) <= 1
    assert all(np.all(np.diff(fold) > 0) for fold in dealt)


@pytest.mark.parametrize(("number", "of"), [(1, 10), (11, 10), (2, 1)])
def test_impossible_folds_are_refused(number, of):
    with pytest.raises(ValueError, match=f"one for each of the {of} examples are wanted, but {number} came"):
        folds(number, of, rng=default_rng(0))

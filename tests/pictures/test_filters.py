"""Filters are drawn in one scale, the same on both sides of 0."""

import numpy as np
import pytest

from selfsup.pictures.filters import draw_filters


def test_one_symmetric_scale_for_all_grey_filters(tmp_path):
    weights = np.random.default_rng(0).normal(size=(10, 1, 3, 4))
    weights[0, 0, 0, 0] = -100.0  # one outlier of 120
    figure = draw_filters(weights, tmp_path / "a.png", title="Ten")
    *drawn, bar = figure.axes
    assert len(drawn) == 10
    low, high = drawn[0].images[0].get_clim()
    assert low == -high
    assert 1.5 < high < 50
    for axes, weight in zip(drawn, weights, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), weight[0])
        assert axes.images[0].get_clim() == (low, high)
    assert bar.get_ylabel() == "weight"


def test_coloured_filters_are_grey_at_0(tmp_path):
    weights = np.zeros((2, 3, 2, 2))
    weights[1, 0, 0, 1] = 4.0  # red; all larger weights end the scale
    weights[1, 2, 0, 1] = -4.0
    figure = draw_filters(weights, tmp_path / "a.png", title="Two")
    assert len(figure.axes) == 2
    assert np.asarray(figure.axes[0].images[0].get_array()).max() == 0.5
    assert np.asarray(figure.axes[1].images[0].get_array())[0, 1].tolist() == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("shape", [(2, 2, 3, 3), (3, 3), (0, 1, 3, 3)])
def test_wrong_shapes_are_refused(shape, tmp_path):
    with pytest.raises(ValueError, match="1 or 3 channels, height, width"):
        draw_filters(np.zeros(shape), tmp_path / "a.png", title="")

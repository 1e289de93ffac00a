"""Pictures stand in their rows and columns, unchanged."""

import numpy as np
import pytest

from selfsup.pictures.grid import draw_grid


def test_each_cell_shows_its_picture(tmp_path):
    pictures = np.random.default_rng(0).random((2, 3, 1, 4, 5))
    pictures[1, 2, 0, 0, 0] = 7.0
    figure = draw_grid(pictures, tmp_path / "new" / "a.png", title="Two\nlines", columns=["a", "", ""], aside=1)
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert len(figure.axes) == 6
    for axes, wanted in zip(figure.axes, pictures.reshape(6, 4, 5), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), wanted.clip(0, 1))
        assert axes.images[0].get_clim() == (0, 1)  # a dark picture stays dark
    assert [axes.get_title() for axes in figure.axes] == ["a", "", "", "", "", ""]
    lefts = [axes.get_position().x0 for axes in figure.axes[:3]]
    assert lefts[1] - lefts[0] > 1.05 * (lefts[2] - lefts[1])  # the first stands aside


def test_colours_stay_colours_and_rows_are_named(tmp_path):
    pictures = np.zeros((2, 1, 3, 2, 2))
    pictures[0, 0, 1, 0, 1] = 1.0  # green, above on the right
    figure = draw_grid(pictures, tmp_path / "a.png", title="", rows=["upper", "lower"])
    assert np.asarray(figure.axes[0].images[0].get_array())[0, 1].tolist() == [0.0, 1.0, 0.0]
    assert [axes.get_ylabel() for axes in figure.axes] == ["upper", "lower"]


@pytest.mark.parametrize(
    ("shape", "labels", "message"),
    [
        ((2, 3, 2, 4, 4), {}, "1 or 3 channels"),
        ((3, 1, 4, 4), {}, "1 or 3 channels"),
        ((0, 3, 1, 4, 4), {}, "1 or 3 channels"),
        ((2, 3, 1, 4, 4), {"columns": ["a"]}, "a label for each of 3 columns is wanted, or none, but 1 came"),
        ((2, 3, 1, 4, 4), {"rows": ["a"]}, "a label for each of 2 rows is wanted, or none, but 1 came"),
    ],
)
def test_wrong_shapes_are_refused(shape, labels, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw_grid(np.zeros(shape), tmp_path / "a.png", title="", **labels)

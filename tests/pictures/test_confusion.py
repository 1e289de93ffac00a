"""A confusion matrix has counts in its cells and shares in its colours."""

import numpy as np
import pytest

from selfsup.pictures.confusion import draw_confusion


def test_counts_are_written_and_rows_are_normalised(tmp_path):
    counts = np.array([[6, 2, 0], [0, 50, 0], [0, 0, 0]])  # of the last class there is none
    figure = draw_confusion(counts, ["$a$", "b", "c"], tmp_path / "a.png", title="Three")
    axes, bar = figure.axes
    shares = np.asarray(axes.images[0].get_array())
    assert shares.tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]]
    assert axes.images[0].get_clim() == (0, 1)
    texts = {text.get_text(): text for text in axes.texts}
    assert set(texts) == {"6", "2", "50"}  # nothing stays empty
    assert texts["2"].get_position() == (1, 0)  # predicted to the right, true downwards
    assert texts["2"].get_color() == "black"
    assert texts["50"].get_color() == "white"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$a$", "b", "c"]
    assert (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()) == ("predicted", "true", "share of the true class")


def test_many_classes_have_no_numbers_and_long_names_are_cut(tmp_path):
    figure = draw_confusion(np.eye(31, dtype=int), ["x" * 40, *map(str, range(30))], tmp_path / "a.png", title="Many")
    assert not figure.axes[0].texts
    assert figure.axes[0].get_xticklabels()[0].get_text() == "x" * 29 + "…"


@pytest.mark.parametrize("counts", [np.ones((2, 3)), np.zeros((2, 2))])
def test_wrong_counts_are_refused(counts, tmp_path):
    with pytest.raises(ValueError, match=r"counts of shape \(2 true, 2 predicted\) with one at least are wanted"):
        draw_confusion(counts, ["a", "b"], tmp_path / "a.png", title="")

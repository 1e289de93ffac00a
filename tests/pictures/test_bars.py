"""Bars are as high as the figures, and stand side by side."""

import pytest

from selfsup.pictures.bars import draw_bars

SERIES = {
    "ours": {"a_b": (60.0, 50.0, 80.0), "c": (90.0, 90.0, 90.0)},
    "theirs": {"c": (20.0, 0.0, 30.0), "a_b": (1.0, 0.0, 2.0)},
}


def test_bars_and_chance(tmp_path):
    figure = draw_bars(SERIES, tmp_path / "a.png", title="Two", unit="% right", chance=50.0)
    (axes,) = figure.axes
    bars = [patch.get_path().transformed(patch.get_patch_transform()).get_extents() for patch in axes.patches]
    assert [bar.height for bar in bars] == pytest.approx([60, 90, 1, 20])
    assert [(bar.x0 + bar.x1) / 2 for bar in bars] == pytest.approx([-0.2, 0.8, 0.2, 1.2])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a b", "c"]
    errors = [path.vertices[:, 1].tolist() for path in axes.collections[0].get_paths()]  # type: ignore[index, union-attr]
    assert errors == [[50, 80], [90, 90]]
    assert [line.get_ydata() for line in axes.lines if line.get_linestyle() == "--"] == [[50, 50]]
    assert axes.get_ylim() == (0, 100)


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ({}, "nothing came to draw"),
        ({"a": {}}, "nothing came to draw"),
        ({str(number): {"a": (1.0, 1.0, 1.0)} for number in range(7)}, "at most 6 series .* but 7 came"),
        ({**SERIES, "third": {"c": (1.0, 1.0, 1.0)}}, "those of third differ"),
    ],
)
def test_wrong_series_are_refused(tmp_path, series, message):
    with pytest.raises(ValueError, match=message):
        draw_bars(series, tmp_path / "a.png", title="", unit="")

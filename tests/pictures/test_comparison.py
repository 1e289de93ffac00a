"""Means and intervals stand where they should."""

import numpy as np
import pytest

from selfsup.pictures.comparison import draw_intervals

GROUPS = {"loss": {"a": (3.0, 2.5, 4.0), "b": (2.0, 2.0, 2.0)}, "accuracy": {"b": (70.0, 60.0, 75.0)}}


def drawn(axes) -> list[tuple[list[float], list[float]]]:
    """Point and ends of the bar, of each label."""
    return [
        (bars.lines[0].get_xydata()[0].tolist(), np.array(bars.lines[2][0].get_segments()[0])[:, 0].tolist())
        for bars in axes.containers
    ]


def test_points_bars_and_baseline(tmp_path):
    figure = draw_intervals(GROUPS, tmp_path / "new" / "a.png", title="Two", unit="%", baselines={"accuracy": 50.0})
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    loss, accuracy = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    assert [label.get_text() for label in loss.get_yticklabels()] == ["a", "b"]
    assert drawn(loss) == [([3.0, 0.0], [2.5, 4.0]), ([2.0, 1.0], [2.0, 2.0])]
    assert drawn(accuracy) == [([70.0, 1.0], [60.0, 75.0])]  # b has the same row in both
    dashed = [line for line in accuracy.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata() for line in dashed] == [[50.0, 50.0]]
    assert not [line for line in loss.lines if line.get_linestyle() == "--"]
    assert (figure.get_suptitle(), accuracy.get_xlabel()) == ("Two", "%")
    assert loss.get_ylim() == (1.5, -0.5)


@pytest.mark.parametrize(
    ("groups", "baselines", "message"),
    [
        ({}, {}, "nothing came"),
        ({"loss": {}}, {}, "nothing came"),
        ({"loss": {"a": (1.0, 2.0, 3.0)}}, {}, "loss, a: a mean inside its interval"),
        (GROUPS, {"speed": 1.0}, "wanted for loss, accuracy, but there is one for speed"),
    ],
)
def test_wrong_figures_are_refused(tmp_path, groups, baselines, message):
    with pytest.raises(ValueError, match=message):
        draw_intervals(groups, tmp_path / "a.png", title="", baselines=baselines)

"""Points stand at their speed and their worth."""

from typing import Any

import pytest

from selfsup.pictures.tradeoff import draw_tradeoff

POINTS = {"slow": ((2.0, 1.5, 4.0), (40.0, 38.0, 43.0)), "fast": ((100.0, 100.0, 100.0), (30.0, 29.0, 31.0))}


def test_points_bars_and_level(tmp_path):
    figure = draw_tradeoff(POINTS, tmp_path / "a.png", title="Two", across="speed", up="BLEU", level=("copy", 5.0))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    (axes,) = figure.axes
    containers: list[Any] = axes.containers
    slow, fast = containers
    assert [bars.lines[0].get_xydata()[0].tolist() for bars in (slow, fast)] == [[2.0, 40.0], [100.0, 30.0]]
    sideways, upright = (part.get_segments()[0].tolist() for part in slow.lines[2])
    assert (sideways, upright) == ([[1.5, 40.0], [4.0, 40.0]], [[2.0, 38.0], [2.0, 43.0]])
    assert [line.get_ydata() for line in axes.lines if line.get_linestyle() == "--"] == [[5.0, 5.0]]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == ("speed", "BLEU", "log")
    assert axes.get_xlim() == pytest.approx((1.25, 160))
    assert [text.get_text() for text in figure.legends[0].texts] == ["copy", "slow", "fast"]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({}, "1 to 30 points are wanted, but 0 came"),
        ({"still": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))}, "speed above 0 is wanted .* but still has 0.0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, points, message):
    with pytest.raises(ValueError, match=message):
        draw_tradeoff(points, tmp_path / "a.png", title="", across="speed", up="BLEU")

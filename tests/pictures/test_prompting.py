"""The curve over examples in the prompt stands where it should."""

from itertools import pairwise

import numpy as np
import pytest

from selfsup.pictures.prompting import draw_shots

LINES = {
    "own": [(0, 50.0, 45.0, 55.0), (1, 60.0, 50.0, 65.0), (8, 90.0, 85.0, 95.0)],
    "chance": [(0, 50.0, 45.0, 55.0)],
}


def test_lines_bands_and_levels(tmp_path):
    figure = draw_shots(
        LINES,
        tmp_path / "new" / "a.png",
        title="Two_",
        metric="accuracy",
        baselines={"majority": 52.0, "by chance": 50.0},
    )
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    (axes,) = figure.axes
    named = {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in axes.lines}
    assert named["own"] == [[0, 50], [1, 60], [8, 90]]
    assert [named[name][0][1] for name in ("majority", "by chance")] == [52, 50]
    assert [axes.get_xticks().tolist(), [label.get_text() for label in axes.get_xticklabels()]] == [
        [0, 1, 8],
        ["0", "1", "8"],
    ]
    heights = np.asarray(axes.collections[0].get_paths()[0].vertices)[:, 1]
    assert (heights.min(), heights.max()) == (45, 95)
    assert (axes.get_ylabel(), figure.get_suptitle()) == ("accuracy, %", "Two_")
    places = [axes.transData.transform((shots, 0))[0] for shots in (0, 1, 2, 4, 8)]
    steps = [after - before for before, after in pairwise(places)]
    assert steps == pytest.approx([steps[0]] * 4), "0, 1, 2, 4, 8 are as far apart"


def test_nothing_is_not_drawn(tmp_path):
    with pytest.raises(ValueError, match="nothing came to draw"):
        draw_shots({}, tmp_path / "a.png", title="", metric="accuracy", baselines={})

"""How a score grows: lines and bands where the figures say, and a title that fits."""

import pytest
from matplotlib.colors import same_color

from selfsup.pictures import efficiency
from selfsup.pictures.efficiency import draw_bands

POINTS = {"pretrained": [(10, 0.7, 0.6, 0.8), (1000, 0.9, 0.85, 0.95)], "from scratch": [(10, 0.5, 0.4, 0.6)]}


def drawn(tmp_path, panels, **options):
    return draw_bands(panels, tmp_path / "a.png", **{"title": "t", "across": "labelled examples", **options})


def test_lines_bands_and_baselines_stand_where_they_should(tmp_path, monkeypatch):
    monkeypatch.setattr(efficiency, "save", lambda figure, picture: figure)
    panels = {"cats": POINTS, "dogs": {"from scratch": POINTS["from scratch"]}}
    figure = drawn(tmp_path, panels, baselines={"cats": ["most frequent label", 0.55]})
    cats, dogs = figure.axes
    lines = {line.get_label(): line for line in cats.lines}
    assert lines["pretrained"].get_xydata().tolist() == [[10, 0.7], [1000, 0.9]]
    assert (cats.get_xscale(), cats.get_xlabel(), cats.get_title()) == ("log", "labelled examples", "cats")
    band = cats.collections[0].get_datalim(cats.transData)
    assert (band.y0, band.y1) == pytest.approx((0.6, 0.95))
    assert any(list(line.get_ydata()) == [0.55, 0.55] for line in cats.lines)
    assert [text.get_text() for text in cats.texts] == ["most frequent label"]
    assert not dogs.texts
    assert same_color(dogs.lines[0].get_color(), lines["from scratch"].get_color())
    assert [text.get_text() for text in figure.legends[0].texts] == ["pretrained", "from scratch"]


def test_the_title_of_one_panel_fits(tmp_path):
    title = "novels-20min: pretrained and from scratch, 3 seeds: the slice that chooses the epoch"
    figure = drawn(tmp_path, {"cats": POINTS}, title=title, logarithmic=False)
    assert figure.axes[0].get_xscale() == "linear"
    (text,) = [text for text in figure.texts if text.get_text() == title]
    assert text.get_window_extent().width < figure.bbox.width


def test_nothing_is_not_drawn(tmp_path):
    with pytest.raises(ValueError, match="at least one task with one line is wanted"):
        drawn(tmp_path, {"cats": {}})

"""Curves and intervals as numbers and words."""

from selfsup.finetuning.figures import between, spread


def test_a_curve_of_several_seeds():
    curves = [
        [{"step": 5, "loss": 0.25}, {"step": 10, "loss": 0.5, "score": 1.0}, {"step": 15, "loss": 0.1}],
        [{"step": 5, "loss": 0.75}, {"step": 10, "loss": 0.5}],  # stopped early
    ]
    assert spread(curves, "loss") == [(5, 0.5, 0.25, 0.75), (10, 0.5, 0.5, 0.5)]
    assert spread(curves, "score") == [(10, 1.0, 1.0, 1.0)]
    assert spread(curves, "other") == []


def test_words():
    assert between((0.8, 0.755, 0.9)) == "80.0  (75.5 to 90.0)"
    assert between((0.01, -0.02, 0.0), "+") == "+1.0  (-2.0 to +0.0)"

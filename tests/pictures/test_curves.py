"""Training curves: what stands where, and what is said instead."""

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from selfsup.pictures.curves import draw_curves, draw_runs, places_of, smooth
from selfsup.pictures.saving import line_style

PNG = b"\x89PNG\r\n\x1a\n"


def log(num_steps: int, *, every: int = 1, speed: float = 10.0, start: float = 3.0) -> list[dict[str, Any]]:
    """20 tokens a step at so many tokens a second, scored before and after."""
    scores = [
        {"step": step, "validation_loss": 9.0, "validation_tokens_loss": start - step / 100}
        | {"validation_tokens_accuracy": 0.5, "validation_tokens_interval": [0.4, 0.6]}
        for step in (0, num_steps)
    ]
    steps = [
        {"step": step, "loss": 9.0, "tokens_loss": start - step / 100, "gradient_norm": 1.0, "learning_rate": 0.1}
        | {"tokens": 20 * step, "tokens_per_second": speed}
        for step in range(every, num_steps + 1, every)
    ]
    return [scores[0], *steps, scores[1]]


def test_a_run_is_drawn_as_it_was_logged(tmp_path):
    lines = log(5)
    figure = draw_curves([line | {"order_loss": 0.7} for line in lines], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    assert figure is not None
    order, tokens, accuracy, norm, rate = figure.axes
    assert [axes.get_title() for axes in (order, tokens)] == ["order: loss (nats)", "tokens: loss (nats)"]
    training, validation = tokens.lines
    assert np.array_equal(training.get_xydata(), [(line["step"], line["tokens_loss"]) for line in lines[1:-1]])
    assert np.array_equal(validation.get_xydata(), [(0, 3.0), (5, 2.95)])
    assert [line.get_label() for line in accuracy.lines] == ["tokens"]
    assert np.asarray(norm.lines[0].get_ydata()).tolist() == [1.0] * 5
    assert np.asarray(rate.lines[0].get_ydata()).tolist() == [0.1] * 5


@pytest.mark.parametrize("lines", [[], [{"step": 1, "validation_loss": 1.0}]])
def test_without_losses_there_is_no_picture(tmp_path, lines):
    assert draw_curves(lines, tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()


def test_one_answer_without_accuracy_is_drawn_without_complaint(tmp_path, recwarn):
    draw_curves([{"step": 1, "tokens_loss": 2.0}, {"step": 2, "tokens_loss": 1.0}], tmp_path / "one.png")
    assert (tmp_path / "one.png").is_file()
    assert [str(warning.message) for warning in recwarn if "legend" in str(warning.message)] == []


def test_lines_stand_at_their_tokens_and_seconds():
    """Speeds 10, then 5 tokens a second: 40 tokens take 4 s, the next 20 take 4 s more."""
    lines: list[dict[str, Any]] = [{"step": 0}, {"step": 2, "tokens": 40, "tokens_per_second": 10.0}, {"step": 2}]
    lines += [{"step": 3, "tokens": 60, "tokens_per_second": 5.0}, {"step": 3}]
    assert places_of(lines, "steps").tolist() == [0, 2, 2, 3, 3]
    assert places_of(lines, "tokens").tolist() == [0, 40, 40, 60, 60]
    assert places_of(lines, "seconds").tolist() == [0, 4, 4, 8, 8]
    assert places_of([*lines[:2], {"step": 1}], "seconds").tolist() == [0, 4, 2]


def test_smoothing_does_not_lag():
    line = np.linspace(5.0, 1.0, 40)
    assert np.allclose(smooth(line, reach=10), line)
    assert smooth([0.0, 3.0, 0.0, 3.0, 9.0], reach=1).tolist() == pytest.approx([0.0, 1.0, 2.0, 4.0, 9.0])


def test_runs_share_axes_colours_and_legend(tmp_path):
    runs = {"_slow": log(40), "fast$": log(40, every=2, speed=20.0, start=4.0)}
    figure = draw_runs(runs, tmp_path / "made" / "runs.png", against="tokens")
    assert (tmp_path / "made" / "runs.png").read_bytes().startswith(PNG)
    training, validation, accuracy = figure.axes
    assert [axes.get_title() for axes in figure.axes] == [
        "tokens: training loss (nats), smoothed", "tokens: validation loss (nats)", "tokens: validation accuracy",
    ]  # fmt: skip
    assert {axes.get_xlabel() for axes in figure.axes} == {"tokens read"}
    raw, smoothed, raw_fast, _ = training.lines
    assert np.allclose(raw.get_xydata(), [(20 * step, 3.0 - step / 100) for step in range(1, 41)])
    assert np.allclose(smoothed.get_xydata(), raw.get_xydata())  # a straight line
    assert np.shape(raw_fast.get_xydata()) == (20, 2)
    assert (raw.get_alpha() or 1) < 0.5
    assert np.allclose(validation.lines[1].get_xydata(), [(0, 4.0), (800, 3.6)])
    assert [to_hex(line.get_color()) for line in accuracy.lines] == [
        line_style(number)["color"].lower() for number in (0, 1)
    ]
    assert len(accuracy.collections) == 2  # the intervals
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["_slow", "fast$"]
    assert training.get_xscale() == training.get_yscale() == "linear"


def test_runs_are_smoothed_alike(tmp_path):
    """Where two runs logged the same, the smoothed curves are the same, however long each went on."""
    long = [line | {"tokens_loss": line["step"] ** 2 / 100} for line in log(160)]
    figure = draw_runs({"long": long, "short": long[:81]}, tmp_path / "a.png", against="steps")
    _, smoothed, _, shorter = (np.asarray(line.get_ydata()) for line in figure.axes[0].lines)
    assert np.array_equal(smoothed[:70], shorter[:70])
    # Mean of the squares of x - 4 to x + 4 is the square of x and 20 / 3: the window is 8 steps of the shorter run.
    assert smoothed[80] == pytest.approx((80**2 + 20 / 3) / 100)


def test_axes_are_logarithmic_where_runs_and_losses_are_far_apart(tmp_path):
    figure = draw_runs({"short": log(3), "long": log(40, start=60.0)}, tmp_path / "a.svg", against="steps")
    training = figure.axes[0]
    assert (training.get_xscale(), training.get_yscale(), training.get_xlabel()) == ("log", "log", "step")


def test_long_times_are_in_hours(tmp_path):
    figure = draw_runs({"a": log(10, speed=20 / 3600)}, tmp_path / "a.pdf", against="seconds")
    assert figure.axes[0].get_xlabel() == "hours of training"
    assert np.asarray(figure.axes[1].lines[0].get_xdata())[-1] == pytest.approx(10.0)


def test_what_a_run_did_not_log_stays_empty(tmp_path):
    figure = draw_runs({"a": [{"step": 1, "order_loss": 1.0}], "b": log(5)}, tmp_path / "a.png", against="steps")
    order, *_ = figure.axes
    assert order.get_title().startswith("order")
    assert len(order.lines) == 2  # raw and smoothed, of one run
    assert [text.get_text() for text in figure.axes[1].texts] == ["not logged"]


@pytest.mark.parametrize(
    ("runs", "against", "message"),
    [
        ({}, "steps", "at least one run"),
        ({"mine": [{"step": 0, "validation_loss": 1.0}]}, "steps", "the log of mine holds no training loss"),
        ({"mine": [{"step": 1, "tokens_loss": 1.0}]}, "tokens", "mine: no line tells tokens"),
        ({"mine": [{"step": 1, "tokens_loss": 1.0}]}, "days", "tokens, pictures, seconds, steps, but days"),
    ],
)
def test_wrong_runs_are_named(tmp_path, runs, against, message):
    with pytest.raises(ValueError, match=message):
        draw_runs(runs, tmp_path / "a.png", against=against)


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.png, \.svg, \.pdf, but .*a\.bmp was asked for"):
        draw_runs({"a": log(3)}, tmp_path / "a.bmp")

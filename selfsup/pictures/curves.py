"""Training curves: all that one run logged, and several runs in the same axes."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, StrMethodFormatter

from selfsup.pictures.saving import COLOURS, line_style, save

Line = dict[str, Any]  # of metrics.jsonl
Against = Literal["tokens", "pictures", "seconds", "steps"]
UNITS = ("tokens", "pictures")  # that runs count
ERRORS = {"patches": "error of a pixel"}  # losses that are no nats
WINDOW = 0.1  # share of the shortest run over which all training losses are smoothed
LOG_FROM = 10  # times the least: from this spread on an axis is logarithmic


def draw_curves(lines: Iterable[Line], picture: Path) -> Figure | None:
    """Losses, accuracies, gradient norm and learning rate of one run against steps.

    Args:
        lines: of a log.
        picture: where it goes.
    Returns:
        the figure; None, and no file, where the log holds no training loss.
    """
    lines = list(lines)
    answers = _answers(lines)
    if not answers:
        return None
    columns = max(2, len(answers))
    figure = Figure(figsize=(5 * columns, 6.5), layout="constrained")
    grid = figure.subplots(2, columns, squeeze=False)

    def draw(axes: Axes, key: str, label: str, **style: Any) -> None:
        points = [(line["step"], line[key]) for line in lines if key in line]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **style)

    for axes, name in zip(grid[0], answers, strict=False):
        draw(axes, f"{name}_loss", "training", color=COLOURS[0], alpha=0.5)
        draw(axes, f"validation_{name}_loss", "validation", color=COLOURS[1], marker="o", markersize=3)
        axes.set(title=f"{name}: loss ({ERRORS.get(name, 'nats')})", xlabel="step")
        axes.legend()
    for number, name in enumerate(answers):
        draw(grid[1][0], f"validation_{name}_accuracy", name, marker="o", markersize=3, **line_style(number + 2))
    grid[1][0].set(title="validation: share of right answers", xlabel="step", ylim=(0, 1))
    if grid[1][0].lines:
        grid[1][0].legend()
    for key in sorted({key for line in lines for key in line if key.endswith("gradient_norm")}):  # one a player
        draw(grid[1][1], key, key.replace("_", " "), color="tab:gray", alpha=0.6)
    rates = grid[1][1].twinx()
    draw(rates, "learning_rate", "learning rate", color=COLOURS[5])
    rates.set_ylim(bottom=0)
    grid[1][1].set(title="gradient norm (grey, log) and learning rate (blue)", xlabel="step", yscale="log")
    for axes in [*grid[0][len(answers) :], *grid[1][2:]]:
        axes.axis("off")
    return save(figure, picture)


def draw_runs(runs: Mapping[str, Iterable[Line]], picture: Path, *, against: Against = "tokens") -> Figure:
    """Training loss, validation loss and accuracy of several runs in the same axes; a row for each kind of answer.

    The training loss is smoothed over a tenth of the shortest run, for all alike: unequal windows would make curves
    differ that do not. Every logged step stands faintly behind it; the band of an accuracy is its interval. The
    horizontal axis is logarithmic where the longest run is ten times the shortest (what lies at 0 is then left out),
    the axis of a loss where its highest is ten times its lowest.

    Args:
        runs: by name, the lines of their logs.
        picture: where it goes.
        against: tokens or pictures read, steps, or seconds of training (without validation and saving).
    Returns:
        the figure; its axes are row by row training loss, validation loss, accuracy.
    Raises:
        ValueError: no run at all, no losses in a log, or no tokens where they are wanted; or `against` is unknown.
    """
    logs = {name: list(lines) for name, lines in runs.items()}
    if not logs:
        raise ValueError("at least one run is wanted, but none came: name the folders of runs")
    for name, lines in logs.items():
        if not _answers(lines):
            raise ValueError(f"the log of {name} holds no training loss yet: wait for its first steps, or leave it out")
    answers = list(dict.fromkeys(answer for lines in logs.values() for answer in _answers(lines)))
    places = {name: _named(name, places_of, lines, against) for name, lines in logs.items()}
    ends = [place.max() for place in places.values()]
    unit, label = _unit(against, max(ends))

    figure = Figure(figsize=(12.5, 0.7 + 3.3 * len(answers)), layout="constrained")
    grid = figure.subplots(len(answers), 3, squeeze=False)
    for row, answer in zip(grid, answers, strict=True):
        for number, (name, lines) in enumerate(logs.items()):
            _draw_run(row, answer, lines, places[name] / unit, line_style(number), WINDOW * min(ends) / unit)
        loss = f"loss ({ERRORS.get(answer, 'nats')})"
        titles = (f"training {loss}, smoothed", f"validation {loss}", "validation accuracy")
        for axes, title in zip(row, titles, strict=True):
            axes.set(title=f"{answer}: {title}", xlabel=label)
            axes.grid(alpha=0.25)
            if max(ends) > LOG_FROM * min(ends):
                axes.set_xscale("log", nonpositive="mask")
            else:
                axes.set_xlim(left=0)
                axes.xaxis.set_major_formatter(
                    EngFormatter(sep="") if against in UNITS else StrMethodFormatter("{x:,g}")
                )
            if not axes.lines:
                axes.text(0.5, 0.5, "not logged", ha="center", color="gray", transform=axes.transAxes)
        for axes in row[:2]:
            values = np.concatenate([line.get_ydata() for line in axes.lines] or [np.ones(1)])
            if values.min() > 0 and values.max() > LOG_FROM * values.min():
                axes.set_yscale("log")
    handles = [Line2D([], [], **line_style(number)) for number in range(len(logs))]
    figure.legend(handles, list(logs), loc="outside upper center", ncols=min(4, len(logs)))
    return save(figure, picture)


def places_of(lines: Sequence[Line], against: Against) -> np.ndarray:
    """Where each line of a log stands on the horizontal axis.

    Lines of validation know their step only: their tokens and seconds are those of the same step, or lie between those
    of its neighbours. A log holds the speed of some steps, and each is taken for those since the one before it.

    Args:
        lines: of a log, in order.
        against: see `draw_runs`.
    Returns:
        (lines) float64: steps, tokens, pictures or seconds since the start.
    Raises:
        ValueError: `against` is unknown, or no line tells tokens and speed.
    Example:
        >>> log = [{"step": 0}, {"step": 2, "tokens": 40, "tokens_per_second": 10.0}, {"step": 1}]
        >>> places_of(log, "seconds")
        array([0., 4., 2.])
    """
    if against not in get_args(Against):
        raise ValueError(f"runs are drawn against {', '.join(get_args(Against))}, but {against} was asked for")
    steps = np.array([line["step"] for line in lines], dtype=np.float64)
    if against == "steps":
        return steps
    wanted = UNITS if against == "seconds" else (against,)
    found = [unit for unit in wanted if any(unit in line and f"{unit}_per_second" in line for line in lines)]
    if not found:
        raise ValueError(f"no line tells {wanted[0]} and {wanted[0]}_per_second: draw against steps")
    unit = found[0]
    told = [line for line in lines if unit in line and f"{unit}_per_second" in line]
    amounts = np.array([0, *(line[unit] for line in told)], dtype=np.float64)
    if against == "seconds":
        speeds = np.array([line[f"{unit}_per_second"] for line in told])
        amounts = np.concatenate(([0.0], np.cumsum(np.diff(amounts) / speeds)))
    return np.interp(steps, [0, *(line["step"] for line in told)], amounts)


def smooth(values: Sequence[float] | np.ndarray, reach: int) -> np.ndarray:
    """Mean of each value and `reach` neighbours on both sides, or as many as there are on the shorter side.

    An exponential mean would lag behind, and differently in runs that log more or less often.

    Args:
        values: (points), in order.
        reach: neighbours on one side; 0 leaves all as it is.
    Returns:
        (points) float64; a straight line stays what it is, the first and the last point too.
    Example:
        >>> smooth([0.0, 3.0, 0.0, 3.0], reach=2)
        array([0., 1., 2., 3.])
    """
    sums = np.concatenate(([0.0], np.cumsum(np.asarray(values, dtype=np.float64))))
    here = np.arange(len(values))
    near = np.minimum(reach, np.minimum(here, here[::-1]))
    return (sums[here + near + 1] - sums[here - near]) / (2 * near + 1)


def _answers(lines: Iterable[Line]) -> list[str]:
    """Names of what is learnt, from the keys of the training losses."""
    keys = sorted({key for line in lines for key in line if key.endswith("_loss") and not key.startswith("validation")})
    return [key.removesuffix("_loss") for key in keys]


def _draw_run(
    row: Sequence[Axes], answer: str, lines: Sequence[Line], places: np.ndarray, style: Line, window: float
) -> None:
    """Add one run to training loss, validation loss and accuracy of one answer; `window` is as wide as `places`."""
    dots: Line = {"marker": "o", "markersize": 3}

    def points(key: str) -> tuple[np.ndarray, np.ndarray]:
        kept = [number for number, line in enumerate(lines) if key in line]
        return places[kept], np.array([lines[number][key] for number in kept])

    keys = (f"{answer}_loss", f"validation_{answer}_loss", f"validation_{answer}_accuracy")
    for axes, key, look in zip(row, keys, ({}, dots, dots), strict=True):
        x, y = points(key)
        if not len(x):
            continue
        if axes is row[0]:
            axes.plot(x, y, color=style["color"], alpha=0.25, linewidth=0.8)
            y = smooth(y, max(1, round(window / 2 * len(x) / (x[-1] or 1))))
        axes.plot(x, y, **style, **look)
    x, intervals = points(f"validation_{answer}_interval")
    if len(x):
        row[2].fill_between(x, intervals[:, 0], intervals[:, 1], color=style["color"], alpha=0.15, linewidth=0)


def _named(name: str, function, *arguments):
    """Call, and say whose log it was if it was not good."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _unit(against: Against, longest: float) -> tuple[float, str]:
    """What to divide places by, and how to name them: long times in minutes or hours."""
    if against != "seconds":
        return 1, "step" if against == "steps" else f"{against} read"
    for size, name in ((3600, "hours"), (60, "minutes")):
        if longest >= 3 * size:
            return size, f"{name} of training"
    return 1, "seconds of training"

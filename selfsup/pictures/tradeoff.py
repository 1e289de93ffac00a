"""How good against how fast: a point for each way to do one thing."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from selfsup.pictures.saving import COLOURS, save

Interval = tuple[float, float, float]  # mean, low, high
MARKERS = "os^Dv"  # the next point with a colour that came before has another one


def draw_tradeoff(
    points: Mapping[str, tuple[Interval, Interval]],
    picture: Path,
    *,
    title: str,
    across: str,
    up: str,
    level: tuple[str, float] | None = None,
) -> Figure:
    """Points with error bars on both sides; what is further right and higher up is better in all.

    Args:
        points: by name: (mean, low, high) across, above 0, on a logarithmic axis; and the same upwards.
        picture: where it goes.
        title: of the whole.
        across: what grows to the right.
        up: what grows upwards.
        level: name and height of what is had for nothing; a dashed line.
    Returns:
        the figure.
    Raises:
        ValueError: nothing to draw, more points than can be told apart, or speeds that are not above 0.
    """
    most = len(COLOURS) * len(MARKERS)
    if not 0 < len(points) <= most:
        raise ValueError(f"1 to {most} points are wanted, but {len(points)} came to draw")
    figure = Figure(figsize=(7.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, (name, sides) in enumerate(points.items()):
        (x, y), bars = [mean for mean, *_ in sides], [[[mean - low], [high - mean]] for mean, low, high in sides]
        if x <= 0:
            raise ValueError(f"{across} above 0 is wanted on an axis that is logarithmic, but {name} has {x}")
        marker, colour = MARKERS[number // len(COLOURS)], COLOURS[number % len(COLOURS)]
        axes.errorbar([x], [y], xerr=bars[0], yerr=bars[1], fmt=marker, color=colour, capsize=3, label=name)
    if level:
        name, height = level
        axes.axhline(height, color="#777777", linestyle="--", linewidth=1.2, label=name)
    axes.set_xscale("log")
    ticks = [tick * 10.0**power for power in range(-3, 7) for tick in (1, 2, 5)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    lowest, highest = min(x for (x, _, _), _ in points.values()), max(x for (x, _, _), _ in points.values())
    axes.set_xlim(lowest / 1.6, highest * 1.6)  # ticks have widened it
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", fontsize=9)
    figure.suptitle(title, parse_math=False)
    return save(figure, picture)

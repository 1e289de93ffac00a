"""How right a model is with more and more examples in its prompt."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from selfsup.pictures.efficiency import Point
from selfsup.pictures.saving import COLOURS, line_style, save


def draw_shots(
    lines: Mapping[str, Sequence[Point]],
    picture: Path,
    *,
    title: str,
    metric: str,
    baselines: Mapping[str, float],
) -> Figure:
    """A line with its band for each way of asking, over evenly spaced 0, 1, 2, 4, 8 …

    Args:
        lines: by label: (examples in the prompt, mean, low, high) in hundredths.
        picture: where it goes.
        title: of the whole.
        metric: what runs upwards.
        baselines: what is reached without a model, by name; a thin line each.
    Returns:
        the figure.
    Raises:
        ValueError: nothing to draw.
    """
    if not any(lines.values()):
        raise ValueError("at least one line is wanted, but nothing came to draw")
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("symlog", base=2, linthresh=1, linscale=0.5)  # from 0 to 1 as far as from 1 to 2
    for number, (label, points) in enumerate(lines.items()):
        style = line_style(number)
        x, mean, low, high = zip(*points, strict=True)
        axes.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0)
        axes.plot(x, mean, marker="o", markersize=4, label=label, **style)
    for number, (name, height) in enumerate(baselines.items()):
        axes.axhline(height, color=COLOURS[3 + number], linestyle=("--", ":")[number % 2], linewidth=1.2, label=name)
    ticks = sorted({point[0] for points in lines.values() for point in points})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(-0.2, 1.15 * max(1, ticks[-1]))
    axes.set_xlabel("examples in the prompt")
    axes.set_ylabel(f"{metric}, %")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    figure.suptitle(title, parse_math=False, fontsize=10)
    return save(figure, picture)

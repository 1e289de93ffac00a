"""How a score grows with labels or steps: a line with a band for each way of learning, a panel for each task."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from selfsup.pictures.saving import line_style, save

Point = tuple[float, float, float, float]  # across, mean, low, high


def draw_bands(
    panels: Mapping[str, Mapping[str, Sequence[Point]]],
    picture: Path,
    *,
    title: str,
    across: str,
    baselines: Mapping[str, Sequence] | None = None,
    logarithmic: bool = True,
) -> Figure:
    """A panel for each task, and in it a line with its band for each label.

    Args:
        panels: by task, then by label: (across, mean, low, high).
        picture: where it goes.
        title: of the whole.
        across: what runs from left to right.
        baselines: by task, a name and what is reached without learning; a dashed line.
        logarithmic: the axis that runs across.
    Returns:
        the figure; its axes are the tasks in order.
    Raises:
        ValueError: nothing to draw.
    """
    if not any(lines for lines in panels.values()):
        raise ValueError("at least one task with one line is wanted, but nothing came to draw")
    labels = list(dict.fromkeys(label for lines in panels.values() for label in lines))
    figure = Figure(figsize=(max(7, 1.2 + 3.2 * len(panels)), 3.6), layout="constrained")
    places = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (task, lines) in zip(places, panels.items(), strict=True):
        for label, points in lines.items():
            style = line_style(labels.index(label))
            x, mean, low, high = zip(*points, strict=True)
            axes.plot(x, mean, marker="o", markersize=3.5, label=label, **style)
            axes.fill_between(x, low, high, color=style["color"], alpha=0.18, linewidth=0)
        if baselines and task in baselines:
            name, figure_without = baselines[task]
            axes.axhline(figure_without, color="#777777", linestyle=":", linewidth=1.2)
            axes.annotate(name, (0.98, figure_without), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                          fontsize=7, color="#555555")  # fmt: skip
        if logarithmic:
            axes.set_xscale("log")
        axes.set_title(task, fontsize=10)
        axes.set_xlabel(across)
        axes.grid(alpha=0.25)
    handles = {handle.get_label(): handle for axes in places for handle in axes.lines if handle.get_label() in labels}
    figure.legend(handles=[handles[label] for label in labels], loc="outside lower center", ncols=len(labels))
    figure.suptitle(title, parse_math=False, fontsize=10)
    return save(figure, picture)

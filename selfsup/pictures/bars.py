"""Shares by group as bars, a colour for each of those that are compared."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from selfsup.pictures.saving import COLOURS, save

Interval = tuple[float, float, float]  # mean, low, high


def draw_bars(
    series: Mapping[str, Mapping[str, Interval]], picture: Path, *, title: str, unit: str, chance: float | None = None
) -> Figure:
    """Groups side by side, and in each a bar with its interval for every series.

    Args:
        series: by name, then by group: (mean, low, high).
        picture: where it goes.
        title: of the whole.
        unit: of all figures, for instance "% right".
        chance: what guessing reaches; a dashed line.
    Returns:
        the figure.
    Raises:
        ValueError: nothing to draw, more series than colours, or groups that differ.
    """
    groups = list(next(iter(series.values()), {}))
    if not groups:
        raise ValueError("at least one series with one group is wanted, but nothing came to draw")
    if len(series) > len(COLOURS):
        raise ValueError(f"at most {len(COLOURS)} series can be told apart, but {len(series)} came: draw fewer")
    for name, of_groups in series.items():
        if set(of_groups) != set(groups):
            raise ValueError(f"the same groups are wanted for all, but those of {name} differ from the first ones")
    figure = Figure(figsize=(2.5 + max(3.0, len(groups) * (0.45 + 0.16 * len(series))), 4.2), layout="constrained")
    axes, width = figure.subplots(), 0.8 / len(series)
    for number, (name, of_groups) in enumerate(series.items()):
        places = [group - 0.4 + (number + 0.5) * width for group in range(len(groups))]
        means, lows, highs = zip(*(of_groups[group] for group in groups), strict=True)
        below = [mean - low for mean, low in zip(means, lows, strict=True)]
        above = [high - mean for mean, high in zip(means, highs, strict=True)]
        axes.bar(places, means, width, yerr=[below, above], color=COLOURS[number], label=name, capsize=1.5,
                 error_kw={"linewidth": 0.8})  # fmt: skip
    if chance is not None:
        axes.axhline(chance, color="black", linestyle="--", linewidth=1, label="chance")
    labels = [group.replace("_", " ") for group in groups]
    axes.set_xticks(range(len(groups)), labels, rotation=35, ha="right", fontsize=9, parse_math=False)
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.set_ylim(0, 100 if unit.startswith("%") else None)
    axes.set_ylabel(unit)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=min(4, len(series) + 1), fontsize=9)
    figure.suptitle(title, parse_math=False)
    return save(figure, picture)

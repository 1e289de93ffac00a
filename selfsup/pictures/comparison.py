"""Means with their intervals, side by side: what differs by more than chance."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from selfsup.pictures.saving import COLOURS, save

Interval = tuple[float, float, float]  # mean, low, high


def draw_intervals(
    groups: Mapping[str, Mapping[str, Interval]],
    picture: Path,
    *,
    title: str,
    unit: str = "",
    baselines: Mapping[str, float] | None = None,
) -> Figure:
    """A panel for each metric, and in it a point with error bars for each label.

    A label has the same row in all panels, also where one of them lacks it.

    Args:
        groups: by metric, then by label: (mean, low, high).
        picture: where it goes.
        title: of the whole.
        unit: of all figures, for instance "%".
        baselines: by metric, what is reached without what is compared; a dashed line.
    Returns:
        the figure; its axes are the metrics in order.
    Raises:
        ValueError: nothing to draw, a mean outside of its interval, or a baseline of a metric that is not drawn.
    """
    baselines = baselines or {}
    labels = list(dict.fromkeys(label for group in groups.values() for label in group))
    if not labels:
        raise ValueError("at least one metric with one label is wanted, but nothing came to draw")
    if unknown := sorted(baselines.keys() - groups.keys()):
        raise ValueError(f"baselines are wanted for {', '.join(groups)}, but there is one for {', '.join(unknown)}")
    widest = max(map(len, labels))
    figure = Figure(figsize=(3.4 * len(groups) + 0.09 * widest, 1.3 + 0.34 * max(3, len(labels))), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    for axes, (metric, group) in zip(panels, groups.items(), strict=True):
        for label, (mean, low, high) in group.items():
            if not low <= mean <= high:
                raise ValueError(
                    f"{metric}, {label}: a mean inside its interval is wanted, but {mean}, {low}, {high} came"
                )
            bars = [[mean - low], [high - mean]]
            axes.errorbar([mean], [labels.index(label)], xerr=bars, fmt="o", capsize=3, color=COLOURS[0])
        if metric in baselines:
            axes.axvline(baselines[metric], color=COLOURS[3], linestyle="--", linewidth=1.2, label="baseline")
        axes.set_title(metric, fontsize=10)
        axes.set_xlabel(unit)
        axes.grid(alpha=0.25)
    panels[0].set_yticks(range(len(labels)), labels, parse_math=False)
    panels[0].set_ylim(len(labels) - 0.5, -0.5)  # the first on top
    if baselines:
        drawn = next(axes for axes, metric in zip(panels, groups, strict=True) if metric in baselines)
        figure.legend(
            handles=[line for line in drawn.lines if line.get_label() == "baseline"], loc="outside lower right"
        )
    figure.suptitle(title, parse_math=False)
    return save(figure, picture)

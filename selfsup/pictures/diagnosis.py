"""Losses on train, slice and test of a run and of those it is compared with, between the blind loss and the floor."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from selfsup.pictures.saving import COLOURS, save

LOSSES = {"train": COLOURS[0], "slice": COLOURS[1], "test": COLOURS[3]}
LEVELS = {"blind": "0.25", "floor": COLOURS[2]}
ALONE: dict[str, Any] = {"linestyle": "", "marker": "*", "markersize": 12, "zorder": 3}  # one point is no line


def draw_diagnosis(
    runs: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    picture: Path,
    *,
    title: str,
    units: Mapping[str, str],
    levels: Mapping[str, float | None],
) -> Figure:
    """A panel for each run, all with one axis of losses, never logarithmic: a diagnosis weighs the distances seen.

    Args:
        runs: by name, then train, slice and test: (epoch or step, loss); what is empty is left out.
        picture: where it goes.
        title: of the whole, the verdict.
        units: by name, what the places of a run count.
        levels: blind and floor, dashed lines; None is left out.
    Returns:
        the figure; its axes are the runs in order.
    Raises:
        ValueError: no run came.
    """
    if not runs:
        raise ValueError("at least one run is wanted, but none came: give the curves of a run")
    figure = Figure(figsize=(1.2 + 3.8 * len(runs), 4.2), layout="constrained")
    panels = figure.subplots(1, len(runs), squeeze=False, sharey=True)[0]
    for axes, (name, losses) in zip(panels, runs.items(), strict=True):
        for kind, colour in LOSSES.items():
            if losses[kind]:
                style = ALONE if len(losses[kind]) == 1 else {}
                axes.plot(*zip(*losses[kind], strict=True), color=colour, label=kind, **style)
        for kind, colour in LEVELS.items():
            if (level := levels.get(kind)) is not None:
                axes.axhline(level, color=colour, linestyle="--", linewidth=1.2, label=kind)
        axes.set(title=name, xlabel=units[name])
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("loss")
    handles = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=len(handles))
    figure.suptitle(title)
    return save(figure, picture)

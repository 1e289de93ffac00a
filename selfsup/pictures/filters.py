"""The filters that look at pixels first, as pictures: what a network sees them through."""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from selfsup.pictures.saving import save

CELL_INCHES = 0.75


def draw_filters(weights: Tensor | np.ndarray, picture: Path, *, title: str) -> Figure:
    """All filters in one scale that is the same on both sides of 0.

    The scale ends where only one weight in 200 is larger: one outlier would leave all others pale. Filters of one
    channel are blue below 0 and red above; those of three channels are colours, where grey is 0.

    Args:
        weights: (filters, channels, height, width), with 1 or 3 channels.
        picture: where it goes.
        title: of the whole.
    Returns:
        the figure; its axes are the filters in order, and the colour bar comes last where there is one.
    Raises:
        ValueError: another shape.
    """
    array = weights.detach().float().cpu().numpy() if isinstance(weights, Tensor) else np.asarray(weights)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape:
        raise ValueError(
            f"filters of shape (filters, 1 or 3 channels, height, width) are wanted, but {array.shape} came"
        )
    most = float(np.quantile(np.abs(array), 0.995)) or 1.0
    across = min(len(array), max(8, math.ceil(math.sqrt(len(array)))))
    down = math.ceil(len(array) / across)
    width = CELL_INCHES * across + (1.2 if array.shape[1] == 1 else 0.2)
    figure = Figure(figsize=(max(width, 0.085 * len(title)), CELL_INCHES * down + (0.6 if down > 2 else 1.2)))
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, weight in zip(grid.flat, array, strict=False):
        axes.set_axis_on()
        axes.set_xticks([])
        axes.set_yticks([])
        if array.shape[1] == 1:
            shown = axes.imshow(weight[0], cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
        else:
            axes.imshow(np.clip(weight.transpose(1, 2, 0) / (2 * most) + 0.5, 0, 1), interpolation="nearest")
    for axes in list(grid.flat)[len(array) :]:
        axes.remove()
    if array.shape[1] == 1:
        figure.colorbar(
            shown, ax=list(grid.flat)[: len(array)], label="weight", extend="both", fraction=0.05, aspect=30
        )
    figure.suptitle(title + ("" if array.shape[1] == 1 else "; grey is 0"), fontsize=10, parse_math=False)
    return save(figure, picture)

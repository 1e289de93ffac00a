"""Small pictures in rows and columns, as they are: for instance a picture and what became of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from selfsup.pictures.saving import save

CELL_INCHES = 1.1


def draw_grid(
    pictures: Tensor | np.ndarray,
    picture: Path,
    *,
    title: str,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    aside: int = 0,
) -> Figure:
    """Pictures of one size, row by row.

    Args:
        pictures: (rows, columns, channels, height, width) in 0-1, with 1 or 3 channels; what leaves 0-1 is cut off.
        picture: where it goes.
        title: of the whole.
        columns: what each column shows; empty for none, and for one that needs no word.
        rows: likewise.
        aside: columns after which a gap sets the others apart; 0 for no gap.
    Returns:
        the figure; its axes are row by row.
    Raises:
        ValueError: another shape, or labels that do not fit.
    """
    array = pictures.detach().float().cpu().numpy() if isinstance(pictures, Tensor) else np.asarray(pictures)
    if array.ndim != 5 or array.shape[2] not in (1, 3) or 0 in array.shape:
        raise ValueError(
            f"pictures of shape (rows, columns, 1 or 3 channels, height, width) are wanted, but {array.shape} came"
        )
    down, across, _, height, width = array.shape
    for labels, count, what in ((rows, down, "rows"), (columns, across, "columns")):
        if len(labels) not in (0, count):
            raise ValueError(f"a label for each of {count} {what} is wanted, or none, but {len(labels)} came")
    wide, tall = CELL_INCHES * max(1.0, width / height), CELL_INCHES * max(1.0, height / width)
    lines = title.split("\n")
    least = 0.08 * max(map(len, lines))
    size = (max(wide * across + (0.3 if rows else 0.1), least), tall * down + 0.25 * len(lines) + 0.3)
    figure = Figure(figsize=size)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
    ratios = [1.0] * across
    if aside:
        ratios.insert(aside, 0.12)
    grid = figure.add_gridspec(down, len(ratios), width_ratios=ratios)
    shown = np.clip(array, 0, 1).transpose(0, 1, 3, 4, 2)
    for row in range(down):
        for column in range(across):
            axes = figure.add_subplot(grid[row, column + (1 if aside and column >= aside else 0)])
            axes.imshow(shown[row, column].squeeze(-1) if array.shape[2] == 1 else shown[row, column],
                        cmap="gray", vmin=0, vmax=1, interpolation="nearest")  # fmt: skip
            axes.set_xticks([])
            axes.set_yticks([])
            if not row and columns:
                axes.set_title(columns[column], fontsize=9, parse_math=False)
            if not column and rows:
                axes.set_ylabel(rows[row], fontsize=9, parse_math=False)
    figure.suptitle(title, fontsize=10, parse_math=False)
    return save(figure, picture)

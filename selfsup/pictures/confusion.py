"""A confusion matrix: what is taken for what, as counts, in the colours of shares."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from selfsup.pictures.saving import save

MOST_NUMBERED = 30  # classes up to which counts are written into the cells


def draw_confusion(counts: np.ndarray, names: Sequence[str], picture: Path, *, title: str) -> Figure:
    """Counts by true and predicted class; the colour is the share of the true class. Cells of nothing stay empty.

    Args:
        counts: (true, predicted) whole numbers.
        names: of the classes.
        picture: where it goes.
        title: of the whole.
    Returns:
        the figure; its axes are the matrix and the colour bar.
    Raises:
        ValueError: counts and names do not fit, or nothing was counted.
    """
    counts = np.asarray(counts)
    if counts.shape != (len(names), len(names)) or not counts.sum():
        raise ValueError(
            f"counts of shape ({len(names)} true, {len(names)} predicted) with one at least are wanted, but "
            f"{counts.shape} with {counts.sum()} came"
        )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(0.5 * len(names), 3.0), 14.0)
    longest = 0.075 * min(max(map(len, names)), 30)
    size = (max(side + longest + 1.6, 0.095 * len(title)), side + longest + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    labels = [name if len(name) <= 30 else name[:29] + "…" for name in names]
    small = 9 if len(names) <= MOST_NUMBERED else 6
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if longest > 0.25 else {}
    axes.set_xticks(range(len(names)), labels, fontsize=small, parse_math=False, **turned)
    axes.set_yticks(range(len(names)), labels, fontsize=small, parse_math=False)
    if len(names) <= MOST_NUMBERED:
        digits = len(f"{counts.max():,}")
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.55 else "black"
                axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8 if digits < 5 else 6,
                          color=colour)  # fmt: skip
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    figure.colorbar(shown, ax=axes, label="share of the true class", shrink=0.8)
    figure.suptitle(title, fontsize=11, parse_math=False)
    return save(figure, picture)

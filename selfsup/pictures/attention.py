"""Attention weights as heat maps: all heads of all layers in one colour scale, or one head large."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from torch import Tensor

from selfsup.pictures.saving import save

LABEL_INCHES = 0.12  # height of one label in the smallest letters that can be read
MOST_NUMBERED = 16  # tokens up to which a large map shows its weights as numbers too


def draw_heads(
    weights: Tensor | np.ndarray, queries: Sequence[str], keys: Sequence[str], picture: Path, *, title: str
) -> Figure:
    """All heads of all layers: a grid of small maps in one colour scale.

    Args:
        weights: (layers, heads, queries, keys), each row of a map sums to 1.
        queries: what attends, see `token_labels`; the rows of a map.
        keys: what is attended to, the columns; the same as `queries` in self-attention.
        picture: where it goes.
        title: of the whole.
    Returns:
        the figure; its axes are layer by layer, and the colour bar comes last.
    Raises:
        ValueError: weights and labels do not fit.
    """
    weights = _fitting(weights, queries, keys, axes=4)
    num_layers, num_heads = weights.shape[:2]
    width, height = (min(max(LABEL_INCHES * len(labels), 1.4), 3.2) for labels in (keys, queries))
    figure = Figure(figsize=(num_heads * width + 2.2, num_layers * height + 1.9), layout="constrained")
    grid = figure.subplots(num_layers, num_heads, squeeze=False)
    norm = _scale(weights)
    for layer, row in enumerate(grid):
        for head, axes in enumerate(row):
            shown = axes.imshow(weights[layer, head], cmap="viridis", norm=norm, aspect="auto", interpolation="nearest")
            axes.set_title(f"layer {layer}, head {head}", fontsize=9)
            _label(axes, queries, keys, width, height, size=7)
            axes.tick_params(length=1.5, labelleft=head == 0, labelbottom=layer == num_layers - 1)
    figure.colorbar(shown, ax=grid, label="attention weight", shrink=min(1.0, 4 / (num_layers * height)), pad=0.01)
    return _finish(figure, title, picture)


def draw_head(
    weights: Tensor | np.ndarray, queries: Sequence[str], keys: Sequence[str], picture: Path, *, title: str
) -> Figure:
    """One head, large; short sentences with their weights as numbers.

    Args:
        weights: (queries, keys), each row sums to 1.
        queries: see `draw_heads`.
        keys: likewise.
        picture: where it goes.
        title: of the whole.
    Returns:
        the figure; its axes are the map and the colour bar.
    Raises:
        ValueError: weights and labels do not fit.
    """
    weights = _fitting(weights, queries, keys, axes=2)
    width, height = (min(max(0.34 * len(labels), 3.0), 12.0) for labels in (keys, queries))
    figure = Figure(figsize=(width + 2.4, height + 1.4), layout="constrained")
    axes = figure.subplots()
    norm = _scale(weights)
    shown = axes.imshow(weights, cmap="viridis", norm=norm, aspect="auto", interpolation="nearest")
    _label(axes, queries, keys, width, height, size=9)
    if max(weights.shape) <= MOST_NUMBERED:
        for (row, column), weight in np.ndenumerate(weights):
            number = f"{100 * weight:.0f}"
            colour = "black" if norm(weight) > 0.6 else "white"
            axes.text(column, row, number, ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(shown, ax=axes, label="attention weight (numbers in %)" if axes.texts else "attention weight")
    return _finish(figure, title, picture)


def token_labels(tokens: Iterable[str]) -> list[str]:
    """Tokens as people read them: without the mark of a word's start, and with white space that can be seen.

    Args:
        tokens: as the tokenizer cuts them, special tokens included.
    Returns:
        one label each.
    Example:
        >>> token_labels(["[CLS]", "▁The", "▁", "end", "\\n"])
        ['[CLS]', 'The', '␣', 'end', '↵']
    """
    tokens = list(tokens)
    # "Ġ" of byte-level tokenizers is a letter of Maltese, so it is a mark only where the other one is nowhere.
    mark = "▁" if any("▁" in token for token in tokens) else "Ġ"
    shown = str.maketrans({mark: "␣", " ": "␣", "\n": "↵", "Ċ": "↵", "\t": "⇥", "\r": "↵"})
    if mark == "▁":
        shown.pop(ord("Ċ"))
    return [(token.removeprefix(mark) or mark).translate(shown) for token in tokens]


def _fitting(weights: Tensor | np.ndarray, queries: Sequence[str], keys: Sequence[str], axes: int) -> np.ndarray:
    """The weights as an array, if they have so many axes and the labels are theirs."""
    array = weights.detach().float().cpu().numpy() if isinstance(weights, Tensor) else np.asarray(weights)
    if array.ndim != axes or array.shape[-2:] != (len(queries), len(keys)) or 0 in array.shape:
        wanted = f"({'layers, heads, ' if axes == 4 else ''}{len(queries)} queries, {len(keys)} keys)"
        raise ValueError(f"weights of shape {wanted} are wanted for these labels, but {array.shape} came")
    return array


def _scale(weights: np.ndarray) -> PowerNorm:
    """From 0 to the largest weight, by square roots: one head on a single token would leave all others dark."""
    return PowerNorm(0.5, vmin=0.0, vmax=float(weights.max()) or 1.0)


def _label(axes: Axes, queries: Sequence[str], keys: Sequence[str], width: float, height: float, size: int) -> None:
    """Name rows and columns; where they stand too close to be read, every second or third only.

    `width` and `height` are those of the map in inches.
    """
    for axis, labels, inches in ((axes.xaxis, keys, width), (axes.yaxis, queries, height)):
        every = math.ceil(len(labels) * LABEL_INCHES * size / 7.5 / inches)
        numbers = range(0, len(labels), every)
        # Two dollar signs would make a formula.
        axis.set_ticks(list(numbers), [labels[number] for number in numbers], fontsize=size, parse_math=False)
    axes.tick_params(axis="x", rotation=90)


def _finish(figure: Figure, title: str, picture: Path) -> Figure:
    figure.suptitle(title, parse_math=False)
    figure.supxlabel("attended to (keys)", fontsize=9)
    figure.supylabel("attends (queries)", fontsize=9)
    return save(figure, picture)

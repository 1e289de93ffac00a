"""Pictures of positions: how alike their embeddings are, and how much attention they take away by distance."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from selfsup.pictures.saving import COLOURS, line_style, save


def cosine_similarity(table: Tensor | np.ndarray) -> np.ndarray:
    """How alike the rows of a table are.

    Args:
        table: (positions, size).
    Returns:
        (positions, positions) float64 between -1 and 1; 0 for rows of zeros.
    Raises:
        ValueError: the table has other axes, or fewer than two rows.
    """
    rows = table.detach().double().cpu().numpy() if isinstance(table, Tensor) else np.asarray(table, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"a table of two or more positions is wanted, (positions, size), but {rows.shape} came")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return np.clip(rows @ rows.T, -1.0, 1.0)


def by_distance(similarity: np.ndarray) -> np.ndarray:
    """Middle and spread of what lies on each diagonal.

    Args:
        similarity: (positions, positions), symmetric.
    Returns:
        (positions, 3): for each distance mean, 5th and 95th percentile over all pairs of positions so far apart.
    Example:
        >>> by_distance(np.array([[1.0, 0.2], [0.2, 1.0]]))[:, 0]
        array([1. , 0.2])
    """
    diagonals = [np.diagonal(similarity, distance) for distance in range(len(similarity))]
    return np.array([(diagonal.mean(), *np.quantile(diagonal, (0.05, 0.95))) for diagonal in diagonals])


def draw_positions(table: Tensor | np.ndarray, picture: Path, *, title: str) -> Figure:
    """Cosine similarity between all positions as a map, and beside it by distance.

    For rotary positions give a vector as every position turns it: the similarity then is what the turning makes of
    the product of a query and a key that are alike.

    Args:
        table: (positions, size), a row for each position.
        picture: where it goes.
        title: says what is shown.
    Returns:
        the figure; its axes are the map, the curve and the colour bar.
    Raises:
        ValueError: see `cosine_similarity`.
    """
    similarity = cosine_similarity(table)
    middle, low, high = by_distance(similarity).T
    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    shown = left.imshow(similarity, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    left.set(xlabel="position", ylabel="position")
    right.axhline(0, color="gray", linewidth=0.8)
    right.plot(middle, color=COLOURS[0], label="mean")
    if (high - low).max() > 1e-6:  # else the distance alone decides
        right.fill_between(range(len(middle)), low, high, color=COLOURS[0], alpha=0.2, linewidth=0, label="5 to 95 %")
        right.legend()
    right.set(xlabel="distance in tokens", ylabel="cosine similarity", xlim=(0, len(middle) - 1), ylim=(None, 1.02))
    right.grid(alpha=0.25)
    figure.colorbar(shown, ax=left, label="cosine similarity")
    figure.suptitle(title, parse_math=False)
    return save(figure, picture)


def draw_biases(biases: Tensor | np.ndarray, picture: Path, *, title: str) -> Figure:
    """What is added to the scores of attention, by distance: a line for each head.

    Args:
        biases: (heads, distances), from distance 0.
        picture: where it goes.
        title: says what is shown.
    Returns:
        the figure.
    Raises:
        ValueError: the biases have other axes.
    """
    lines = biases.detach().float().cpu().numpy() if isinstance(biases, Tensor) else np.asarray(biases)
    if lines.ndim != 2 or 0 in lines.shape:
        raise ValueError(f"biases of shape (heads, distances) are wanted, but {lines.shape} came")
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.subplots()
    for head, line in enumerate(lines):
        axes.plot(line, label=f"head {head}", **line_style(head))
    axes.set(xlabel="distance in tokens", ylabel="added to the score of attention (nats)")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper")
    figure.suptitle(title, parse_math=False)
    return save(figure, picture)

"""What is hidden: units of tokens or of patches, drawn by chance until a share is covered; one engine for all."""

import numpy as np
from numpy.random import Generator


def share_at(rate: float, final_rate: float, progress: float) -> float:
    """The share to hide, which goes from the one to the other in a straight line.

    Args:
        rate: at the beginning.
        final_rate: at the end.
        progress: share of the run that has passed, 0-1.
    """
    return rate + (final_rate - rate) * progress


def check_share(share: float, what: str) -> None:
    """Refuse what is no share of something to hide.

    Raises:
        ValueError: it is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of hidden {what} must be above 0 and at most 1, but {share} came")


def choose(units: np.ndarray, rate: float, rng: Generator) -> np.ndarray:
    """Pick whole units by chance until a share of the tokens is covered.

    Args:
        units: (tokens) int64, which unit each token belongs to, from 0; -1 for tokens that stay.
        rate: share of the tokens with a unit, above 0 and at most 1.
        rng: the only source of chance.
    Returns:
        (tokens) bool; at least one unit is picked where there is one.
    Example:
        >>> choose(np.array([-1, 0, 0, 1, -1]), rate=1.0, rng=np.random.default_rng(0))
        array([False,  True,  True,  True, False])
    """
    sizes = np.bincount(units[units >= 0])
    if not len(sizes):
        return np.zeros(len(units), dtype=bool)
    order = rng.permutation(len(sizes))
    wanted = max(1, round(rate * int(sizes.sum())))
    enough = int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1
    picked = np.zeros(len(sizes) + 1, dtype=bool)  # the last place serves unit -1
    picked[order[:enough]] = True
    return picked[units]


def join_words(words: np.ndarray, max_span: int, rng: Generator) -> np.ndarray:
    """Cut a run of words into spans of 1 to `max_span` words.

    Args:
        words: (tokens) int64, the word of each token, rising from 0; -1 for special tokens.
        max_span: longest span in words.
        rng: the only source of chance.
    Returns:
        (tokens) int64, the span of each token, -1 for special tokens. A span never crosses a special token.
    """
    num_words = int(words.max(initial=-1)) + 1
    lengths = rng.integers(1, max_span, num_words, endpoint=True)
    starts = np.zeros(num_words, dtype=bool)
    edges = np.concatenate(([0], np.cumsum(lengths)))
    starts[edges[edges < num_words]] = True
    ordinary = words >= 0
    after_special = np.flatnonzero(ordinary & ~np.concatenate(([False], ordinary[:-1])))
    starts[words[after_special]] = True
    spans = np.cumsum(starts) - 1
    return np.where(ordinary, spans[words] if num_words else -1, -1)


def choose_exactly(units: np.ndarray, number: int, rng: Generator) -> np.ndarray:
    """Pick units by chance until a number is covered; of the last unit only as much as is wanted.

    Args:
        units: (patches) int64, which unit each belongs to, from 0.
        number: of patches, at most all.
        rng: the only source of chance.
    Returns:
        (patches) bool; exactly `number` are picked.
    """
    rank = rng.permutation(int(units.max()) + 1)[units]
    picked = np.zeros(len(units), dtype=bool)
    picked[np.argsort(rank, kind="stable")[:number]] = True
    return picked


def tiles(height: int, width: int, side: int, rng: Generator) -> np.ndarray:
    """Cut a grid of patches into blocks, from an edge that chance shifts.

    Args:
        height: of the grid, in patches.
        width: likewise.
        side: of a block, in patches; 1 for each patch alone.
        rng: the only source of chance.
    Returns:
        (height * width) int64, the block of each patch, from 0 on, row by row.
    """
    if side == 1:
        return np.arange(height * width)  # nothing to shift; half of the time of hiding
    down, right = rng.integers(0, side, 2)
    rows, columns = (np.arange(height) + down) // side, (np.arange(width) + right) // side
    return (rows[:, None] * (columns[-1] + 1) + columns[None]).reshape(-1)

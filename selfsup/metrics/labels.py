"""Labels as marks: which labels an example has, for metrics that count label by label."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

Label = str | int


def marks(values: Sequence[Any], labels: Sequence[Label] | None, *, what: str) -> np.ndarray:
    """Mark the labels of each example.

    Args:
        values: a label for each example, or a list of labels, each counted once.
        labels: all that there are.
        what: the values are, for the error.
    Returns:
        (examples, labels) bool.
    Raises:
        ValueError: no labels, or one that is not among them.
    """
    if labels is None:
        raise ValueError("the names of all labels are wanted, so that all parts are counted alike: give `labels`")
    columns = {label: column for column, label in enumerate(labels)}
    marked = np.zeros((len(values), len(labels)), dtype=bool)
    for row, value in enumerate(values):
        for label in _several(value):
            if label not in columns:
                raise ValueError(f"one of the labels {named(labels)} is wanted, but {what} {row} is {label!r}")
            marked[row, columns[label]] = True
    return marked


def occurring(*sides: Sequence[Any]) -> list[Label]:
    """All labels that come up, in order.

    Example:
        >>> occurring(["no", "yes"], [["no"], []])
        ['no', 'yes']
    """
    return sorted({label for side in sides for value in side for label in _several(value)}, key=str)


def named(labels: Sequence[Label], most: int = 6) -> str:
    """The first few labels for a message."""
    return ", ".join(map(repr, labels[:most])) + (f" and {len(labels) - most} more" if len(labels) > most else "")


def _several(value: Any) -> Iterable[Label]:
    return value if isinstance(value, list | tuple | set | frozenset | np.ndarray) else [value]

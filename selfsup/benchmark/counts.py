"""Numbers that a benchmark is asked for, which have to be large enough to measure anything."""

from collections.abc import Sequence


def check_counts(least: int = 1, **counts: int | Sequence[float] | None) -> None:
    """Refuse what is too small, before anything is opened.

    Args:
        least: that each number has to be.
        counts: by flag: a number, several, or None where nothing was asked for.
    Raises:
        ValueError: a number is below `least`, or there is none among several.
    Example:
        >>> check_counts(rounds=0)
        Traceback (most recent call last):
        ValueError: rounds must be at least 1, but 0 came
    """
    for name, value in counts.items():
        numbers = value if isinstance(value, Sequence) else [least if value is None else value]
        if not numbers:
            raise ValueError(f"{name} wants at least one number, but none came")
        if too_small := [number for number in numbers if number < least]:
            raise ValueError(f"{name} must be at least {least}, but {too_small[0]} came")

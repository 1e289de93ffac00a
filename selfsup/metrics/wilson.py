"""Interval of one share: hits among independent answers."""

import math


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share.

    Args:
        hits: right answers.
        count: all answers, treated as independent of each other.
    Returns:
        lower and upper bound, 0-1; (0, 1) without answers.
    Source:
        Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    Example:
        >>> tuple(round(bound, 3) for bound in wilson(50, 100))
        (0.404, 0.596)
    """
    if not count:
        return 0.0, 1.0
    z, share = 1.959964, hits / count
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)

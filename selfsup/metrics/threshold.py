"""From which score on a model had better say nothing."""

from collections.abc import Callable

import numpy as np


def find_threshold(
    margins: np.ndarray, answered: np.ndarray, silent: np.ndarray, figure: Callable[[np.ndarray], np.ndarray]
) -> float:
    """The threshold of the best figure: an example whose margin is above it is left unanswered.

    Args:
        margins: (examples) by how much no answer beats the best one.
        answered: (examples, k) what each adds to the tallies of a metric if it is answered.
        silent: (examples, k) and if it is not.
        figure: of the metric: (..., k) sums of tallies -> (...), more is better.
    Returns:
        the middle between two margins, or a number beyond them all; the lowest one of the best.
    Source:
        Rajpurkar et al. 2018, "Know What You Don't Know: Unanswerable Questions for SQuAD", section 5 (a threshold
        tuned on the development set).
    """
    order = np.argsort(margins, kind="stable")
    margins = margins[order]
    gains = np.cumsum((answered - silent)[order], axis=0)
    totals = silent.sum(axis=0) + np.insert(gains, 0, 0, axis=0)  # the first 0, 1, 2 ... are answered
    thresholds = np.concatenate([margins[:1] - 1, (margins[:-1] + margins[1:]) / 2, margins[-1:] + 1])
    possible = np.concatenate([[True], margins[:-1] < margins[1:], [True]])
    return float(thresholds[np.where(possible, figure(totals), -np.inf).argmax()])

"""Figures with their intervals: the metrics of a task over conclusions, from tallies, from curves, and as words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from selfsup.metrics.bootstrap import bootstrap
from selfsup.objectives.objective import Example
from selfsup.objectives.sequences import Sequences
from selfsup.objectives.supervised import Supervised, few
from selfsup.task import Task

Interval = tuple[float, float, float]  # mean, low, high
INTERVAL_SEED = 0  # the same draws for all: equal answers have equal intervals


class Scorer:
    """The metrics of a task, over conclusions.

    Args:
        task: whose metrics.
        objective: bound.
    Raises:
        ValueError: a metric looks for a label that there is not, for spans where tags mark none, or for a source where
            there is none.
    """

    def __init__(self, task: Task, objective: Supervised) -> None:
        self.objective = objective
        self.of_source = [make() for make in task.source_metrics]
        self.metrics = [*self.of_source, *(make() for make in task.metrics)]
        if self.of_source and not isinstance(objective, Sequences):
            raise ValueError(
                f"an objective from text to text is wanted by {type(self.of_source[0]).__name__}, which sees the "
                f"source, but that of {task.name} is {type(objective).__name__}: leave source_metrics out"
            )
        for metric in self.metrics:
            if getattr(metric, "labels", ()) is None:  # a tally has a place for every label, seen or not
                metric.labels = [name for name, _ in sorted(objective.label_ids.items(), key=lambda pair: pair[1])]
            metric.check_labels(sorted(objective.label_ids))
            sought = getattr(metric, "positive", None)
            if sought is not None and sought not in metric.labels:
                raise ValueError(
                    f"{type(metric).__name__} looks for the label {sought!r}, but the labels are {few(metric.labels)}: "
                    "call them so in the data (numbered ones with --data.labels), or name a metric of your own in a "
                    "task file"
                )

    def __call__(self, conclusions: Sequence[Any], examples: Sequence[Example]) -> dict[str, float]:
        """All figures by name, the one that stands for the task first."""
        predictions = [self.objective.scored(conclusion) for conclusion in conclusions]
        figures: dict[str, float] = {}
        for metric in self.metrics:
            tallies = metric.tallies(predictions, self._references(metric, examples))
            found = metric.figures(tallies.sum(axis=0))
            figures |= {name: float(found[name]) for name in (metric.main, *found)}
        return figures

    def tallies(self, conclusions: Sequence[Any], examples: Sequence[Example]) -> np.ndarray:
        """(examples, k) what each adds to the first metric, for intervals."""
        return self.of_guesses([self.objective.scored(conclusion) for conclusion in conclusions], examples)

    def of_guesses(self, guesses: Sequence[Any], examples: Sequence[Example]) -> np.ndarray:
        """The same of what metrics can read as it is, such as the guesses of a baseline."""
        return self.metrics[0].tallies(guesses, self._references(self.metrics[0], examples))

    def figure(self, totals: np.ndarray) -> np.ndarray:
        """Sums of tallies (..., k) to the figure that stands for the task (...)."""
        return self.metrics[0].figure(totals)

    def _references(self, metric: Any, examples: Sequence[Example]) -> list[Any]:
        """What a metric compares with: the answers, and for some the sources beside them."""
        references = [self.objective.reference(example) for example in examples]
        if not any(metric is one for one in self.of_source):
            return references
        assert isinstance(self.objective, Sequences)
        return [
            {"source": self.objective.source(example), "targets": [answer] if isinstance(answer, str) else answer}
            for example, answer in zip(examples, references, strict=True)
        ]


def interval(tallies: np.ndarray, score: Scorer, against: np.ndarray | None = None) -> Interval:
    """Mean over seeds and 95 % interval of the figure of a task, or of a paired difference.

    Args:
        tallies: (seeds, examples, k).
        score: of the task.
        against: the same for what is subtracted.
    """
    rng = np.random.default_rng(INTERVAL_SEED)
    return bootstrap(tallies, against, rng=rng, figure=score.figure)


def spread(curves: Sequence[Sequence[Mapping[str, float]]], name: str) -> list[tuple[float, float, float, float]]:
    """A figure after each epoch that all seeds reached: step, mean, least and most."""
    epochs = [[line[name] for line in lines if name in line] for lines in zip(*curves, strict=False)]
    steps = [lines[0]["step"] for lines in zip(*curves, strict=False)]
    return [
        (step, float(np.mean(values)), min(values), max(values))
        for step, values in zip(steps, epochs, strict=True)
        if values
    ]


def between(found: Interval, sign: str = "") -> str:
    """A mean and its interval, in hundredths."""
    mean, low, high = (format(100 * value, f"{sign}.1f") for value in found)
    return f"{mean}  ({low} to {high})"

"""The curves of a run: losses on train, on a slice cut from it and on test, and what they came to."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Points = Sequence[tuple[float, float]]  # (epoch or step, loss), in order

TAIL = 0.1  # share of the curve, at its end, whose middle value is the loss it came to: one step says little


@dataclass(frozen=True)
class Curves:
    """Losses of one run, lower is better; two points of training loss at least.

    Args:
        train: (epoch or step, loss) on what it learns from.
        slice: on examples cut from train and never learnt from.
        test: on the split that counts; its last point tells which weights are judged, else those at the end are.
        floor: a loss that would be good: asked for, or reached by others, people included.
        blind: loss of the best constant guess, for instance the entropy of the labels.
        unit: what places count.
    Raises:
        ValueError: too few points, points out of order, a loss that is not finite, or a floor that is not below blind.
    """

    train: Points
    slice: Points = ()
    test: Points = ()
    floor: float | None = None
    blind: float | None = None
    unit: str = "epoch"

    def __post_init__(self) -> None:
        if len(self.train) < 2:
            raise ValueError(
                f"a training curve of 2 points or more is wanted, but {len(self.train)} came: train longer or log more "
                "often"
            )
        for name, points in (("training", self.train), ("slice", self.slice), ("test", self.test)):
            for place, loss in points:
                if not (math.isfinite(place) and math.isfinite(loss)):
                    raise ValueError(
                        f"finite losses are wanted, but the {name} loss at {place:g} is {loss:g}: lower the learning "
                        "rate, or give the curve up to there"
                    )
            places = [place for place, _ in points]
            if sorted(set(places)) != places:
                raise ValueError(f"points in order are wanted, but the {name} curve goes back: give each place once")
        bounds = [bound for bound in (self.floor, self.blind) if bound is not None]
        if not all(map(math.isfinite, bounds)) or (len(bounds) == 2 and bounds[0] >= bounds[1]):
            raise ValueError(
                f"a finite floor below blind is wanted, but floor {self.floor} and blind {self.blind} came: blind is "
                "the loss of a constant guess"
            )

    @property
    def slice_loss(self) -> float | None:
        """On the slice, of the weights that are judged; None where there is no slice."""
        judged = self.test[-1][0] if self.test else math.inf
        return next((loss for place, loss in reversed(self.slice) if place <= judged), None)

    @property
    def fit(self) -> float:
        """Loss on the training data that the run came to.

        A training loss is a mean over an epoch in which the model still got better, and dropout may add to it. A slice
        is never easier than what was learnt from, so where its loss is lower it is nearer to the truth.
        """
        return end(self.train) if self.slice_loss is None else min(end(self.train), self.slice_loss)


def curves_of(lines: Iterable[Mapping[str, Any]], *, floor: float | None = None, blind: float | None = None) -> Curves:
    """The curves in a log: curves.jsonl of fine-tuning, by epoch, or metrics.jsonl of pretraining, by step.

    Args:
        lines: with train_loss, slice_loss and test_loss, or loss and validation_loss; what is absent or None is left
            out.
        floor: see `Curves`.
        blind: likewise.
    Raises:
        ValueError: see `Curves`.
    """
    lines = list(lines)
    unit = "epoch" if any("epoch" in line for line in lines) else "step"

    def points(*keys: str) -> Points:
        return [(line[unit], line[key]) for line in lines for key in keys if unit in line and line.get(key) is not None]

    train, held_out = points("train_loss", "loss"), points("slice_loss", "validation_loss")
    return Curves(train, held_out, points("test_loss"), floor=floor, blind=blind, unit=unit)


def end(points: Points, until: float = 1.0) -> float:
    """The middle of the last tenth of a curve, or of its part up to a share of its points."""
    stop = max(1, round(until * len(points)))
    return median(loss for _, loss in points[stop - max(1, round(TAIL * len(points))) : stop])

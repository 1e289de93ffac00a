"""What every metric promises: figures that follow from sums over examples, and what those sums take from each."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from inspect import getdoc
from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np


class TallyMetric(evaluate.Metric, ABC):
    """A metric that adds: every example gives a row of numbers, and the figures follow from the sum of the rows.

    So every example counts exactly once, the sums of processes can be added, and a bootstrap can draw examples again
    without scoring anything anew. A new metric writes `tallies` and `figures`, and says `main` and `takes`.

    Abstract, for a reason: `evaluate.load(path)` takes the first concrete metric that it finds in a file, and this one
    is imported by all.

    Args:
        options: of evaluate.Metric.
    """

    main: str
    """The figure that stands for the metric; more is better."""

    takes: ClassVar[list[datasets.Features]]
    """What predictions and references may be, as evaluate wants it told: the first that fits."""

    whole_sample: ClassVar[bool] = False
    """Does the row of an example depend on the others? Then `tallies` must see them all, not a process's part."""

    def __init__(self, **options: Any) -> None:
        # Neither files in a cache nor the locks on them, unless evaluate is to gather from processes through files.
        options["keep_in_memory"] = options.get("num_process", 1) == 1
        super().__init__(**options)

    @abstractmethod
    def tallies(self, predictions: Sequence[Any], references: Sequence[Any]) -> np.ndarray:
        """What each example adds.

        Args:
            predictions: one for each example.
            references: as many.
        Returns:
            (examples, k) float64.
        Raises:
            ValueError: no example, more of one than of the other, or something that cannot be scored.
        """

    @abstractmethod
    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        """Figures by name, shares in 0-1.

        Args:
            totals: (..., k) sums of tallies.
        Returns:
            (...) float64 each, `main` among them.
        """

    def figure(self, totals: np.ndarray) -> np.ndarray:
        """The main one: (..., k) -> (...)."""
        return self.figures(totals)[self.main]

    def check_labels(self, labels: Sequence[str]) -> None:
        """Refuse labels of a task that this metric cannot score, before anything is learnt.

        Raises:
            ValueError: says which.
        """

    def signature(self) -> str | None:
        """All settings that the figure depends on, where its name does not tell them."""
        return None

    def add_batch(self, *, predictions: Any = None, references: Any = None, **options: Any) -> None:
        """Keep some predictions and references for `compute`."""
        check_pairs(predictions, references)
        super().add_batch(predictions=predictions, references=references, **options)

    def _compute(self, *, predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
        totals = self.tallies(predictions, references).sum(axis=0)
        return {name: float(value) for name, value in self.figures(totals).items()}

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=getdoc(type(self)) or "", citation="", features=self.takes)

    def _build_data_dir(self) -> str:
        return "" if self.keep_in_memory else super()._build_data_dir()  # which makes a folder in the user's cache

    def _finalize(self) -> None:
        if self.writer is None:
            check_pairs(None, None)
        super()._finalize()


def check_pairs(predictions: Any, references: Any) -> None:
    """Refuse what cannot be compared example by example.

    Args:
        predictions: anything with a length, or nothing.
        references: the same.
    Raises:
        ValueError: none, or more of one than of the other.
    """
    predicted, wanted = (0 if side is None else len(side) for side in (predictions, references))
    if predicted != wanted:
        raise ValueError(f"one prediction for each reference is wanted, but {predicted} came for {wanted}")
    if not wanted:
        raise ValueError("predictions and references are wanted, but none came: a metric of nothing says nothing")


def check_words(predictions: Sequence[Sequence[Any]], references: Sequence[Sequence[Any]]) -> None:
    """Refuse sentences that cannot be compared word by word.

    Args:
        predictions: a list of tags for each sentence.
        references: the same.
    Raises:
        ValueError: a sentence is no list of tags, or has two lengths.
    """
    for row, (tags, wanted) in enumerate(zip(predictions, references, strict=True)):
        if isinstance(tags, str) or isinstance(wanted, str):
            raise ValueError(
                f"a list of tags is wanted for each sentence, but sentence {row} has {tags!r} and {wanted!r}"
            )
        if len(tags) != len(wanted):
            raise ValueError(
                f"a tag for each word is wanted, but {len(tags)} came for the {len(wanted)} words of sentence {row}"
            )


def check_texts(predictions: Sequence[Any], references: Sequence[Any]) -> list[tuple[str, list[str]]]:
    """Refuse texts that cannot be compared, each with one text or with several.

    Args:
        predictions: a text for each example; an empty one is a wrong one.
        references: a text for each, or a list of texts, each of which is right.
    Returns:
        each prediction with a list of its references.
    Raises:
        ValueError: none, more of one than of the other, or something that is no text.
    """
    check_pairs(predictions, references)
    pairs = []
    for row, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        several = reference if isinstance(reference, list | tuple) else [reference]
        if not several or not all(isinstance(text, str) for text in (prediction, *several)):
            raise ValueError(
                "a text and the text or texts that it may be are wanted, but "
                f"{prediction!r} and {reference!r} came for example {row}"
            )
        pairs.append((prediction, list(several)))
    return pairs


def check_kinds(predictions: Sequence[Any], references: Sequence[Any]) -> None:
    """Refuse names on one side and numbers on the other, which never agree.

    Args:
        predictions: a label for each example.
        references: the same.
    Raises:
        ValueError: an example has a name on one side only.
    """
    for row, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
        if isinstance(prediction, str) != isinstance(reference, str):
            raise ValueError(
                f"labels by name on both sides or by number on both are wanted, but prediction {row} is {prediction!r} "
                f"and the reference {reference!r}"
            )


def both(feature: Any) -> datasets.Features:
    """Predictions and references of the same kind."""
    return datasets.Features({"predictions": feature, "references": feature})


def one_or_several() -> list[datasets.Features]:
    """Texts against a list of texts each, or against one text each; lists first, for evaluate makes one text of any."""
    text = datasets.Value("string")
    return [datasets.Features({"predictions": text, "references": side}) for side in (datasets.List(text), text)]


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where there is no whole, as scikit-learn and seqeval have it."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=np.asarray(whole) != 0)

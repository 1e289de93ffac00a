"""Image classification: which class, or which classes, a picture is of."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn.functional import cross_entropy

from selfsup.objectives.augmentation import Augmentation, Mixing
from selfsup.objectives.classes import Classes
from selfsup.objectives.objective import Batch, Example
from selfsup.objectives.pictures import Pictures
from selfsup.objectives.supervised import in_float32


class ImageClassification(Classes, Pictures):
    """Which of some classes a picture is of.

    Reads `image` and `label`, the name of a class; with `multi_label` a list of names, which may be empty. Answer
    `label`: `labels` (examples), or (examples, classes) of 0 and 1.

    Args:
        loss, multi_label, class_weights: see `Classification`.
        label_smoothing: share of the answer that is spread over all classes; of cross-entropy with one label alone.
        augmentation: how pictures are altered in training.
        mixing: how another picture to learn from is mixed in, drawn by the same key as all other chance of a picture;
            of cross-entropy with one label alone, too.
        weight: factor of the loss in a `Joint`.
    Source:
        Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7 (label smoothing).
    """

    roles: ClassVar[tuple[str, ...]] = ("image", "label")
    rows: Sequence[Example] = ()  # to mix with

    def __init__(
        self,
        loss: Literal["cross_entropy", "squared_error"] = "cross_entropy",
        multi_label: bool = False,
        class_weights: Literal["balanced"] | dict[str, float] | None = None,
        label_smoothing: float = 0.0,
        augmentation: Augmentation = Augmentation(),
        mixing: Mixing = Mixing(),
        weight: float = 1.0,
    ) -> None:
        super().__init__(loss, multi_label, class_weights, weight)
        self.augmentation, self.label_smoothing, self.mixing = augmentation, label_smoothing, mixing
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1, but {label_smoothing} came")
        if (label_smoothing or mixing) and (multi_label or loss != "cross_entropy"):
            raise ValueError(
                "label_smoothing and mixing are for cross-entropy with one label for each picture, but "
                f"loss {loss} and multi_label {multi_label} came: leave them out"
            )

    def meet(self, rows: Sequence[Example]) -> None:
        self.rows = rows if self.mixing else ()

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        drawn = super().corrupt(example, rng=rng, progress=progress)
        if progress is None or not self.mixing:
            return drawn
        assert self.rows, "see meet"
        other = super().corrupt(self.rows[int(rng.integers(len(self.rows)))], rng=rng, progress=progress)
        height, width = drawn["pixel_values"].shape[1:]
        kept = self.mixing.draw(height, width, rng)
        return drawn | {"kept": kept} | {f"other_{name}": value for name, value in other.items()}

    def inputs(self, batch: Batch) -> Batch:
        fields = super().inputs(batch)
        if "kept" not in batch:
            return fields
        other = super().inputs(
            {name.removeprefix("other_"): batch[name] for name in batch if name.startswith("other_")}
        )
        return {name: torch.lerp(other[name], fields[name], batch["kept"]) for name in fields}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        if not (self.label_smoothing or "kept" in batch):
            return super().loss(outputs, batch, turn)
        logits = in_float32(outputs["logits"])
        score = partial(cross_entropy, logits, weight=self.factors.to(logits), reduction="none",
                        label_smoothing=self.label_smoothing)  # fmt: skip
        errors = score(batch["labels"])
        if "kept" in batch:
            errors = torch.lerp(score(batch["other_labels"]), errors, batch["kept"].mean(dim=(1, 2, 3)).to(errors))
        return {self.name: errors.sum()}

"""Image classification: which class, or which classes, a picture is of."""

from typing import Any, ClassVar, Literal

from torch import Tensor
from torch.nn.functional import cross_entropy

from selfsup.objectives.augmentation import Augmentation
from selfsup.objectives.classes import Classes
from selfsup.objectives.objective import Batch
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
        weight: factor of the loss in a `Joint`.
    Source:
        Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7 (label smoothing).
    """

    roles: ClassVar[tuple[str, ...]] = ("image", "label")

    def __init__(
        self,
        loss: Literal["cross_entropy", "squared_error"] = "cross_entropy",
        multi_label: bool = False,
        class_weights: Literal["balanced"] | dict[str, float] | None = None,
        label_smoothing: float = 0.0,
        augmentation: Augmentation = Augmentation(),
        weight: float = 1.0,
    ) -> None:
        super().__init__(loss, multi_label, class_weights, weight)
        self.augmentation, self.label_smoothing = augmentation, label_smoothing
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1, but {label_smoothing} came")
        if label_smoothing and (multi_label or loss != "cross_entropy"):
            raise ValueError(
                "label_smoothing is for cross-entropy with one label for each picture, but "
                f"loss {loss} and multi_label {multi_label} came: leave it out"
            )

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        if not self.label_smoothing:
            return super().loss(outputs, batch, turn)
        logits = in_float32(outputs["logits"])
        return {self.name: cross_entropy(logits, batch["labels"], weight=self.factors.to(logits), reduction="sum",
                                         label_smoothing=self.label_smoothing)}  # fmt: skip

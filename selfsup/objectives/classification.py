"""Classification: which class, or which classes, a text or a pair of texts is of."""

from typing import ClassVar

from selfsup.objectives.classes import Classes
from selfsup.objectives.objective import Example
from selfsup.objectives.texts import Texts


class Classification(Classes, Texts):
    """Which of some classes a text is of, or a pair of texts.

    Reads `text`, perhaps `text_pair`, and `label`, the name of a class; with `multi_label` a list of names, which may
    be empty. A text that the model cannot read whole is cut at its end, the longer one of a pair first. Answer `label`:
    `labels` (examples), or (examples, classes) of 0 and 1.

    Args:
        loss: "cross_entropy" (with `multi_label` one for each class, yes or no), or "squared_error" between the scores
            and 1 for the right class, 0 for the others, to compare.
        multi_label: an example may be of several classes, or of none.
        class_weights: factor of the loss of each class by name (1 where one is not named), or "balanced": rare classes
            count as much as frequent ones. With `multi_label`, of the yes of each class.
        weight: factor of the loss in a `Joint`.
    Source:
        Devlin et al. 2018, "BERT", section 4.1; Hui & Belkin 2020, "Evaluation of Neural Architectures Trained with
        Square Loss vs Cross-Entropy in Classification Tasks" (squared error on one-hot answers).
    """

    roles: ClassVar[tuple[str, ...]] = ("text", "label")

    def encode(self, example: Example) -> Example:
        if "text" not in example:
            raise ValueError("Classification learns from labelled rows, but running text has no labels: leave it out")
        return super().encode(example)

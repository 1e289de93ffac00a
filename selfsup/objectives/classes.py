"""Classes: one of some, or several of them, whatever the examples are; how they are learnt, told and scored."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, one_hot

from selfsup.objectives.objective import Batch, Example
from selfsup.objectives.supervised import Supervised, few, in_float32


class Classes(Supervised):
    """What all that tells classes apart shares; what reads an example stands beside it, see `Texts` and `Pictures`.

    Args:
        loss, multi_label, class_weights: see `Classification`.
        weight: factor of the loss in a `Joint`.
    """

    name: ClassVar[str] = "label"
    read: Callable[[Example], Example]  # what the model reads of an example, as fields

    def __init__(
        self,
        loss: Literal["cross_entropy", "squared_error"] = "cross_entropy",
        multi_label: bool = False,
        class_weights: Literal["balanced"] | dict[str, float] | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        self.loss_kind, self.multi_label, self.class_weights = loss, multi_label, class_weights
        if isinstance(class_weights, dict) and min(class_weights.values(), default=1.0) <= 0:
            raise ValueError(f"class_weights must be above 0, but {class_weights} came")

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        self.names = [name for name, _ in sorted(self.label_ids.items(), key=lambda pair: pair[1])]
        weights = self.class_weights if isinstance(self.class_weights, dict) else {}
        if unknown := weights.keys() - self.label_ids.keys():
            raise ValueError(f"class_weights name {', '.join(sorted(unknown))}, but the classes are {few(self.names)}")
        self.factors = torch.tensor([weights.get(name, 1.0) for name in self.names])

    def survey(self, examples: Sequence[Example]) -> list[str]:
        super().survey(examples)
        counts = Counter(name for example in examples for name in set(self._names_of(example)))
        if examples and not counts:
            raise ValueError(f"labels were wanted, but none of the {len(examples)} examples has any")
        if self.class_weights == "balanced":
            self.class_weights = {
                name: ((len(examples) - count) or count) / count  # a class that all are of has no no to weigh up
                if self.multi_label
                else counts.total() / len(counts) / count
                for name, count in counts.items()
            }
        return sorted(counts)

    def findings(self) -> dict[str, Any]:
        return super().findings() | {"squared_error": self.loss_kind == "squared_error"}

    def _names_of(self, example: Example) -> list[str]:
        return example["label"] if self.multi_label else [example["label"]]

    def problem_type(self) -> str | None:
        return "multi_label_classification" if self.multi_label else "single_label_classification"

    def check(self, example: Example) -> None:
        super().check(example)  # type: ignore[safe-super]  # of what stands beside
        if unknown := [name for name in self._names_of(example) if name not in self.label_ids]:
            raise ValueError(
                f"a label was wanted that is one of {few(self.names)}, as in the rows to learn from, but "
                f"{unknown[0]!r} came"
            )

    def encode(self, example: Example) -> Example:
        fields = self.read(example)
        if example.get("label") is None:
            return fields
        if not self.multi_label:
            return fields | {"labels": np.int64(self.label_ids[example["label"]])}
        return fields | {"labels": np.array([[name in example["label"] for name in self.names]], dtype=np.float32)}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        logits, answers = in_float32(outputs["logits"]), batch["labels"]
        factors = self.factors.to(logits)
        if self.loss_kind == "squared_error":
            wanted = answers if self.multi_label else one_hot(answers, len(self.names))
            errors = mse_loss(logits, wanted.to(logits), reduction="none")
            each = factors if self.multi_label else factors[answers, None]
            return {self.name: (errors * each).sum()}
        if self.multi_label:
            return {self.name: binary_cross_entropy_with_logits(logits, answers.to(logits), pos_weight=factors,
                                                                reduction="sum")}  # fmt: skip
        return {self.name: cross_entropy(logits, answers, weight=factors, reduction="sum")}

    def _chosen(self, logits: Tensor) -> Tensor:
        if not self.multi_label:
            return logits.argmax(dim=-1)
        return logits > (0.5 if self.loss_kind == "squared_error" else 0.0)

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        right = self._chosen(outputs["logits"]) == batch["labels"]
        return {self.name: (right.all(dim=-1) if self.multi_label else right).sum()}

    def predict(self, outputs: Any, batch: Batch) -> list[Any]:
        return self._chosen(outputs["logits"]).tolist()

    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        if self.multi_label:
            return sorted(name for name, chosen in zip(self.names, predictions[0], strict=True) if chosen)
        return self.names[predictions[0]]

    def reference(self, example: Example) -> Any:
        return sorted(set(example["label"])) if self.multi_label else example["label"]

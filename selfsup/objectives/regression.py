"""Regression: how much of something a text or a pair of texts has."""

import math
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any, ClassVar

import numpy as np
from torch import Tensor
from torch.nn.functional import mse_loss

from selfsup.objectives.objective import Batch, Example
from selfsup.objectives.supervised import in_float32
from selfsup.objectives.texts import Texts


class Regression(Texts):
    """One number for a text, or for a pair of texts.

    Reads `text`, perhaps `text_pair`, and `number`. Learnt is how many deviations the number lies above the mean of
    the training examples, whatever its unit; what is predicted and concluded is the number itself. Answer `number`:
    `labels` (examples), in deviations; the loss is the squared error.

    Args:
        weight: factor of the loss in a `Joint`.
    """

    name: ClassVar[str] = "number"
    roles: ClassVar[tuple[str, ...]] = ("text", "number")

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.mean: float | None = None
        self.deviation: float | None = None

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        if self.mean is None or self.deviation is None:
            self.mean, self.deviation = getattr(config, "number_mean", 0.0), getattr(config, "number_deviation", 1.0)

    def survey(self, examples: Sequence[Example]) -> list[str]:
        super().survey(examples)
        numbers = [float(example["number"]) for example in examples]
        if numbers:
            self.mean, self.deviation = fmean(numbers), pstdev(numbers) or 1.0
        return [self.name]

    def findings(self) -> dict[str, Any]:
        return super().findings() | {"number_mean": self.mean, "number_deviation": self.deviation}

    def problem_type(self) -> str | None:
        return "regression"

    def check(self, example: Example) -> None:
        super().check(example)
        number = example["number"]
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise ValueError(f"a number was wanted, but {number!r} came")

    def encode(self, example: Example) -> Example:
        if "text" not in example:
            raise ValueError("Regression learns from rows with numbers, but running text has none: leave it out")
        fields = self.read(example)
        if example.get("number") is None:
            return fields
        return fields | {"labels": np.float32((example["number"] - self.mean) / self.deviation)}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        scores = in_float32(outputs["logits"]).squeeze(-1)
        return {self.name: mse_loss(scores, batch["labels"].to(scores), reduction="sum")}

    def predict(self, outputs: Any, batch: Batch) -> list[Any]:
        return in_float32(outputs["logits"]).squeeze(-1).tolist()

    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        return predictions[0] * self.deviation + self.mean

    def reference(self, example: Example) -> Any:
        return float(example["number"])

"""The text that an encoder-decoder writes for a source, as a head whose predictions people read."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from selfsup.data.roles import ANSWERS
from selfsup.objectives.objective import Batch, Example, Players
from selfsup.objectives.sequences import Sequences
from selfsup.predicting.assess import TOKENS
from selfsup.predicting.heads import Head, Roles, rounded
from selfsup.predicting.translating import Translator, is_parallel, read_source
from selfsup.task import Task


class Targets(Head):
    """What is written for a text, and its score; a parallel model gives none.

    Args:
        beams: see `Translator`.
        task: that the model learnt, where it makes the source of columns of its own; they are called as in its first
            data set, or as their roles.
    Raises:
        ValueError: the task is not from text to text.
    """

    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"
    name: ClassVar[str] = "target"
    roles: ClassVar[tuple[str, ...]] = ("source",)
    reads: ClassVar[tuple[Roles, ...]] = ((("source",), ()),)
    checks_frame = False
    aliases = MappingProxyType({"source": "text"})
    gives: ClassVar[tuple[str, ...]] = ("prediction", "score")

    def __init__(self, beams: int = 5, task: Task | None = None) -> None:
        super().__init__()
        self.beams = beams
        if task is None:
            return
        objective = task.objective()
        if not isinstance(objective, Sequences):
            raise ValueError(
                f"a task from text to text is wanted for --task, but {task.name} is none: leave --task out, or name "
                "that with which the model was fine-tuned"
            )
        roles = tuple(role for role in objective.roles if role not in ANSWERS)
        if roles == self.roles:  # what is read is the source itself
            return
        columns = task.data[0].columns if task.data else {}
        self.source = objective.source  # type: ignore[method-assign]
        self.roles, self.reads = roles, ((roles, ()),)  # type: ignore[misc]
        self.aliases = {role: columns[role] for role in roles if isinstance(columns.get(role), str)}  # type: ignore

    def source(self, example: Example) -> str:
        """The text that is read."""
        return example["source"]

    def bind(self, tokenizer, config) -> None:
        self.tokenizer, self.config = tokenizer, config
        self.padding = {"input_ids": config.pad_token_id or 0}
        if is_parallel(config):
            self.gives = ("prediction",)  # type: ignore[misc]

    @property
    def batch_tokens(self) -> int:
        return TOKENS // 8  # every beam is a row

    def admit(self, example: Example) -> Example:
        read_source(self.tokenizer, self.config, self.source(example))
        return example

    def check(self, example: Example) -> None:
        self.admit(example)

    def encode(self, example: Example) -> Example:
        return {"input_ids": np.array(read_source(self.tokenizer, self.config, self.source(example)), dtype=np.int64)}

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: len(batch["input_ids"])}

    def forward(self, players: Players, batch: Batch, turn: str) -> Any:
        """What is written for each row."""
        ids = batch["input_ids"]
        lengths = batch["attention_mask"].sum(1) if "attention_mask" in batch else [ids.shape[1]] * len(ids)
        rows = [row[: int(length)].tolist() for row, length in zip(ids, lengths, strict=True)]
        model: Any = players["model"]
        return Translator(model, self.tokenizer).from_ids(rows, beams=self.beams, batch_size=len(rows))

    def predict(self, outputs: Any, batch: Batch) -> list[Any]:
        return [best for best, *_ in outputs]

    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        best = predictions[0]
        return {"prediction": best.text} | ({"score": rounded(best.score)} if "score" in self.gives else {})

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        raise AssertionError("targets are learnt by SequenceToSequence")

    def reference(self, example: Example) -> Any:
        raise AssertionError("what is right is not known")

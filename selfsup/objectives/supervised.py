"""The contract of an objective whose answers come with the examples: what it reads, predicts and concludes."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from numpy.random import Generator
from torch import Tensor

from selfsup.data.images import PictureForm
from selfsup.objectives.objective import Batch, Example, Objective, Players, accepted_fields


class Supervised(Objective):
    """What a task is learnt with. An example is raw, by role: {"text": "so dull", "label": "negative"}.

    An example is cut into parts (one; windows of a long passage), each part is a row of a batch, each row gives a small
    prediction, and the predictions of an example's rows give its own. Nothing as large as logits outlives a batch.
    Training and scoring see the same rows.
    """

    roles: ClassVar[tuple[str, ...]]  # that every example has
    optional: ClassVar[tuple[str, ...]] = ()  # that it may have
    picture_form: PictureForm | None = None  # as the model wants pictures, if it does; known once bound

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        self.label_ids: dict[str, int] = dict(config.label2id)
        if self.max_tokens is not None:  # RoBERTa counts positions from 2, and its tokenizer knows
            self.max_tokens = min(self.max_tokens, tokenizer.model_max_length)
        self.gap = max(1, tokenizer.num_special_tokens_to_add(pair=True) - 2)  # [SEP] between two texts; 2 for RoBERTa
        if getattr(config, "type_vocab_size", 2) < 2:  # RoBERTa and its like tell segments apart by [SEP] alone
            self.fields.discard("token_type_ids")

    @property
    def packs(self) -> bool:
        return False  # a row is one example or one part of it

    def form(self, processor, config) -> PictureForm | None:
        """How pictures are to be read for a model; None where the question is about text. Before `bind`.

        Args:
            processor: what reads the model's input: a tokenizer, or an image processor.
            config: of the model.
        Raises:
            ValueError: the model has not the head, or other input.
        """
        accepted_fields(self.auto_class, config)
        return None

    def survey(self, examples: Sequence[Example]) -> list[str]:
        """Look at all examples to be learnt from, once, before there is a model.

        Args:
            examples: raw ones.
        Returns:
            the names of the scores that the head gives, in the order of their ids: the labels to choose from, if any.
        """
        return []

    def findings(self) -> dict[str, Any]:
        """What examples taught that predictions need, by name; the caller puts it into the config, `bind` takes it."""
        return {}

    def meet(self, rows: Sequence[Example]) -> None:
        """Get to know all rows that are learnt from, as `encode` made them, before any is drawn.

        Args:
            rows: in an order that is the same in every process.
        """

    def problem_type(self) -> str | None:
        """What `config.problem_type` is to be, for heads that transformers reads it for."""
        return None

    @abstractmethod
    def check(self, example: Example) -> None:
        """Refuse what cannot be learnt from; for what is read alone see `parts`.

        Args:
            example: a raw one, with its answer.
        Raises:
            ValueError: what was wanted and what came, without the number of the row, which the caller knows.
        """

    def notes(self, example: Example) -> list[str]:
        """What of an example is not read as it came, a sentence each; for the caller to count and to name."""
        return []

    def parts(self, example: Example) -> list[Example]:
        """A raw example as one raw example for each row; the answer may be absent where only predictions are wanted."""
        return [example]

    @abstractmethod
    def encode(self, example: Example) -> Example:
        """One of the `parts`, to numbers; without an answer where the example has none."""

    def corrupt(self, example: Example, *, rng: Generator, progress: float | None) -> Example:
        return dict(example)

    def answered(self, batch: Batch) -> bool:
        """Whether a batch holds answers, so that it has a loss."""
        return "labels" in batch

    @abstractmethod
    def predict(self, outputs: Any, batch: Batch) -> list[Any]:
        """A small prediction for each row of a batch: a number, a few spans; on the CPU."""

    def answer(self, players: Players, batch: Batch, outputs: Any) -> list[Any]:
        """The predictions of a batch where a forward pass is not all that they take: what is written asks for many.

        No process waits for another here, so each may have another number of rows.

        Args:
            players: as for `forward`; perhaps wrapped for several processes.
            batch: on their device.
            outputs: of `forward`.
        """
        return self.predict(outputs, batch)

    @abstractmethod
    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        """The prediction for an example, in the words of its answer, of those for its `parts` in order."""

    def settle(self, examples: Sequence[Example], conclusions: Sequence[Any], metric: Any) -> None:
        """Choose what is best chosen once trained, such as a threshold; `conclude` and `findings` know it from then on.

        Args:
            examples: raw ones with answers, that were not learnt from.
            conclusions: of each.
            metric: of the task.
        """

    def scored(self, conclusion: Any) -> Any:
        """What metrics see of a conclusion."""
        return conclusion

    @abstractmethod
    def reference(self, example: Example) -> Any:
        """The answer of an example, as metrics compare it with what `scored` gives."""


def in_float32(logits: Tensor) -> Tensor:
    """Scores of 16 bits, as autocast leaves them, as 32: losses and probabilities want them."""
    return logits if logits.dtype.itemsize >= 4 else logits.float()


def few(names: Sequence[str]) -> str:
    """The first of some names, for a sentence."""
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "")

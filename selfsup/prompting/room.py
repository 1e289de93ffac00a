"""How much of a prompt a model has room for: what goes first when it is too long, and how that is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from selfsup.generation.likelihood import beginning
from selfsup.generation.scoring import window
from selfsup.prompting.wording import Wording

Example = Mapping[str, Any]
Shown = tuple[Example, str]  # with the answer that it is shown with


@dataclass(frozen=True)
class Answers:
    """What a model says to some prompts.

    Args:
        texts: labels by name, or what was written.
        left_out: of each prompt, how many of its examples had no room: the first ones.
        undescribed: of each, whether the description had none either.
        log_probs: (prompts, labels) float64, nats; each row's probabilities sum to 1. Of written answers (prompts, 0).
    """

    texts: list[str]
    left_out: list[int]
    undescribed: list[bool]
    log_probs: np.ndarray


@dataclass(frozen=True)
class Fitted:
    """A prompt that fits.

    Args:
        query: what is asked about.
        shown: examples that there was room for.
        left_out: how many there was none for.
        described: with the description.
    """

    query: Example
    shown: Sequence[Shown]
    left_out: int = 0
    described: bool = True


class Room:
    """What a model reads at once.

    Args:
        model, tokenizer: whose.
        wording: of the task.
        ending: what follows a prompt and has to fit too.
        num_more: tokens to keep free besides.
        also: from examples, and whether the description stands there, to other texts that must fit as the prompt must.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        wording: Wording,
        *,
        ending: str = "",
        num_more: int = 0,
        also: Callable[[Sequence[Shown], bool], list[str]] | None = None,
    ) -> None:
        self.tokenizer, self.wording, self.ending, self.also = tokenizer, wording, ending, also
        self.max_tokens = window(model, tokenizer)
        self._num_besides = len(beginning(tokenizer)) - 1 + num_more  # the last token is predicted, not read

    def fit(self, queries: Sequence[Example], shown: Sequence[Sequence[Shown]]) -> list[Fitted]:
        """Prompts without their first examples, and then without their description, where these do not fit.

        Raises:
            ValueError: a query does not fit alone.
        """
        whole = [Fitted(query, some) for query, some in zip(queries, shown, strict=True)]
        return [one if fits else self._shortened(one) for one, fits in zip(whole, self._fits(whole), strict=True)]

    def context(self, fitted: Fitted) -> str:
        """The text of a prompt."""
        return self.wording.context(fitted.query, fitted.shown, described=fitted.described)

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Tokens of texts; what looks like a special token is text."""
        return self.tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]

    def _shortened(self, whole: Fitted) -> Fitted:
        number = len(whole.shown)
        for lost in range(1, number + 2):
            fitted = Fitted(whole.query, whole.shown[lost:], min(lost, number), described=lost <= number)
            if self._fits([fitted])[0]:
                return fitted
        raise ValueError(
            f"a query has to fit the {self.max_tokens} tokens that the model reads, with its answer, but one is longer "
            f"without any example ({self.wording.question(whole.query)[:60]!r} …): shorten it, leave it out, or choose "
            "another model"
        )

    def _fits(self, prompts: Sequence[Fitted]) -> list[bool]:
        if self.max_tokens is None or not prompts:
            return [True] * len(prompts)
        fits = self._short([self.context(one) for one in prompts])
        if self.also:
            for number, one in enumerate(prompts):
                fits[number] &= all(self._short(self.also(one.shown, one.described)))
        return fits

    def _short(self, contexts: list[str]) -> list[bool]:
        assert self.max_tokens
        found = self.ids([context + self.ending for context in contexts])
        return [self._num_besides + len(ids) <= self.max_tokens for ids in found]

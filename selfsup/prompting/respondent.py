"""What a causal model answers in words: how likely it goes on with the words of each label."""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from selfsup.data.places import listed
from selfsup.generation.likelihood import log_likelihood
from selfsup.prompting.room import Answers, Example, Room, Shown
from selfsup.prompting.wording import Wording

Scoring = Literal["sum", "mean", "calibrated"]
SPACES = "\u2581\u0120 "  # marks of a space, which any word may begin with
CONTENT_FREE = ("N/A", "[MASK]", "")  # Zhao et al. 2021, section 5


class Respondent:
    """A causal model that chooses among the words of labels.

    Args:
        model: causal, in evaluation mode.
        tokenizer: its own.
        wording: of the task.
        scoring: "sum", the log-likelihood of the words; "mean", for each of their tokens; or "calibrated", the sum
            less what the words get after the same prompt about nothing.
        batch_size: sequences of a forward pass; no result depends on it.
    Attributes:
        notes: sentences on words that are easily confused.
    Raises:
        ValueError: words of a label make no token that the tokenizer knows, or those of two labels the same.
    Source:
        Brown et al. 2020, "Language Models are Few-Shot Learners", section 2.4 (sum, mean); Zhao et al. 2021,
        "Calibrate Before Use", section 5 (calibrated).
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        wording: Wording,
        *,
        scoring: Scoring = "sum",
        batch_size: int = 16,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"a batch holds 1 sequence or more, but --batch_size {batch_size} came")
        self.model, self.tokenizer, self.wording = model, tokenizer, wording
        self.scoring, self.batch_size = scoring, batch_size
        self.notes: list[str] = []
        also = self._free if scoring == "calibrated" else None
        self.room = Room(model, tokenizer, wording, also=also)
        self.room.ending = self._check_words()

    def answer(self, queries: Sequence[Example], shown: Sequence[Sequence[Shown]]) -> Answers:
        """Choose a label for each query.

        A prompt that the model cannot read whole loses its first examples, and then its description.

        Args:
            queries: examples; their answers are not read.
            shown: before each, in order.
        Raises:
            ValueError: a query does not fit alone.
        """
        fitted = self.room.fit(queries, shown)
        contexts = [self.room.context(one) for one in fitted]
        free = [self._free(one.shown, one.described) for one in fitted] if self.scoring == "calibrated" else []
        scores = self._scores([*contexts, *(context for some in free for context in some)])
        rows = np.array([scores[context] for context in contexts])
        if free:
            rows = calibrate(rows, np.array([[scores[context] for context in some] for some in free]))
        log_probs = log_softmax(rows)
        texts = [self.wording.labels[number] for number in log_probs.argmax(axis=-1)]  # of equals the first one
        return Answers(texts, [one.left_out for one in fitted], [not one.described for one in fitted], log_probs)

    def _scores(self, contexts: Sequence[str]) -> dict[str, list[float]]:
        """The score of each label after each different context."""
        different = list(dict.fromkeys(contexts))
        words = [self.wording.answer(label) for label in self.wording.labels]
        pairs = [(context, answer) for context in different for answer in words]
        found = log_likelihood(self.model, self.tokenizer, pairs, batch_size=self.batch_size)
        values = [one.log_prob / one.num_tokens if self.scoring == "mean" else one.log_prob for one in found]
        return {context: values[at * len(words) : (at + 1) * len(words)] for at, context in enumerate(different)}

    def _free(self, shown: Sequence[Shown], described: bool) -> list[str]:
        """The same prompt about nothing."""
        about = [self.wording.content_free(text) for text in CONTENT_FREE]
        return [self.wording.context(query, shown, described=described) for query in about]

    def _check_words(self) -> str:
        """The answer with most tokens."""
        labels, words = self.wording.labels, self.wording.words
        bare = self.room.ids([words[label].strip() for label in labels])
        if silent := [label for label, ids in zip(labels, bare, strict=True) if not self._knows(ids)]:
            raise ValueError(
                f"words of a label make one token or more that the tokenizer knows, but {words[silent[0]]!r} of "
                f"{silent[0]} makes none: choose others with --verbalisers"
            )
        answers = self.room.ids([self.wording.answer(label) for label in labels])
        for (label, ids), (other, theirs) in combinations(zip(labels, answers, strict=True), 2):
            told = f"{words[label]!r} and {words[other]!r}"
            if ids == theirs:
                raise ValueError(
                    f"every label needs words of its own, but {told} are the same tokens, "
                    f"{listed(self.tokenizer.convert_ids_to_tokens(ids))}, for this tokenizer: choose others with "
                    "--verbalisers"
                )
            shared = min(len(ids), len(theirs))
            if self.scoring == "sum" and ids[:shared] == theirs[:shared]:
                raise ValueError(
                    f"words that do not begin each other are wanted, but of {told} one is how the other begins, so it "
                    "is always the more probable: choose others with --verbalisers, or --scoring mean"
                )
            first = self.tokenizer.convert_ids_to_tokens(ids[0])
            if ids[:1] == theirs[:1] and first.strip(SPACES):
                self.notes.append(f"{told} begin with the same token, {first!r}: only what follows tells them apart")
        longest = max(range(len(labels)), key=lambda number: len(answers[number]))
        return self.wording.answer(labels[longest])

    def _knows(self, ids: Sequence[int]) -> bool:
        """Whether any of these stands for more than a space or what is unknown."""
        known = [number for number in ids if number != self.tokenizer.unk_token_id]
        return any(token.strip(SPACES) for token in self.tokenizer.convert_ids_to_tokens(known))


def calibrate(scores: np.ndarray, content_free: np.ndarray) -> np.ndarray:
    """Scores less the log of the mean probability that labels get when there is nothing to label.

    Args:
        scores: (prompts, labels) log-likelihoods.
        content_free: (prompts, inputs, labels) log-likelihoods after the same prompts about nothing.
    Returns:
        (prompts, labels) float64, not normalised.
    Source:
        Zhao et al. 2021, "Calibrate Before Use: Improving Few-Shot Performance of Language Models", section 5, with
        W = diag(p)^-1 and b = 0.
    Example:
        >>> free = np.log([[[0.6, 0.4], [0.8, 0.2]]])
        >>> np.exp(log_softmax(calibrate(np.log([[0.7, 0.3]]), free))).round(2)
        array([[0.5, 0.5]])
    """
    return scores - np.log(np.exp(log_softmax(content_free)).mean(axis=1))


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Scores (..., labels) as log-probabilities."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))

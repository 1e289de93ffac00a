"""What a causal model answers in words: how likely it goes on with the words of each label."""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, NoReturn

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from selfsup.data.places import listed
from selfsup.generation.likelihood import log_likelihood
from selfsup.prompting.room import Answers, Example, Room, Shown
from selfsup.prompting.wording import Wording
from selfsup.training.export import exported, open_tokenizer, opening

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
        ValueError: words of a label make no token, or those of two labels the same.
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
        unknown = self.tokenizer.unk_token_id
        if silent := [label for label, ids in zip(labels, bare, strict=True) if not set(ids) - {unknown}]:
            raise ValueError(
                f"words of a label make one token or more, but {words[silent[0]]!r} of {silent[0]} makes none that "
                "this tokenizer knows: choose others with --verbalisers"
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


def open_causal(name: str, *, trust_remote_code: bool = False) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model that goes on with a text, in evaluation mode and float32, and its tokenizer.

    Args:
        name: folder of a run, exported folder, checkpoint or Hub id.
        trust_remote_code: run Python files that come with the model; our own need none.
    Raises:
        ValueError: nothing opens under that name, or the model reads both ways.
    """
    start = exported(name)
    tokenizer = open_tokenizer(start, trust_remote_code)
    with opening("a model that goes on with a text is wanted", name):
        config = AutoConfig.from_pretrained(start, trust_remote_code=trust_remote_code)
    own = getattr(config, "auto_map", None) or {}
    if type(config) not in AutoModelForCausalLM._model_mapping and "AutoModelForCausalLM" not in own:
        _refuse(name, config)
    with opening("a model that goes on with a text is wanted", name):
        model, info = AutoModelForCausalLM.from_pretrained(
            start, dtype=torch.float32, output_loading_info=True, trust_remote_code=trust_remote_code
        )
    if info["missing_keys"] or not is_causal(model.eval()):
        _refuse(name, config)
    return model, tokenizer


def is_causal(model: PreTrainedModel) -> bool:
    """Whether no score depends on what follows; BERT opens as a causal model too, and reads both ways."""
    ids = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]], device=model.device) % model.config.vocab_size
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, :3].float()
    return bool(torch.allclose(logits[0], logits[1], rtol=1e-3, atol=1e-4))


def _refuse(name: str, config: PreTrainedConfig) -> NoReturn:
    made = (config.architectures or ["model of an unknown kind"])[0]
    raise ValueError(
        f"a causal model, which goes on with a text, is wanted, but {name} is a {made}, which is none: choose a "
        "decoder, or fine-tune this one, with scripts/finetune.py"
    )

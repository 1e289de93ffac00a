"""What a trained head says of an example, in words: labels, a number, tags or an answer, and how sure it is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from selfsup.objectives.answer_span import AnswerSpan
from selfsup.objectives.classes import Classes
from selfsup.objectives.classification import Classification
from selfsup.objectives.image_classification import ImageClassification
from selfsup.objectives.objective import Batch, Example
from selfsup.objectives.regression import Regression
from selfsup.objectives.supervised import Supervised, in_float32
from selfsup.objectives.tagging import Tagging, running_text
from selfsup.predicting.answering import ranked
from selfsup.predicting.assess import TOKENS
from selfsup.tokenization.words import split_words

SHOWN = 5  # best answers, or guesses, that are written down
Roles = tuple[tuple[str, ...], tuple[str, ...]]  # those that every row has, and those that it may have
PAIR: Roles = (("text", "text_pair"), ())


class Head(Supervised):
    """An objective whose conclusions are what people read: `prediction`, and scores."""

    reads: ClassVar[tuple[Roles, ...]]  # alternatives; see `asked`
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({})  # other names of columns, of some roles
    gives: ClassVar[tuple[str, ...]]  # names in its conclusions
    checks_frame: ClassVar[bool] = True  # are its texts framed as ours put special tokens around them?

    @property
    def batch_tokens(self) -> int:
        """Tokens of a forward pass, padding included; known once bound."""
        return TOKENS

    def admit(self, example: Example) -> Example:
        """An example as it is going to be read; it may lack answers.

        Raises:
            ValueError: nothing can be said of it, and why.
        """
        return example

    def shown(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What of a row is written down beside its prediction."""
        return dict(row)

    def asked(self, there: Sequence[str], named: Sequence[str] = ()) -> Roles:
        """The roles to read: the first alternative whose own role is there, or is named; else the last. Both texts
        where the model learnt pairs."""
        if getattr(self, "reads_pairs", False):
            return PAIR
        return next((roles for roles in self.reads if {*there, *named}.issuperset(roles[0][:1])), self.reads[-1])


class Scores(Head, Classes):
    """Which label an example has, or which labels, with the scores of all of them."""

    gives = ("prediction", "score", "scores")

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        self.names = [config.id2label[number] for number in range(config.num_labels)]
        self.multi_label = config.problem_type == "multi_label_classification"
        self.loss_kind = "squared_error" if getattr(config, "squared_error", False) else "cross_entropy"

    def predict(self, outputs: Any, batch: Batch) -> list[Any]:
        logits = in_float32(outputs["logits"])
        if self.loss_kind == "squared_error":
            return logits.clamp(0, 1).tolist()
        return (logits.sigmoid() if self.multi_label else logits.softmax(dim=-1)).tolist()

    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        scores = dict(zip(self.names, map(rounded, predictions[0]), strict=True))
        if self.multi_label:
            return {"prediction": [name for name, score in scores.items() if score > 0.5], "scores": scores}
        best = self.names[int(np.argmax(predictions[0]))]
        return {"prediction": best, "score": scores[best], "scores": scores}


class Labels(Scores, Classification):
    """The label, or the labels, of a text or a pair."""

    reads = ((("text",), ("text_pair",)),)


class PictureLabels(Scores, ImageClassification):
    """The label, or the labels, of a picture."""

    reads = ((("image",), ()),)
    checks_frame = False

    def shown(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _without_bytes(value) for name, value in row.items()}


class Number(Head, Regression):
    """A number for a text or a pair."""

    reads = ((("text",), ("text_pair",)),)
    gives = ("prediction",)

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        if config.num_labels != 1:
            raise ValueError(f"a model that gives one number is wanted, but this one gives {config.num_labels}")

    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        return {"prediction": rounded(super().conclude(example, predictions))}


class Tags(Head, Tagging):
    """A tag for each word: of a list, perhaps with the text that tells where spaces are, or of a text cut into words.

    Where there is a text, `offsets` are where in it each word starts and stops, in characters. A word without a piece
    of its own gets the usual tag, and no score.
    """

    reads = ((("words",), ("text",)), (("text",), ()))
    aliases = MappingProxyType({"words": "tokens"})  # as the Hub's treebanks call them
    gives = ("prediction", "scores", "words", "offsets")

    def admit(self, example: Example) -> Example:
        text = example.get("text", "")
        if "words" not in example:
            parts = split_words(text)
            return {**example, "words": [word for word, _, _ in parts], "offsets": [part[1:] for part in parts]}
        joined, starts = running_text(example["words"], text)
        if joined != text.strip():  # there is no text, or it spells words otherwise
            return example
        shift = len(text) - len(text.lstrip())
        places = [
            (shift + start, shift + start + len(word)) for word, start in zip(example["words"], starts, strict=True)
        ]
        return {**example, "offsets": places, "given": True}

    def predict(self, outputs: Any, batch: Batch) -> list[Any]:
        scores = in_float32(outputs["logits"]).softmax(dim=-1).amax(dim=-1).cpu()
        asked = batch["first_pieces"].bool().cpu()
        of_words = [row[mask].tolist() for row, mask in zip(scores, asked, strict=True)]
        return list(zip(super().predict(outputs, batch), of_words, strict=True))

    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        found = iter([score for _, scores in predictions for score in scores])
        scores = [rounded(next(found)) if first >= 0 else None for first in self._first_pieces(example)[1]]
        said = {"prediction": super().conclude(example, [tags for tags, _ in predictions]), "scores": scores}
        if "offsets" not in example:
            return said
        words = {} if "given" in example else {"words": example["words"]}
        return said | words | {"offsets": [list(place) for place in example["offsets"]]}


class Span(Head, AnswerSpan):
    """The answer to a question in a text, where it stands in characters, and the `SHOWN` best ones."""

    reads = ((("question", "context"), ()),)
    gives = ("prediction", "score", "start", "stop", "best")

    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        answers = ranked(super().conclude(example, predictions), bool(self.no_answer))
        best = [{**asdict(answer), "score": rounded(answer.score)} for answer in answers[:SHOWN]]
        return {
            "prediction": best[0]["text"],
            **{name: best[0][name] for name in ("score", "start", "stop")},
            "best": best,
        }


def _without_bytes(value: Any) -> Any:
    """The path alone of a picture that a table holds with its bytes."""
    return value.get("path") if isinstance(value, dict) and "bytes" in value else value


def rounded(score: float) -> float:
    """A score without the digits in which the company shows that an example was read in."""
    return round(score, 6)

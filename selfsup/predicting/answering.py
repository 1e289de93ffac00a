"""Answer questions about texts with a fine-tuned model: transformers 5 has no pipeline for it any more."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

import selfsup.models  # noqa: F401 - makes the Auto classes know ours
from selfsup.data.collate import collate
from selfsup.objectives.answer_span import AnswerSpan, check_texts
from selfsup.training.export import exported

Question = Mapping[str, str]  # "question" and "context"


@dataclass(frozen=True)
class Answer:
    """A stretch of a context.

    Args:
        text: `context[start:stop]`; "" for no answer.
        score: probability, among the best stretches and no answer at all.
        start: place in the context, in characters.
        stop: likewise.
    """

    text: str
    score: float
    start: int
    stop: int


class QuestionAnswerer:
    """Finds answers in texts of any length: long ones are read in windows, the best of all windows counts.

    Args:
        model: with a question-answering head, ours or of the BERT family; used where it is and as it is.
        tokenizer: its fast tokenizer.
        settings: of `AnswerSpan`: window, stride, max_answer_length, no_answer …; what the model learnt, if not given.
    Raises:
        ValueError: the settings make no sense, or the tokenizer has no [CLS] and [SEP].
    Example:
        >>> answerer = QuestionAnswerer.from_pretrained("run/qa/model")  # doctest: +SKIP
        >>> answerer({"question": "Whom did Ann meet?", "context": "Ann met Bob in Rome."})  # doctest: +SKIP
        Answer(text='Bob', score=0.97, start=8, stop=11)
        >>> for best in answerer.stream(rows_of_a_large_file, num_best=3):  # doctest: +SKIP
        ...     print([answer.text for answer in best])
    """

    def __init__(self, model: Any, tokenizer: Any, **settings: Any) -> None:
        self.model, self.objective = model.eval(), AnswerSpan(**settings)
        self.objective.bind(tokenizer, model.config)

    @classmethod
    def from_pretrained(
        cls, name: str, *, device: str | None = None, trust_remote_code: bool = False, **settings: Any
    ) -> Self:
        """Open a model that was fine-tuned for questions.

        Args:
            name: of a folder, one that was exported or that of its run, or of a model on the Hub.
            device: where it runs; on the GPU, if None and there is one.
            trust_remote_code: run Python files that come with it; our own models need none.
            settings: see the class.
        Raises:
            ValueError: nothing opens under that name, or it was never fine-tuned for questions.
        """
        name = exported(name)
        try:
            tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)
            model, loading = AutoModelForQuestionAnswering.from_pretrained(
                name, trust_remote_code=trust_remote_code, output_loading_info=True
            )
        except (OSError, ValueError) as error:
            raise ValueError(f"a model that answers questions was wanted, but {name} did not open: {error}") from error
        if missing := sorted(loading["missing_keys"]):
            raise ValueError(
                f"a model that answers questions was wanted, but {name} lacks {missing[0]}: fine-tune it first, as "
                "scripts/finetune.py --task qa does"
            )
        return cls(model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")), tokenizer, **settings)

    def __call__(self, questions: Question | Sequence[Question], *, batch_size: int = 32, num_best: int = 1) -> Any:
        """Answer one question, or several.

        Args:
            questions: `question` and `context` each.
            batch_size: rows read at once; the answers do not depend on it.
            num_best: answers to each.
        Returns:
            of each question the best `Answer`, or with `num_best` above 1 a list of them, the best first; for several
            questions a list of those.
        Raises:
            ValueError: a question or a context is missing or empty.
        """
        if isinstance(questions, Mapping):
            return next(self.stream([questions], batch_size=batch_size, num_best=num_best))
        return list(self.stream(questions, batch_size=batch_size, num_best=num_best))

    def stream(self, questions: Iterable[Question], *, batch_size: int = 32, num_best: int = 1) -> Iterator[Any]:
        """Answer questions as they come, holding no more than a batch of them; see `__call__`."""
        if min(batch_size, num_best) < 1:
            raise ValueError(f"batch_size and num_best of at least 1 are wanted, but {batch_size} and {num_best} came")
        if num_best > self.objective.num_best:
            raise ValueError(
                f"num_best of at most {self.objective.num_best} is wanted, but {num_best} came: open the model with "
                f"num_best={num_best}"
            )
        rest, place = iter(questions), 0
        while some := list(islice(rest, batch_size)):
            for number, question in enumerate(some, start=place):
                try:
                    check_texts(question)
                except ValueError as error:
                    raise ValueError(f"question {number}: {error}") from error
            place += len(some)
            for question, predictions in zip(some, self._read(some, batch_size), strict=True):
                best = ranked(self.objective.conclude(dict(question), predictions), bool(self.objective.no_answer))
                yield best[0] if num_best == 1 else best[:num_best]

    def _read(self, questions: Sequence[Question], batch_size: int) -> list[list[Any]]:
        """Of each question the predictions for its windows."""
        parts = [self.objective.parts(dict(question)) for question in questions]
        rows = [self.objective.encode(part) for some in parts for part in some]
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]["input_ids"]))  # little padding
        found: dict[int, Any] = {}
        for start in range(0, len(rows), batch_size):
            chosen = order[start : start + batch_size]
            batch = collate([[rows[place]] for place in chosen], padding=self.objective.padding)
            batch = {name: value.to(self.model.device) for name, value in batch.items()}
            with torch.inference_mode():
                outputs = self.objective.forward({"model": self.model}, batch, "model")
                found.update(zip(chosen, self.objective.predict(outputs, batch), strict=True))
        places = iter(range(len(rows)))
        return [[found[next(places)] for _ in some] for some in parts]


def ranked(concluded: Mapping[str, Any], no_answer: bool) -> list[Answer]:
    """The best answers, with no answer among them if there may be none, and the concluded one first."""
    spans = [(span["score"], span["text"], span["start"], span["stop"]) for span in concluded["best"]]
    spans.append((concluded["null_score"], "", 0, 0))
    top = max(score for score, *_ in spans)
    total = sum(math.exp(score - top) for score, *_ in spans)
    answers = [Answer(text, math.exp(score - top) / total, start, stop) for score, text, start, stop in spans]
    if not no_answer and len(answers) > 1:
        return answers[:-1]
    return sorted(answers, key=lambda answer: (answer.text != concluded["prediction_text"], -answer.score))

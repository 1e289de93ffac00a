"""Extractive question answering: where in a text the answer to a question stands."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from selfsup.metrics.threshold import find_threshold
from selfsup.objectives.objective import Batch, Example
from selfsup.objectives.supervised import Supervised, in_float32
from selfsup.tokenization.locate import Pieces, locator
from selfsup.tokenization.segments import frame


class AnswerSpan(Supervised):
    """Where in a context the answer to a question starts and where it ends.

    Reads `question`, `context` and `answers`: texts and where in the context each starts, in characters; learnt is the
    first. A context that does not fit is read in windows; a window without the whole answer is to point at [CLS]. Only
    pieces of the context, and [CLS], are ever chosen from: no answer lies outside the text. Answer `answer`:
    `start_positions` and `end_positions` (examples), a row's loss is the mean of both.

    Args:
        window: tokens of a row, question and all; None: as the model learnt, else as many as it reads at once.
        stride: tokens from one window to the next; less where an answer of the longest kind would be in none whole.
        max_question: tokens of a question, which is cut behind them; half a window, if None.
        max_answer_length: tokens of the longest answer that is predicted.
        num_best: answers that a prediction holds.
        no_answer: some questions have none (`answers` is empty), and then "" is concluded; None: as the model learnt.
        no_answer_threshold: by how much [CLS] must beat the best answer for that; None: found on held-out examples.
        weight: factor of the loss in a `Joint`.
    Source:
        Devlin et al. 2018, "BERT", sections 4.2 and 4.3.
    """

    auto_class: ClassVar[str] = "AutoModelForQuestionAnswering"
    name: ClassVar[str] = "answer"
    roles: ClassVar[tuple[str, ...]] = ("question", "context", "answers")
    optional: ClassVar[tuple[str, ...]] = ("id",)

    def __init__(
        self,
        window: int | None = None,
        stride: int = 128,
        max_question: int | None = None,
        max_answer_length: int = 30,
        num_best: int = 20,
        no_answer: bool | None = None,
        no_answer_threshold: float | None = None,
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        self.window, self.stride, self.max_question = window, stride, max_question
        self.max_answer_length, self.num_best = max_answer_length, num_best
        self.no_answer, self.no_answer_threshold = no_answer, no_answer_threshold
        self.settled = no_answer_threshold is not None
        for name in ("stride", "max_question", "max_answer_length", "num_best"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} of at least 1 is wanted, but {value} came")

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        locate = locator(tokenizer)
        self.pieces = lru_cache(maxsize=8192)(lambda text: locate([text])[0])
        self.window = self.window or getattr(config, "answer_window", None)
        limit = self.max_tokens or self.window or 512
        self.size = min(self.window or limit, limit)
        if self.size < 16:
            raise ValueError(f"a window of at least 16 tokens is wanted, but it has {self.size}: raise it")
        self.longest_question = min(self.max_question or self.size, self.size // 2)
        if self.no_answer is None:
            self.no_answer = getattr(config, "no_answer", False)
        if self.no_answer_threshold is None:
            self.no_answer_threshold = getattr(config, "no_answer_threshold", None)

    def survey(self, examples: Sequence[Example]) -> list[str]:
        return ["start", "end"]

    def findings(self) -> dict[str, Any]:
        settings = {"answer_window": self.window, "no_answer": self.no_answer}
        chosen = {name: value for name, value in settings.items() if value is not None}  # the rest as the model learnt
        return chosen | {"no_answer_threshold": self.no_answer_threshold}

    def check(self, example: Example) -> None:
        check_texts(example)
        texts, starts = example["answers"]["text"], example["answers"]["answer_start"]
        if len(texts) != len(starts):
            raise ValueError(f"a start for each answer was wanted, but {len(starts)} came for {len(texts)} answers")
        if not texts and not self.no_answer:
            raise ValueError("an answer was wanted, but there is none: leave the question out or turn no_answer on")
        for text, start in zip(texts, starts, strict=True):
            check_answer(text, start, example["context"])

    def notes(self, example: Example) -> list[str]:
        length = len(self.pieces(example["question"]).ids)
        if length <= self.longest_question:
            return []
        return [f"a question of {length} tokens was cut to {self.longest_question}"]

    def _layout(self, example: Example) -> tuple[np.ndarray, Pieces, list[slice]]:
        """The ids of the question, the pieces of the context, and those of each window."""
        question = self.pieces(example["question"]).ids[: self.longest_question]
        context = self.pieces(example["context"])
        room = self.size - len(question) - 2 - self.gap
        step = min(self.stride, room - self.max_answer_length if room > self.max_answer_length else (room + 1) // 2)
        last = max(0, len(context.ids) - room)  # start of the last window, which is full if it can be
        starts = [min(start, last) for start in range(0, last + step, step)]
        return question, context, [slice(start, min(start + room, len(context.ids))) for start in starts]

    def parts(self, example: Example) -> list[Example]:
        return [{**example, "part": number} for number in range(len(self._layout(example)[2]))]

    def encode(self, example: Example) -> Example:
        if "context" not in example:
            raise ValueError("AnswerSpan learns from questions, but running text has none: leave it out")
        question, context, windows = self._layout(example)
        window = windows[example.get("part", 0)]
        input_ids, token_type_ids = frame([question, context.ids[window]], self.cls_id, self.sep_id, gap=self.gap)
        offset = len(question) + 1 + self.gap  # of the window in the row
        context_mask = np.zeros_like(input_ids)
        context_mask[0] = 1
        context_mask[offset:-1] = (context.starts < context.stops)[window]  # white space is no edge
        fields = {"input_ids": input_ids, "token_type_ids": token_type_ids, "context_mask": context_mask}
        if example.get("answers") is None:
            return fields
        first = last = 0
        for text, start in zip(example["answers"]["text"][:1], example["answers"]["answer_start"][:1], strict=True):
            own = context.touching(start, start + len(text))
            if len(own) and window.start <= own[0] and own[-1] < window.stop:
                first, last = own[0] - window.start + offset, own[-1] - window.start + offset
        return fields | {"start_positions": np.int64(first), "end_positions": np.int64(last)}

    def answered(self, batch: Batch) -> bool:
        return "start_positions" in batch

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: len(batch["input_ids"])}

    def _scores(self, outputs: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """(rows, tokens) of starts and of ends, -inf where no answer may."""
        outside = batch["context_mask"] == 0
        start, end = (in_float32(outputs[f"{edge}_logits"]) for edge in ("start", "end"))
        return start.masked_fill(outside, -torch.inf), end.masked_fill(outside, -torch.inf)

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        start, end = self._scores(outputs, batch)
        both = cross_entropy(start, batch["start_positions"], reduction="sum") + cross_entropy(
            end, batch["end_positions"], reduction="sum"
        )
        return {self.name: both / 2}

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        start, end = (scores.argmax(dim=-1) for scores in self._scores(outputs, batch))
        return {self.name: ((start == batch["start_positions"]) & (end == batch["end_positions"])).sum()}

    def predict(self, outputs: Any, batch: Batch) -> list[Any]:
        """For each row what [CLS] scores, and the best (start, end, score), places in the row."""
        start, end = self._scores(outputs, batch)
        null = (start[:, 0] + end[:, 0]).tolist()
        start[:, 0] = -torch.inf
        longest = min(self.max_answer_length, start.shape[1])
        band = start[:, :, None] + pad(end, (0, longest - 1), value=-torch.inf).unfold(1, longest, 1)
        scores, places = band.flatten(1).topk(min(self.num_best, band[0].numel()))
        starts = places // longest
        ends = starts + places % longest
        rows = zip(null, starts.tolist(), ends.tolist(), scores.tolist(), strict=True)
        return [(none, [span for span in zip(*spans, strict=True) if span[2] > -torch.inf]) for none, *spans in rows]

    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        """The best answer and its place in the context, those behind it, and by how much [CLS] beats it."""
        question, context, windows = self._layout(example)
        best: dict[tuple[int, int], float] = {}
        for window, (_, spans) in zip(windows, predictions, strict=True):
            shift = window.start - len(question) - 1 - self.gap
            for start, end, score in spans:
                place = int(context.starts[start + shift]), int(context.stops[end + shift])
                if place[0] < place[1]:  # a tokenizer that swaps characters may swap places
                    best[place] = max(score, best.get(place, -torch.inf))
        ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[: self.num_best]
        answers = [
            {"text": example["context"][start:stop], "start": start, "stop": stop, "score": score}
            for (start, stop), score in ranked
        ]
        null = min(none for none, _ in predictions)  # of the window that is least sure to hold no answer
        top = answers[0] if answers else {"text": "", "start": 0, "stop": 0, "score": null}
        concluded = {"prediction_text": top["text"], **{name: top[name] for name in ("start", "stop", "score")}}
        if self.no_answer and null - top["score"] > (self.no_answer_threshold or 0.0):
            concluded = {"prediction_text": "", "start": 0, "stop": 0, "score": null}
        return concluded | {"null_score": null, "best": answers}

    def settle(self, examples: Sequence[Example], conclusions: Sequence[Any], metric: Any) -> None:
        if not self.no_answer or self.settled:
            return
        texts = [answer["best"][0]["text"] if answer["best"] else "" for answer in conclusions]
        margins = [
            answer["null_score"] - answer["best"][0]["score"] if answer["best"] else 0.0 for answer in conclusions
        ]
        golds = [self.reference(example) for example in examples]
        answered, silent = metric.tallies(texts, golds), metric.tallies([""] * len(texts), golds)
        self.no_answer_threshold = find_threshold(np.array(margins), answered, silent, metric.figure)

    def scored(self, conclusion: Any) -> Any:
        return conclusion["prediction_text"]

    def reference(self, example: Example) -> Any:
        return list(example["answers"]["text"])


def check_texts(example: Mapping[str, Any]) -> None:
    """Refuse an example without a question or without a context.

    Args:
        example: perhaps without an answer.
    Raises:
        ValueError: one of them is missing or empty.
    """
    if not isinstance(example, Mapping):
        raise ValueError(f"a question and a context by name were wanted, but a {type(example).__name__} came")
    for role in ("question", "context"):
        if not str(example.get(role) or "").strip():
            raise ValueError(f"a {role} was wanted, but it is {'empty' if role in example else 'missing'}")


def check_answer(text: str, start: int, context: str) -> None:
    """Refuse an answer that does not stand where it is said to.

    Args:
        text: of the answer.
        start: where it starts in the context, in characters.
        context: a text.
    Raises:
        ValueError: the answer is empty, or something else stands there; says what, and where the answer does stand.
    """
    if not text.strip():
        raise ValueError("an answer was wanted, but it is empty")
    if start >= 0 and context.startswith(text, start):
        return
    there = context[max(start, 0) : max(start, 0) + len(text)]
    at = context.find(text)
    raise ValueError(
        f"the answer {text!r} was wanted at character {start} of the context, but {there!r} stands there"
        + (f"; the answer stands at {at}" if at >= 0 else ", and the answer is nowhere in it")
    )

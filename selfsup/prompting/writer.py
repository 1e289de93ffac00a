"""What a causal model writes in answer: its most probable words, up to the end of the line."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria

from selfsup.generation.likelihood import beginning
from selfsup.prompting.room import Answers, Example, Room, Shown
from selfsup.prompting.wording import NO_ANSWER, Wording

NEW_TOKENS = 32  # of an answer at most; nearly all of SQuAD's are shorter
TARGET_TOKENS = 128  # of a target, which is a sentence or two


class Writer:
    """A causal model that writes an answer, one most probable token after the other.

    An answer ends where its line does, where the next example would begin, or after `NEW_TOKENS`; a target after
    `TARGET_TOKENS`.

    Args:
        model: causal, in evaluation mode.
        tokenizer: its own.
        wording: of a task whose answers are written.
        batch_size: prompts that are read at once; no result depends on it.
    """

    scoring = "greedy"

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, wording: Wording, *, batch_size: int = 16
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"a batch holds 1 prompt or more, but --batch_size {batch_size} came")
        self.model, self.tokenizer, self.wording, self.batch_size = model, tokenizer, wording, batch_size
        self.most = TARGET_TOKENS if wording.answer_role == "target" else NEW_TOKENS
        self.room = Room(model, tokenizer, wording, num_more=self.most)
        self.notes: list[str] = []
        separator = wording.prompt.separator.strip()
        self._ends = ["\n", *([separator] if separator else [])]

    def answer(self, queries: Sequence[Example], shown: Sequence[Sequence[Shown]]) -> Answers:
        """Write an answer to each query; `NO_ANSWER` is none.

        Args:
            queries: examples; their answers are not read.
            shown: before each, in order.
        Raises:
            ValueError: a query does not fit alone.
        """
        fitted = self.room.fit(queries, shown)
        begin = beginning(self.tokenizer)
        rows = [[*begin, *ids] for ids in self.room.ids([self.room.context(one) for one in fitted])]
        order = sorted(range(len(rows)), key=lambda place: -len(rows[place]))
        texts = [""] * len(rows)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            for place, text in zip(batch, self._written([rows[place] for place in batch]), strict=True):
                texts[place] = "" if text == NO_ANSWER else text
        none = np.zeros((len(texts), 0))
        return Answers(texts, [one.left_out for one in fitted], [not one.described for one in fitted], none)

    def _written(self, rows: Sequence[Sequence[int]]) -> list[str]:
        width = max(map(len, rows))
        input_ids = torch.zeros(len(rows), width, dtype=torch.int64)
        attention_mask = torch.zeros_like(input_ids)
        for number, row in enumerate(rows):  # padding stands on the left, where nothing is written
            input_ids[number, width - len(row) :] = torch.tensor(row)
            attention_mask[number, width - len(row) :] = 1
        pad = self.tokenizer.pad_token_id
        with torch.inference_mode():
            written = self.model.generate(
                input_ids=input_ids.to(self.model.device),
                attention_mask=attention_mask.to(self.model.device),
                max_new_tokens=self.most,
                do_sample=False,
                num_beams=1,
                repetition_penalty=1.0,  # a folder may ask for another one
                pad_token_id=0 if pad is None else pad,
                stopping_criteria=[_LineEnds(self.tokenizer, width)],
            )
        return [self._cut(ids) for ids in written[:, width:].tolist()]

    def _cut(self, ids: list[int]) -> str:
        text = self.tokenizer.decode(ids, skip_special_tokens=True).lstrip(" ")
        for end in self._ends:
            text = text.partition(end)[0]
        return text.strip()


class _LineEnds(StoppingCriteria):
    """Stop a row when its line has ended."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, start: int) -> None:
        self.tokenizer, self.start = tokenizer, start

    def __call__(self, input_ids, scores, **options):
        ends = ["\n" in self.tokenizer.decode([last]) for last in input_ids[:, -1].tolist()]
        return torch.tensor(ends, device=input_ids.device)

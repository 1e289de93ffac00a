"""Tagging: which class each word of a text is of."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from selfsup.objectives.objective import Batch, Example
from selfsup.objectives.supervised import Supervised, few, in_float32
from selfsup.tokenization.locate import locator
from selfsup.tokenization.segments import frame

_INK = re.compile(r"\S")


class Tagging(Supervised):
    """Which class each word is of, told at its first piece.

    Reads `words`, perhaps `text`, the running text they come from, and `tags`, a name for each word. The text says
    where spaces are: "don't" as "do" and "n't" is read in one, as it was in pretraining. A word that loses all its
    pieces (invisible signs, or a word that shares its one piece with the word before) is not learnt; concluded of it
    is the most frequent tag of words, or of signs such as quotation marks. What the model cannot read at once is read
    in windows, about half of each two in common, and every word is asked for in one of them. Answer `tag`: `labels`
    (examples, tokens), -100 beside first pieces.

    Args:
        class_weights: factor of the loss of each tag by name (1 where one is not named), or "balanced": rare tags
            count as much as frequent ones.
        weight: factor of the loss in a `Joint`.
    Source:
        Devlin et al. 2018, "BERT", section 5.3 (the first piece of a word stands for it).
    """

    auto_class: ClassVar[str] = "AutoModelForTokenClassification"
    name: ClassVar[str] = "tag"
    roles: ClassVar[tuple[str, ...]] = ("words", "tags")
    optional: ClassVar[tuple[str, ...]] = ("text",)

    def __init__(
        self, class_weights: Literal["balanced"] | dict[str, float] | None = None, weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        self.class_weights = class_weights
        self.usual: dict[str, str] = {}
        if isinstance(class_weights, dict) and min(class_weights.values(), default=1.0) <= 0:
            raise ValueError(f"class_weights must be above 0, but {class_weights} came")

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        locate = locator(tokenizer)
        self.pieces = lru_cache(maxsize=1024)(lambda text: locate([text])[0])
        self.names = [name for name, _ in sorted(self.label_ids.items(), key=lambda pair: pair[1])]
        self.usual = self.usual or getattr(config, "usual_labels", None) or {}
        weights = self.class_weights if isinstance(self.class_weights, dict) else {}
        if unknown := weights.keys() - self.label_ids.keys():
            raise ValueError(f"class_weights name {', '.join(sorted(unknown))}, but the tags are {few(self.names)}")
        self.factors = torch.tensor([weights.get(name, 1.0) for name in self.names])

    def survey(self, examples: Sequence[Example]) -> list[str]:
        counts = Counter(tag for example in examples for tag in example["tags"])
        kinds: dict[str, Counter[str]] = {"word": Counter(), "sign": Counter()}
        for example in examples:
            for word, tag in zip(example["words"], example["tags"], strict=False):
                kinds[kind_of(word)][tag] += 1
        self.usual = {kind: min(tags, key=lambda tag: (-tags[tag], tag)) for kind, tags in kinds.items() if tags}
        if self.class_weights == "balanced":
            self.class_weights = {tag: counts.total() / len(counts) / count for tag, count in counts.items()}
        return sorted(counts)

    def findings(self) -> dict[str, Any]:
        return {"usual_labels": self.usual}

    def check(self, example: Example) -> None:
        words, tags = example["words"], example["tags"]
        if len(words) != len(tags):
            raise ValueError(f"a tag for each word was wanted, but {len(tags)} came for {len(words)} words")
        if not any(word.strip() for word in words):
            raise ValueError("words were wanted, but there are none")
        if unknown := [tag for tag in tags if tag not in self.label_ids]:
            raise ValueError(f"a tag was wanted that is one of {few(self.names)}, but {unknown[0]!r} came")

    def notes(self, example: Example) -> list[str]:
        lost = np.flatnonzero(self._first_pieces(example)[1] < 0)
        return [f"no piece of its own for the word {example['words'][place]!r}" for place in lost]

    def _first_pieces(self, example: Example) -> tuple[np.ndarray, np.ndarray]:
        """The ids of a text, and (words) the place of the first piece of each word, -1 for one that has none."""
        text, starts = running_text(example["words"], example.get("text"))
        pieces = self.pieces(text)
        bounds = list(zip(pieces.starts.tolist(), pieces.stops.tolist(), strict=True))
        firsts, free = [], 0  # words have their pieces in order, and none in common
        for word, start in zip(example["words"], starts, strict=True):
            while free < len(bounds) and bounds[free][1] <= max(start, bounds[free][0]):  # before it, or white space
                free += 1
            touches = free < len(bounds) and bounds[free][0] < start + len(word)
            firsts.append(free if touches else -1)
            free += touches
        return pieces.ids, np.array(firsts, dtype=np.int64)

    def _windows(self, num_tokens: int) -> list[tuple[slice, slice]]:
        """The pieces that each row reads, and those that it is asked about."""
        room = (self.max_tokens or 10**9) - 2
        if num_tokens <= room:
            return [(slice(0, num_tokens), slice(0, num_tokens))]
        step = (room + 1) // 2
        windows = []
        for start in range(0, num_tokens, step):  # about a quarter of what is read lies on either side
            begin = min(max(0, start - (room - step) // 2), num_tokens - room)
            windows.append((slice(begin, begin + room), slice(start, min(start + step, num_tokens))))
        return windows

    def parts(self, example: Example) -> list[Example]:
        num_windows = len(self._windows(len(self._first_pieces(example)[0])))
        return [{**example, "window": number} for number in range(num_windows)]

    def encode(self, example: Example) -> Example:
        if "words" not in example:
            raise ValueError("Tagging learns from tagged words, but running text has no tags: leave it out")
        ids, firsts = self._first_pieces(example)
        read, asked = self._windows(len(ids))[example.get("window", 0)]
        input_ids, token_type_ids = frame([ids[read]], self.cls_id, self.sep_id)
        here = (firsts >= asked.start) & (firsts < asked.stop)
        places = firsts[here] - read.start + 1  # of [CLS]
        first_pieces = np.zeros_like(input_ids)
        first_pieces[places] = 1
        fields = {"input_ids": input_ids, "token_type_ids": token_type_ids, "first_pieces": first_pieces}
        if example.get("tags") is None:
            return fields
        labels = np.full_like(input_ids, -100)
        labels[places] = np.array([self.label_ids[tag] for tag in example["tags"]])[here]
        return fields | {"labels": labels}

    def counts(self, batch: Batch, turn: str) -> dict[str, int]:
        return {self.name: int(batch["first_pieces"].sum())}

    def loss(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        logits = in_float32(outputs["logits"])
        factors = self.factors.to(logits)
        return {self.name: cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), factors, reduction="sum")}

    def hits(self, outputs: Any, batch: Batch, turn: str) -> dict[str, Tensor]:
        return {self.name: (outputs["logits"].argmax(dim=-1) == batch["labels"]).sum()}

    def predict(self, outputs: Any, batch: Batch) -> list[Any]:
        chosen, asked = outputs["logits"].argmax(dim=-1).cpu(), batch["first_pieces"].bool().cpu()
        return [row[mask].tolist() for row, mask in zip(chosen, asked, strict=True)]

    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        chosen = iter([tag for row in predictions for tag in row])
        return [
            self.names[next(chosen)] if first >= 0 else self.usual.get(kind_of(word), self.names[0])
            for word, first in zip(example["words"], self._first_pieces(example)[1], strict=True)
        ]

    def reference(self, example: Example) -> Any:
        return list(example["tags"])


def kind_of(word: str) -> Literal["word", "sign"]:
    """A sign is what holds no letter and no digit.

    Example:
        >>> kind_of("n't"), kind_of("...")
        ('word', 'sign')
    """
    return "word" if any(map(str.isalnum, word)) else "sign"


def running_text(words: Sequence[str], text: str | None = None) -> tuple[str, list[int]]:
    """Join words as the text they come from has them.

    Args:
        words: of the text, in order.
        text: which tells where white space is. A word that it spells otherwise ("de", "le" for "du") is set off by a
            space, as all words are where there is no text.
    Returns:
        the words with what stands between them; where in it each word starts, in characters.
    Example:
        >>> running_text(["I", "do", "n't", "!"], "I don't!")
        ("I don't!", [0, 2, 4, 7])
        >>> running_text(["de", "le", "pain", "."], "du pain.")
        ('de le pain.', [0, 3, 6, 10])
    """
    joined, starts = "", []
    at, lost = 0, 0  # where the text goes on; how many characters of words were not found since
    for word in words:
        gap = " " if joined else ""
        if text is not None:
            ink = _INK.search(text, at)
            begin = ink.start() if ink else len(text)
            # A word behind lost ones is looked for as far as they may reach, at the start of a word: "a" is everywhere.
            found = text.find(word, begin, begin + len(word) + (2 * lost + 2 if lost else 0))
            if lost and found > 0 and (text[found - 1] + word[:1]).isalnum():
                found = -1
            if found >= 0 and joined:
                between = text[at:found]
                gap = between[len(between.rstrip()) :]
            at, lost = (found + len(word), 0) if found >= 0 else (at, lost + len(word))
        starts.append(len(joined) + len(gap))
        joined += gap + word
    return joined, starts

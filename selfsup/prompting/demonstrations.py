"""Which examples a prompt shows: any, as many of each label, or those nearest to the query."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.random import Generator

from selfsup.data.places import listed
from selfsup.data.roles import ANSWERS

Example = Mapping[str, Any]
Choice = Literal["random", "balanced", "nearest"]
_WORD = re.compile(r"\w+")


class Demonstrations:
    """Examples to show, chosen among those to learn from.

    With one draw, fewer examples are a part of more. Their order is drawn for each number anew.

    Args:
        choice: "random"; "balanced", as many of each label as of any other, or one more; or "nearest", those that
            share most words with the query. Words and not hidden states, so that all models are shown the same.
        examples: to choose from; with `label`, if they are to be balanced.
        seed: of all draws.
    Source:
        Liu et al. 2022, "What Makes Good In-Context Examples for GPT-3?" (nearest; theirs by embeddings).
    """

    def __init__(self, choice: Choice, examples: Sequence[Example], *, seed: int = 0) -> None:
        self.choice, self.examples, self.seed = choice, examples, seed
        self._near = WordOverlap([text_of(example) for example in examples]) if choice == "nearest" else None
        self._of_label: dict[str, list[int]] = defaultdict(list)
        if choice == "balanced":
            if unlabelled := [example for example in examples if not isinstance(example.get("label"), str)]:
                raise ValueError(
                    f"examples with labels are wanted to balance them, but one has {listed(sorted(unlabelled[0]))} "
                    "alone: say --demonstrations random, or nearest"
                )
            for place, example in enumerate(examples):
                self._of_label[example["label"]].append(place)

    def check(self, number: int) -> None:
        """Refuse more than there are.

        Raises:
            ValueError: fewer examples are there, or of one label when all are to come up alike.
        """
        if number < 0:
            raise ValueError(f"0 examples or more are shown, but --shots {number} came")
        if number > len(self.examples):
            raise ValueError(
                f"{number} examples are to be shown, but there are {len(self.examples)} to learn from: lower --shots"
            )
        if self.choice == "balanced" and number:
            most = -(-number // len(self._of_label))
            label, few = min(self._of_label.items(), key=lambda pair: len(pair[1]))
            if len(few) < most:
                raise ValueError(
                    f"{number} examples balanced over labels may need {most} of each, but {label} has {len(few)}: "
                    "lower --shots, or say --demonstrations random"
                )

    def places(self, query: Example, number: int, *, draw: int = 0, query_number: int = 0) -> list[int]:
        """Which examples to show before a query, by their place, in order.

        Args:
            query: matters to "nearest" alone.
            number: how many.
            draw: same number, same examples.
            query_number: of the query, by which "nearest" draws its order.
        """
        if not number:
            return []
        if self._near is not None:
            chosen = self._near.nearest(text_of(query), number)
            return np.random.default_rng((self.seed, draw, number, query_number)).permutation(chosen).tolist()
        rng = np.random.default_rng((self.seed, draw))
        order = rng.permutation(len(self.examples)).tolist() if self.choice == "random" else self._in_turn(rng)
        return np.random.default_rng((self.seed, draw, number)).permutation(order[:number]).tolist()

    def _in_turn(self, rng: Generator) -> list[int]:
        """All examples such that the labels take turns, until one has no more."""
        labels = [list(self._of_label)[i] for i in rng.permutation(len(self._of_label))]
        shuffled = [rng.permutation(self._of_label[label]).tolist() for label in labels]
        return [place for turn in zip(*shuffled, strict=False) for place in turn]


class WordOverlap:
    """How many words texts share, as a share of the words of both (Jaccard 1912), found through an index.

    Args:
        texts: to look among.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        holding: dict[str, list[int]] = defaultdict(list)
        self.sizes = np.zeros(len(texts))
        for place, text in enumerate(texts):
            words = words_of(text)
            self.sizes[place] = len(words)
            for word in words:
                holding[word].append(place)
        self.holding = {word: np.array(places) for word, places in holding.items()}

    def nearest(self, text: str, number: int) -> list[int]:
        """Places of the texts that share most; of equals the first one counts.

        Example:
            >>> WordOverlap(["a b", "b c", "c d e"]).nearest("C d", 2)
            [2, 1]
        """
        words = words_of(text)
        found = [self.holding[word] for word in words if word in self.holding]
        shared = np.bincount(np.concatenate(found), minlength=len(self.sizes)) if found else np.zeros(len(self.sizes))
        union = np.maximum(self.sizes + len(words) - shared, 1)
        return np.argsort(-shared / union, kind="stable")[:number].tolist()


def words_of(text: str) -> Collection[str]:
    """The different words of a text, in lower case and alphabetical order."""
    return sorted(set(_WORD.findall(text.lower())))


def text_of(example: Example) -> str:
    """All that an example says, its answer aside."""
    values = [value for role, value in sorted(example.items()) if role not in (*ANSWERS, "id")]
    return " ".join(" ".join(value) if isinstance(value, list) else str(value) for value in values)


def apart(examples: Sequence[Example], from_these: Sequence[Example]) -> list[int]:
    """Places of examples that do not say word for word what one of others says; these may be shown, the rest not.

    Raises:
        ValueError: none is left.
    """
    known = {text_of(example) for example in from_these}
    kept = [place for place, example in enumerate(examples) if text_of(example) not in known]
    if examples and not kept:
        raise ValueError(
            "examples to show are wanted that are not asked about, but all "
            f"{len(examples)} are: name another split with --data.train"
        )
    return kept

"""What can be had without a network: the most frequent answer or tag of a word, a sliding window, a chain, a copy."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from selfsup.finetuning.pixels import logistic_regression
from selfsup.metrics.trees import write_tree
from selfsup.objectives.objective import Example
from selfsup.objectives.sequences import Sequences
from selfsup.objectives.supervised import Supervised

Guess = Callable[[Example], Any]
_WORD = re.compile(r"\w+")
REACH = 10  # words on each side of a candidate in which words of the question count


def baseline(objective: Supervised, examples: Sequence[Example]) -> tuple[str, Guess]:
    """The baseline that fits an objective.

    Args:
        objective: its roles decide.
        examples: raw ones, to learn from.
    Returns:
        its name, and a function from an example to what metrics read as its prediction.
    """
    if "answers" in objective.roles:
        return "sliding window", sliding_window(examples)
    if "tags" in objective.roles:
        return "most frequent tag of each word", frequent_tags(examples)
    if "heads" in objective.roles:
        return "each word on its neighbour", chain(examples)
    if isinstance(objective, Sequences):
        return "copy of the source", objective.source
    if "number" in objective.roles:
        mean = float(np.mean([example["number"] for example in examples]))
        return "mean", lambda example: mean
    answers = [objective.reference(example) for example in examples]
    counts = Counter(map(str, answers))
    most = next(answer for answer in answers if str(answer) == counts.most_common(1)[0][0])
    return "most frequent label", lambda example: most


def shallow(objective: Supervised, examples: Sequence[Example]) -> tuple[str, Guess] | None:
    """What learns, but without depth, where there is such a thing for an objective: a second baseline.

    Args:
        objective: its roles decide.
        examples: raw ones, to learn from.
    """
    if "image" in objective.roles and all(isinstance(example.get("label"), str) for example in examples):
        return "logistic regression on pixels", logistic_regression(examples)
    return None


def frequent_tags(examples: Sequence[Example]) -> Guess:
    """Every word as it was tagged most often; a word that was never seen gets the tag most common among words seen
    once, which unseen words resemble."""
    seen: dict[str, Counter] = defaultdict(Counter)
    for example in examples:
        for word, tag in zip(example["words"], example["tags"], strict=True):
            seen[word][tag] += 1
    once = Counter(next(iter(tags)) for tags in seen.values() if tags.total() == 1)
    everything = sum(seen.values(), Counter())
    unseen = (once or everything).most_common(1)[0][0]
    best = {word: tags.most_common(1)[0][0] for word, tags in seen.items()}
    return lambda example: [best.get(word, unseen) for word in example["words"]]


def chain(examples: Sequence[Example]) -> Guess:
    """A tree in which every word depends on the word behind it, or before it if that is commoner, and the last one, or
    the first, is the root; all by the relation that is commonest between such neighbours."""
    steps: dict[int, Counter] = {0: Counter(), 1: Counter(), -1: Counter()}
    for example in examples:
        for place, (head, relation) in enumerate(zip(example["heads"], example["relations"], strict=True), 1):
            step = head - place if head else 0
            if step in steps:
                steps[step][relation] += 1
    step = max((1, -1), key=lambda side: steps[side].total())
    root, relation = (next(iter(steps[way].most_common(1)), ("dep",))[0] for way in (0, step))

    def guess(example: Example) -> str:
        heads = [place + step for place in range(1, len(example["words"]) + 1)]
        end = -1 if step > 0 else 0
        relations = [relation] * len(heads)
        heads[end], relations[end] = 0, root
        return write_tree(example["words"], heads, relations)

    return guess


def sliding_window(examples: Sequence[Example]) -> Guess:
    """The span of a context around which most of the question's words stand, near ones and rare ones first.

    Candidates are as long as the median answer in training and hold no word of the question. A word of the question
    that stands within `REACH` words adds log(1 + 1 / how often it stands in the context), divided by its distance.

    Source:
        After Richardson et al. 2013, "MCTest", algorithm 1 (sliding window, inverse counts) and 2 (distance).
    """
    texts = [text for example in examples for text in example["answers"]["text"][:1]]
    length = max(1, round(float(np.median([len(_WORD.findall(text)) for text in texts])))) if texts else 3

    def guess(example: Example) -> str:
        context = example["context"]
        places = [(found.start(), found.end()) for found in _WORD.finditer(context)]
        words = [context[start:stop].lower() for start, stop in places]
        asked = set(_WORD.findall(example["question"].lower()))
        if not words:
            return ""
        counts = Counter(words)
        hits = np.array([np.log1p(1 / counts[word]) if word in asked else 0.0 for word in words])
        near = np.zeros(len(words))
        for distance in range(1, min(REACH, len(words) - 1) + 1):
            near[distance:] += hits[:-distance] / distance
            near[:-distance] += hits[distance:] / distance
        size = min(length, len(words))
        near[hits > 0] = -np.inf
        sums = [near[at : at + size].sum() for at in range(len(words) - size + 1)]
        at = int(np.argmax(sums))
        return context[places[at][0] : places[at + size - 1][1]]

    return guess

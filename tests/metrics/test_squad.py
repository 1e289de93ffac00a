"""SQuAD's figures: against its rules, written a second time in another way."""

import re
import string

import pytest
from numpy.random import Generator, default_rng

from selfsup.metrics import Squad

WORDS = [
    "The",
    "a",
    "an",
    "dog",
    "Dog's",
    "dogs",
    "U.S.",
    "US",
    "Theatre",
    "-",
    "3,000",
    "—",
    "Ärger",
    "café!",
    "the-end",
]


def drawn(rng: Generator, most: int) -> str:
    spaces = [" ", "  ", "\t", "\n"]
    return "".join(rng.choice(WORDS) + rng.choice(spaces) for _ in range(rng.integers(most))).strip()


def normal(text: str) -> str:
    """Lower case; no ASCII punctuation; then no articles as whole words; then single spaces."""
    text = re.sub("[" + re.escape(string.punctuation) + "]", "", text.lower())
    return re.sub(r"\s+", " ", re.sub(r"(?<!\w)(?:the|an|a)(?!\w)", " ", text)).strip()


def overlap(answer: str, gold: str) -> float:
    """Harmonic mean of the shares of common words, taken away one by one."""
    ours, theirs = normal(answer).split(), normal(gold).split()
    if not ours or not theirs:
        return float(ours == theirs)
    left, same = list(theirs), 0
    for word in ours:
        if word in left:
            left.remove(word)
            same += 1
    if not same:
        return 0.0
    precision, recall = same / len(ours), same / len(theirs)
    return 2 * precision * recall / (precision + recall)


def rules(answer: str, golds: list[str]) -> tuple[float, float]:
    """Exact match and F1 of one question as the script of 2018 gives them."""
    golds = [gold for gold in golds if normal(gold)] or [""]
    return max(float(normal(answer) == normal(gold)) for gold in golds), max(overlap(answer, gold) for gold in golds)


@pytest.mark.parametrize("with_none", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_random_answers_follow_the_rules(seed, with_none):
    rng = default_rng(seed)
    references = [[drawn(rng, 5) for _ in range(rng.integers(0 if with_none else 1, 4))] for _ in range(200)]
    predictions = [
        gold[0].upper() if gold and rng.random() < 0.3 else drawn(rng, 4) if rng.random() < 0.8 else ""
        for gold in references
    ]
    scores = [rules(*pair) for pair in zip(predictions, references, strict=True)]
    figures = Squad().compute(predictions=predictions, references=references)
    for place, name in enumerate(("exact_match", "f1")):
        assert figures[name] == pytest.approx(sum(score[place] for score in scores) / 200)
    assert 0.05 < figures["exact_match"] < figures["f1"] < 0.9
    parts = {
        "answerable_exact_match": [score[0] for score, golds in zip(scores, references, strict=True) if golds],
        "answerable_f1": [score[1] for score, golds in zip(scores, references, strict=True) if golds],
        "unanswerable": [score[0] for score, golds in zip(scores, references, strict=True) if not golds],
    }
    if not with_none:
        assert figures.keys() == {"exact_match", "f1"}
        return
    for name, part in parts.items():
        assert figures[name] == pytest.approx(sum(part) / len(part))


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "f1"),
    [
        ("The U.S.", ["us"], 1, 1),  # points are dropped, not replaced: one word
        ("dogs", ["Dog's"], 1, 1),
        ("Theatre", ["atre"], 0, 0),  # an article is a whole word
        ("“Rome”", ["Rome"], 0, 0),  # curly quotes are no punctuation here, as in the scripts
        ("old old bridge", ["old bridge bridge"], 0, 2 / 3),  # words are counted as often as they come
        ("in Rome", ["Paris", "Rome"], 0, 2 / 3),  # best over golds
        ("", ["Rome"], 0, 0),
        ("", [], 1, 1),
        ("the", [], 1, 1),  # nothing is left of it
        ("Rome", [], 0, 0),
        ("the", ["the"], 1, 1),
        ("the", ["Rome", "the"], 0, 0),  # a gold of nothing is left out beside another
    ],
)
def test_by_hand(answer, golds, exact, f1):
    figures = Squad().compute(predictions=[answer], references=[golds])
    assert figures == pytest.approx({"exact_match": exact, "f1": f1})


def test_exact_matches_and_f1_are_bests_of_their_own():
    """The gold that is matched in full need not be the one with more words in common, nor the other way round."""
    (tally,) = Squad().tallies(["old bridge"], [["old stone bridge", "old bridge"]])
    assert tally.tolist() == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("golds", ["Rome", {"text": ["Rome"], "answer_start": [7]}])
def test_golds_that_are_no_list_are_refused(golds):
    """The letters of an answer and the names of columns are no gold answers."""
    with pytest.raises(
        ValueError, match=r"^an answer and a list of gold answers are wanted, but 'Rome' and .* question 0$"
    ):
        Squad().tallies(["Rome"], [golds])

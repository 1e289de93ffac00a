"""Tag accuracy and span F1: against seqeval."""

import warnings

import pytest
from numpy.random import default_rng
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from selfsup.metrics import SpanF1, TagAccuracy
from selfsup.metrics.span_f1 import spans

BIO = ["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
ALL = [*BIO, "E-PER", "S-PER", "E-LOC", "S-LOC", "B-a-b", "I-a-b", "B", "I", "E", "S"]


def drawn(tags: list[str], seed: int, number: int = 30) -> tuple[list[list[str]], list[list[str]]]:
    """Random tags, most of them ill-formed, and predictions with a quarter of them drawn again."""
    rng = default_rng(seed)
    references = [rng.choice(tags, size=rng.integers(1, 12)).tolist() for _ in range(number)]
    predictions = [[tag if rng.random() < 0.75 else rng.choice(tags).item() for tag in row] for row in references]
    return predictions, references


@pytest.mark.parametrize("tags", [BIO, ALL], ids=["BIO", "all"])
@pytest.mark.parametrize("seed", range(4))
def test_they_are_those_of_seqeval(tags, seed):
    predictions, references = drawn(tags, seed)
    with warnings.catch_warnings(action="ignore"):
        wanted = {"f1": f1_score, "precision": precision_score, "recall": recall_score}
        figures = {name: float(score(references, predictions)) for name, score in wanted.items()}
        accuracy = accuracy_score(references, predictions)
    assert 0 < figures["f1"] < 1
    assert SpanF1().compute(predictions=predictions, references=references) == pytest.approx(figures)
    assert TagAccuracy().compute(predictions=predictions, references=references)["accuracy"] == pytest.approx(accuracy)


def test_spans_are_those_of_seqeval():
    for row in drawn(ALL, seed=9, number=300)[1]:
        ours = {(kind or "_", first, last) for kind, first, last in spans(row)}
        assert ours == set(get_entities(row)), row


def test_spans_by_hand():
    """I- after another type, or after O, begins a span; B- always does; two sentences do not touch."""
    assert spans(["I-PER", "I-PER", "I-LOC", "B-LOC", "O", "I-LOC"]) == {
        ("PER", 0, 1),
        ("LOC", 2, 2),
        ("LOC", 3, 3),
        ("LOC", 5, 5),
    }
    figures = SpanF1().compute(predictions=[["B-PER"], ["I-PER"]], references=[["B-PER"], ["B-PER"]])
    assert figures == {"f1": 1, "precision": 1, "recall": 1}


def test_nothing_found_where_nothing_is_scores_nothing():
    assert SpanF1().compute(predictions=[["O"]], references=[["O"]]) == {"f1": 0, "precision": 0, "recall": 0}


@pytest.mark.parametrize("tag", ["NOUN", "BPER", "B-", "", "o", "X-PER", "O-PER", 3])
def test_other_tags_are_refused(tag):
    with pytest.raises(
        ValueError, match=rf"^tags that mark spans are wanted .* but {tag!r} came: score .* TagAccuracy$"
    ):
        SpanF1().tallies([["O"]], [[tag]])


@pytest.mark.parametrize("metric", [SpanF1(), TagAccuracy()], ids=["SpanF1", "TagAccuracy"])
def test_sentences_of_two_lengths_are_refused(metric):
    with pytest.raises(ValueError, match=r"^a tag for each word is wanted, but 1 came for the 2 words of sentence 1$"):
        metric.tallies([["O"], ["O"]], [["O"], ["O", "O"]])
    with pytest.raises(ValueError, match=r"^a list of tags is wanted for each sentence, but sentence 0 has 'OO' and"):
        metric.tallies(["OO"], [["O", "O"]])

"""Segments of another document: the plan draws them, the objective asks."""

import numpy as np
import pytest
import torch

from selfsup.data.plan import Plan, Stage
from selfsup.objectives import Joint, MaskedTokens, NextSentence, SentenceOrder
from selfsup.training.batches import batch_of

A, B = np.array([10, 11, 12]), np.array([20, 21])


@pytest.fixture
def following(tiny_tokenizer, tiny_config):
    objective = NextSentence()
    objective.bind(tiny_tokenizer, tiny_config)
    return objective


@pytest.mark.parametrize(("stranger", "label"), [(True, 1), (False, 0), (None, -100)])
def test_by_hand(following, stranger, label):
    example = following.encode({"segments": [A, B], "stranger": stranger})
    seen = following.corrupt(example, rng=np.random.default_rng(0), progress=0.5)
    assert seen["input_ids"].tolist() == [2, 10, 11, 12, 3, 20, 21, 3]
    assert seen["token_type_ids"].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert seen["next_sentence_label"] == label


def test_one_segment_asks_nothing(following):
    assert following.encode({"segments": [A], "stranger": None})["next_sentence_label"] == -100


def test_labels_say_what_the_corpus_says(following, tiny_corpus):
    """Through plan and batch: a label is 1 just where the two segments lie in different documents."""
    plan = Plan(tiny_corpus, [(0, len(tiny_corpus.tokens))], stages=[Stage(64, 8)], strangers=True)
    rows = [row for step in range(30) for row in plan.rows(step)]
    draws = [draw for row in rows for draw in row]
    labels = batch_of(tiny_corpus, rows, following, seed=0)["next_sentence_label"].tolist()
    assert len(labels) == len(draws)
    for draw, label in zip(draws, labels, strict=True):
        document = [np.searchsorted(tiny_corpus.documents, start, side="right") for start, _ in draw.segments]
        assert label == (-100 if draw.stranger is None else int(document[0] != document[-1]))
        if len(draw.segments) == 1:
            assert label == -100
        else:
            stop = draw.segments[1][1] - 1
            assert document[-1] == np.searchsorted(tiny_corpus.documents, stop, side="right"), "crosses a document"
    asked = [label for label in labels if label >= 0]
    assert np.mean(asked) == pytest.approx(0.5, abs=3 * 0.5 / np.sqrt(len(asked)))


def test_without_another_document_there_is_one_sentence(tiny_corpus):
    with pytest.raises(ValueError, match=r"other documents are wanted, but .* has a single document here: give more"):
        Plan(tiny_corpus, [(0, int(tiny_corpus.documents[1]))], strangers=True)
    Plan(tiny_corpus, [(0, int(tiny_corpus.documents[2]))], strangers=True)  # two short ones in one slice


def test_pairs_are_as_before_where_no_strangers_are_asked_for(tiny_corpus):
    for draw in (draw for row in Plan(tiny_corpus, [(0, len(tiny_corpus.tokens))]).rows(0) for draw in row):
        assert draw.stranger is None


def test_joint_with_masked_tokens_but_not_with_order():
    joint = Joint({"tokens": MaskedTokens(), "next": NextSentence(weight=0.5)})
    assert (joint.auto_class, joint.strangers) == ("AutoModelForPreTraining", True)
    assert joint.weights == {"tokens": 1.0, "next": 0.5}
    with pytest.raises(ValueError, match=r"one head answers one question .* SentenceOrder, NextSentence"):
        Joint({"next": NextSentence(), "order": SentenceOrder()})


def test_a_constant_guess_is_counted(following):
    batch = {"next_sentence_label": torch.tensor([0, 1, -100, 1])}
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [9.0, 0.0], [3.0, 0.0]])
    assert following.hits({"logits": logits}, batch, "model")["next"] == 2
    assert following.blind_hits({"logits": logits}, batch, "model")["next"] == 1

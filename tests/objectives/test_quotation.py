"""Quotations: made of the second segment's words, and false ones only where a word is lacking there."""

import numpy as np
import pytest

from selfsup.data.plan import Plan, Stage
from selfsup.objectives import Joint, MaskedTokens, Quotation, SentenceOrder
from selfsup.objectives.quotation import shred
from selfsup.tokenization.align import Words
from selfsup.training.batches import batch_of


@pytest.fixture
def quoting(tiny_tokenizer, tiny_config):
    objective = Quotation(share=1.0)
    objective.bind(tiny_tokenizer, tiny_config)
    return objective


def words_of(*sizes: int, start: int) -> list[np.ndarray]:
    """Words of some sizes, every id once."""
    return np.split(np.arange(start, start + sum(sizes)), np.cumsum(sizes)[:-1])


def pairs(corpus, objective, number=400):
    """Of a corpus: the examples as they were and as they are asked about."""
    plan = Plan(corpus, [(0, len(corpus.tokens))], stages=[Stage(64, 8)])
    draws = [draw for step in range(number // 8) for row in plan.rows(step) for draw in row]
    for index, draw in enumerate(draws):
        example = objective.encode(
            {"segments": [np.asarray(corpus.tokens[a:b], dtype=np.int64) for a, b in draw.segments]}
        )
        yield example, objective.corrupt(example, rng=np.random.default_rng(index), progress=0.0)


def segments(example):
    middle = int(np.argmax(example["token_type_ids"]))
    return example["input_ids"][1 : middle - 1], example["input_ids"][middle:-1]


def test_by_hand():
    source, own = words_of(1, 2, 1, start=10), words_of(2, 2, 3, start=20)
    for seed in range(50):
        true = shred(source, own, max_run=2, false=False, rng=np.random.default_rng(seed))
        assert {word.tobytes() for word in true} <= {word.tobytes() for word in source}
        assert 7 - 2 <= sum(map(len, true)) <= 7, "as long as what it stands for, less a word at most"
        false = shred(source, own, max_run=2, false=True, rng=np.random.default_rng(seed))
        assert {word.tobytes() for word in false} <= {word.tobytes() for word in source + own}
        assert sum(map(len, false)) <= 7


def test_runs_are_runs():
    source, own = words_of(*[1] * 5000, start=0), words_of(*[1] * 40, start=9000)
    for max_run in (1, 4):
        ids = np.concatenate(shred(source, own, max_run=max_run, false=False, rng=np.random.default_rng(0)))
        breaks = np.flatnonzero(np.diff(ids) != 1)
        assert np.diff(breaks).max() <= max_run


def test_labels_say_what_stands_there(quoting, tiny_corpus, tiny_tokenizer):
    words, labels, agree = Words.of(tiny_tokenizer), [], []
    for before, seen in pairs(tiny_corpus, quoting):
        label = int(seen["next_sentence_label"])
        if not before["token_type_ids"].any():
            assert label == -100
            assert (seen["input_ids"] == before["input_ids"]).all()
            continue
        quote, second = segments(seen)
        assert (second == segments(before)[1]).all(), "the second segment stays"
        assert len(seen["input_ids"]) == len(seen["token_type_ids"]) <= len(before["input_ids"])
        assert label or set(quote.tolist()) <= set(second.tolist())
        parts = [np.split(ids, np.flatnonzero(np.diff(words.ids(ids))) + 1) for ids in (quote, second)]
        told = [{tuple(word.tolist()) for word in part} for part in parts]
        agree.append(label == int(not told[0] <= told[1]))
        labels.append(label)
    assert np.mean(agree) > 0.8, "where a word without a space before it follows another one, two read as one"
    assert 0.35 < np.mean(labels) < 0.55, "some false ones happen to hold known words only"


def test_the_length_of_a_quotation_tells_nothing(quoting, tiny_corpus):
    asked = [seen for _, seen in pairs(tiny_corpus, quoting, 2400) if seen["next_sentence_label"] >= 0]
    labels = np.array([seen["next_sentence_label"] for seen in asked])
    shares = np.array([len(segments(seen)[0]) / len(seen["input_ids"]) for seen in asked])
    first, second = shares[labels == 0], shares[labels == 1]
    error = np.sqrt(first.var() / len(first) + second.var() / len(second))
    assert abs(first.mean() - second.mean()) < 4 * error + 0.02


def test_a_share_of_the_pairs(tiny_corpus, tiny_tokenizer, tiny_config):
    objective = Quotation(share=0.25)
    objective.bind(tiny_tokenizer, tiny_config)
    found = [
        seen["next_sentence_label"] >= 0
        for old, seen in pairs(tiny_corpus, objective, 1600)
        if old["token_type_ids"].any()
    ]
    assert np.mean(found) == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / len(found)))


def test_masked_tokens_hide_words_of_the_quotation(tiny_corpus, tiny_tokenizer, tiny_config):
    """What moves tokens goes first: labels are ids of the quotation, not of the text that stood there."""
    joint = Joint({"tokens": MaskedTokens(num_segments=2, rate=0.5), "quotation": Quotation(share=1.0)})
    joint.bind(tiny_tokenizer, tiny_config)
    plan = Plan(tiny_corpus, [(0, len(tiny_corpus.tokens))], stages=[Stage(64, 8)])
    batch = batch_of(tiny_corpus, plan.rows(0), joint, seed=0)
    assert (batch["next_sentence_label"] >= 0).any()
    asked = batch["labels"] != -100
    kept = asked & (batch["input_ids"] == batch["labels"])
    assert 0 < int(kept.sum()) < int(asked.sum())


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 1.1}, {"share": float("nan")}, {"max_run": 0}])
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match=r"came$"):
        Quotation(**wrong)


def test_one_question_about_two_segments():
    with pytest.raises(ValueError, match=r"one head answers one question"):
        Joint({"a": Quotation(), "b": SentenceOrder()})

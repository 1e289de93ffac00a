"""Scores: intervals, totals, and the loss of the best guess that does not read."""

import math

import numpy as np
import pytest

from selfsup.data.plan import Plan, Stage
from selfsup.metrics.wilson import wilson
from selfsup.objectives import MaskedTokens
from selfsup.training.batches import VALIDATION_SEED, read
from selfsup.training.evaluation import Score, unigram_loss


def test_score_by_hand():
    score = Score(
        losses={"tokens": math.log(8), "order": 0.5},
        hits={"order": 30},
        counts={"tokens": 200, "order": 40},
        weights={"tokens": 1.0, "order": 2.0},
    )
    assert score.total == pytest.approx(math.log(8) + 1.0)
    assert score.perplexity("tokens") == pytest.approx(8)
    assert score.accuracy("order") == 0.75
    assert score.interval("order") == wilson(30, 40)
    assert score.figures() == {
        "validation_loss": score.total,
        "validation_tokens_loss": math.log(8),
        "validation_tokens_count": 200,
        "validation_order_loss": 0.5,
        "validation_order_count": 40,
        "validation_tokens_perplexity": pytest.approx(8),
        "validation_order_perplexity": pytest.approx(math.exp(0.5)),
        "validation_order_accuracy": 0.75,
        "validation_order_interval": wilson(30, 40),
    }


def test_a_lost_model_has_a_finite_perplexity():
    assert math.isfinite(Score({"tokens": 1e6}, {}, {"tokens": 1}, {"tokens": 1.0}).perplexity("tokens"))


def test_unigram_loss_by_hand(tiny_corpus, tiny_tokenizer, tiny_config):
    """Over the very tokens that validation hides: -log((count + 1) / (all + vocabulary))."""
    objective = MaskedTokens()
    objective.bind(tiny_tokenizer, tiny_config)
    training, held = tiny_corpus.split(0.2)
    rows = Plan(tiny_corpus, held, stages=[Stage(64)], num_segments=1).epoch()[:7]
    counts = tiny_corpus.counts(training)
    nats = []
    for row in rows:
        for draw in row:
            labels = read(tiny_corpus, draw, objective, VALIDATION_SEED)["labels"]
            nats += [-math.log((counts[i] + 1) / (counts.sum() + len(counts))) for i in labels[labels != -100].tolist()]
    assert len(nats) > 50
    loss = unigram_loss(counts, tiny_corpus, rows, objective)
    assert loss == pytest.approx(np.mean(nats))
    # Reading nothing, it beats a guess that does not even know the frequencies.
    assert loss < math.log(len(counts))

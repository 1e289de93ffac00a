"""Distinct runs and repetitions by hand."""

import math

import pytest

from selfsup.metrics.diversity import distinct, repetition


def test_by_hand():
    texts = [["a", "b", "a", "b"], ["b", "a"]]  # ab ba ab, ba
    assert distinct(texts, 1) == 2 / 6
    assert distinct(texts, 2) == 2 / 4
    assert repetition(texts[0], 1) == 0.5
    assert repetition(texts[0], 2) == pytest.approx(1 / 3)


def test_texts_too_short_for_a_run():
    assert math.isnan(distinct([["a"]], 2))
    assert distinct([["a"], ["a", "b"]], 2) == 1
    assert repetition(["a", "b", "c"], 4) == 0

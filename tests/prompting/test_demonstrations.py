"""Which examples are shown: any, balanced, nearest; the same ones with the same seed."""

from collections import Counter

import pytest

from selfsup.prompting.demonstrations import Demonstrations, WordOverlap, apart

EXAMPLES = [{"text": f"text {number}", "label": "rare" if number % 5 == 0 else "common"} for number in range(40)]


@pytest.mark.parametrize("choice", ["random", "balanced"])
def test_draws_are_different_and_repeat_themselves(choice):
    def drawn(seed: int) -> list[list[int]]:
        demonstrations = Demonstrations(choice, EXAMPLES, seed=seed)
        return [demonstrations.places({"text": "text"}, 8, draw=draw) for draw in range(5)]

    assert drawn(0) == drawn(0)
    assert len({tuple(places) for places in (*drawn(0), *drawn(1))}) == 10
    assert all(len(set(places)) == 8 for places in drawn(0))


@pytest.mark.parametrize("choice", ["random", "balanced"])
def test_fewer_are_a_part_of_more(choice):
    demonstrations = Demonstrations(choice, EXAMPLES)
    few, many = ([demonstrations.places({}, number, draw=draw) for draw in range(5)] for number in (4, 8))
    assert all(set(some) < set(more) for some, more in zip(few, many, strict=True))
    assert any(some != more[:4] for some, more in zip(few, many, strict=True)), "in an order of their own"


@pytest.mark.parametrize(("number", "rare"), [(1, {0, 1}), (2, {1}), (5, {2, 3}), (8, {4}), (16, {8})])
def test_balanced_shows_as_many_of_each_label(number, rare):
    demonstrations = Demonstrations("balanced", EXAMPLES)
    counts = [
        Counter(EXAMPLES[place]["label"] for place in demonstrations.places({}, number, draw=draw))["rare"]
        for draw in range(20)
    ]
    assert set(counts) == rare


def test_order_tells_nothing_of_the_label():
    """Labels take turns when they are drawn, not when they are shown."""
    demonstrations = Demonstrations("balanced", EXAMPLES)
    orders = {
        tuple(EXAMPLES[place]["label"] for place in demonstrations.places({}, 4, draw=draw)) for draw in range(60)
    }
    assert len(orders) == 6  # of two and two


def test_nearest_share_most_words_by_hand():
    texts = ["a b c d", "a x", "B, a!", "y z"]
    overlap = WordOverlap(texts)
    # of "a b": 2 of 4, 1 of 3, 2 of 2, 0 of 4
    assert overlap.nearest("a b", 4) == [2, 0, 1, 3]
    assert overlap.nearest("unseen", 2) == [0, 1]
    examples = [{"text": text, "label": "x"} for text in texts]
    demonstrations = Demonstrations("nearest", examples)
    places = [demonstrations.places({"text": "a b"}, 2, draw=draw) for draw in range(10)]
    assert {tuple(some) for some in places} == {(0, 2), (2, 0)}, "the same examples in both orders"


def test_what_is_asked_about_is_not_shown():
    queries = [{"text": "text 3", "label": "common"}, {"text": "text 7", "label": "rare"}]
    kept = apart(EXAMPLES, queries)
    assert kept == [place for place in range(40) if place not in (3, 7)]
    with pytest.raises(ValueError, match="but all 40 are"):
        apart(EXAMPLES, EXAMPLES)


@pytest.mark.parametrize(
    ("choice", "number", "sentence"),
    [
        ("random", 41, "41 examples are to be shown, but there are 40 to learn from: lower --shots"),
        ("balanced", 17, "17 examples balanced over labels may need 9 of each, but rare has 8"),
        ("nearest", -1, "0 examples or more are shown, but --shots -1 came"),
    ],
)
def test_more_than_there_are_is_refused(choice, number, sentence):
    demonstrations = Demonstrations(choice, EXAMPLES)
    with pytest.raises(ValueError, match=sentence):
        demonstrations.check(number)
    demonstrations.check(16)

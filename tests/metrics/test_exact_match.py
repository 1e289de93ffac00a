"""Exact match by hand."""

import pytest

from selfsup.metrics import ExactMatch


@pytest.mark.parametrize(
    ("text", "gold", "right"),
    [
        ("a mill", "a mill", 1),
        (" a\t mill\n", "a mill", 1),
        ("A mill", "a mill", 0),
        ("a mill.", "a mill", 0),
        ("am ill", "a mill", 0),
        ("a mill", ["the mill", "a  mill"], 1),
        ("a mill", ["the mill", "mill"], 0),
        ("", "a mill", 0),
        ("", "", 1),
    ],
)
def test_by_hand(text, gold, right):
    assert ExactMatch().compute(predictions=[text], references=[gold]) == {"exact_match": right}


@pytest.mark.parametrize("gold", [None, [], {"text": ["a"]}])
def test_what_is_no_text_is_refused(gold):
    with pytest.raises(ValueError, match=r"^a text and the text or texts that it may be are wanted, but .* example 0$"):
        ExactMatch().tallies(["a"], [gold])

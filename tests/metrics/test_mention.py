"""Mention by hand."""

import pytest

from selfsup.metrics import Mention


@pytest.mark.parametrize(
    ("text", "gold", "right"),
    [
        ("Lumo sees a dog.", "Lumo", 1),
        ("a dog sees Lumo", "Lumo", 1),
        ("Lumos sees a dog.", "Lumo", 0),
        ("lumo sees a dog.", "Lumo", 0),
        ("Ana  Lumo sees", "Ana Lumo", 1),
        ("Ana sees Lumo", "Ana Lumo", 0),
        ("Tarik sees a dog.", ["Lumo", "Tarik"], 1),
        ("", "Lumo", 0),
    ],
)
def test_by_hand(text, gold, right):
    assert Mention().compute(predictions=[text], references=[gold]) == {"mention": right}


def test_a_reference_without_a_word_is_refused():
    with pytest.raises(ValueError, match="the reference of example 1 has none"):
        Mention().tallies(["a", "b"], ["a", " "])

"""Running text is cut into words that people would point at, and every one stands where it is said to."""

from itertools import pairwise

import pytest

from selfsup.tokenization.words import split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't pay 3.50!", ["Don't", "pay", "3.50", "!"]),
        ("l’été, 1,000.5.", ["l’été", ",", "1,000.5", "."]),
        ("well-known yes,no", ["well", "-", "known", "yes", ",", "no"]),
        ("'tis the dogs' day", ["'", "tis", "the", "dogs", "'", "day"]),
        ("e\u0301te\u0301 हिन्दी می\u200cخواهم", ["e\u0301te\u0301", "हिन्दी", "می\u200cخواهم"]),
        ("so 👩‍👩‍👧👍🏽!", ["so", "👩‍👩‍👧", "👍🏽", "!"]),
        ("\t one\r\n\u00a0two ", ["one", "two"]),
        ("\u200b", ["\u200b"]),
        ("", []),
    ],
)
def test_by_hand(text, words):
    parts = split_words(text)
    assert [word for word, _, _ in parts] == words
    assert [text[start:stop] for _, start, stop in parts] == words


def test_nothing_but_white_space_is_lost():
    text = "".join(map(chr, range(0x20, 0x2100))) + " 한국어 文字 "
    parts = split_words(text)
    assert "".join(word for word, _, _ in parts) == "".join(text.split())
    assert all(stop <= start for (_, _, stop), (_, start, _) in pairwise(parts))

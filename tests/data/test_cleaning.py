"""Which line breaks are undone, and which are an author's."""

import random
from textwrap import fill

import pytest

from selfsup.data.cleaning import paragraphs

PROSE = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness. "
    "There were a king with a large jaw and a queen with a plain face, on the throne of England. In both countries it "
    "was clearer than crystal to the lords of the State preserves of loaves and fishes, that things in general were "
    "settled for ever. Mrs. Southcott had recently attained her five-and-twentieth blessed birthday."
)


@pytest.mark.parametrize("width", [55, 64, 72, 80, 100])
def test_wrapped_paragraphs_are_whole_again(width: int) -> None:
    assert paragraphs("\n\n".join([fill(PROSE, width), fill(PROSE[111:], width)])) == [PROSE, PROSE[111:]]


def test_without_blank_lines_a_short_line_ends_a_paragraph() -> None:
    speech = '"A line of speech that ends a good way before the edge of the page is followed by another," he said.'
    answer = '"Is it?"'
    parts = [PROSE, speech, answer] * 8
    assert paragraphs("\n".join(fill(part, 70) for part in parts)) == parts


def test_a_paragraph_a_line_is_left_alone() -> None:
    parts = [PROSE, "He said:", '"Yes."', PROSE[200:], "CHAPTER II", PROSE]
    assert paragraphs("\n".join(parts)) == parts


def test_a_stray_wrap_in_a_text_without_wraps() -> None:
    long = "These were the very stories that had so often been told to her by old"
    assert paragraphs(f"{PROSE}\n\n{long}\nMary Antony.\n\n{PROSE}")[1] == f"{long} Mary Antony."


def test_headings_verse_and_lists_keep_their_lines() -> None:
    heading = "CHAPTER I\nThe Period"
    verse = "Tyger Tyger, burning bright,\nIn the forests of the night;\nWhat immortal hand or eye,\nCould frame thy"
    items = "1. the first thing that there is to be done\n2. the second thing that there is to be done"
    prose = "\n\n".join([fill(PROSE, 72)] * 5)
    for lines in (heading, verse, items):
        assert paragraphs(f"{prose}\n\n{lines}\n\n{prose}")[5:-5] == lines.split("\n")
        assert paragraphs(lines) == lines.split("\n")


def test_an_indented_line_begins_a_paragraph() -> None:
    text = "\n".join("  " + fill(PROSE, 70) for _ in range(6))
    assert paragraphs(text) == [PROSE] * 6


def test_a_page_break_in_mid_sentence_is_no_end() -> None:
    assert paragraphs("the feeling increased as the evening grew, and\n\nat night she lay awake.") == [
        "the feeling increased as the evening grew, and at night she lay awake."
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\u2028"])
def test_newlines_are_universal(newline: str) -> None:
    assert paragraphs(f"Eins.{newline}{newline}Zwei.{newline} \t{newline}Drei.") == ["Eins.", "Zwei.", "Drei."]


def test_white_space_collapses_and_control_characters_go() -> None:
    assert paragraphs("\ufeff a\u00a0 b\tc\u2009d\x0ce \x07f\u00adg\x00 \n\n \n") == ["a b c d e fg"]
    assert paragraphs("") == paragraphs(" \n\n\t") == []


def test_a_hyphen_at_a_wrap_stays() -> None:
    assert paragraphs("She had not seen so old a fellow as this well-\nknown man.")[0].endswith("well- known man.")


def test_words_are_never_lost_and_a_second_cleaning_changes_nothing() -> None:
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(rng.choices(["a", "Word", "it", ".", ",", '"', " ", " ", "\n", "\n\n", "1. ", "-"], k=300))
        found = paragraphs(text)
        assert " ".join(found).split() == text.split()
        assert [again for part in found for again in paragraphs(part)] == found

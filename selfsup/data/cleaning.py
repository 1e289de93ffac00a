"""Raw text to clean paragraphs: a typesetter's line breaks are undone, an author's are kept."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple

_LINE_BREAKS = re.compile("\r\n|[\r\v\x85\u2028]")
# Control characters (but white space), soft hyphen, zero-width space, byte order mark. Joiners stay: they spell.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200b\ufeff]")
# A line that ends a sentence: a stop or dash, with whatever closes after it.
_FINISHED = re.compile(r"""(?:[.!?:…—–]|\.\s|\s-|--)[\s"'”’»«“)\]_*]*$""")
_SPEECH_ENDS = re.compile(r"""[.!?…,—-][\s_]*["'”’»]$""")
_SPEECH_STARTS = re.compile(r"""_?["'“‘„«»]|[—–]\s?\w""")
_LIST_ITEM = re.compile(r"[•▪‣·*]\s|\(?(?:\d{1,3}|[a-z])[.)]\s")

_PAGE = 400  # lines whose width is estimated together: the parts of a document may differ
_WIDTHS = range(40, 161)  # what wrapped prose can measure, in characters
_SLACK = 14  # how far a wrapped line may fall short: texts were edited after they had been wrapped
_LINES_PER_BLANK = 20  # with fewer blank lines than one in so many, they are not what parts paragraphs


class _Line(NamedTuple):
    text: str
    after_blank: bool
    indented: bool


class _Layout(NamedTuple):
    width: int
    blank_parts: bool  # do blank lines part the paragraphs?


def paragraphs(text: str) -> list[str]:
    """Cut raw text into paragraphs, each one line with single spaces.

    A blank line ends a paragraph, unless it stands in mid-sentence (a page break). A single line break is undone where
    it is a *wrap*: the next word would not have fit within the text's width, or the line plainly reads on. Headings,
    verse and list items stay paragraphs of their own. Every kind of white space, no-break spaces included, becomes one
    plain space. A line that ends with a hyphen is joined like any other, with a space: whether the hyphen belongs to
    the word is not known, and most such lines end with a dash.

    Args:
        text: a document, or a large piece of one.
    Returns:
        The paragraphs, in order; none is empty.
    Example:
        >>> paragraphs("CHAPTER I\\n\\nIt was a dark and stormy night, and nobody at all could\\nsleep; the rain fell.")
        ['CHAPTER I', 'It was a dark and stormy night, and nobody at all could sleep; the rain fell.']
    """
    lines = list(_lines(text))
    pages: list[list[str]] = []
    for start in range(0, len(lines), _PAGE):
        layout = _layout(lines[start : start + _PAGE])
        for index in range(start, min(start + _PAGE, len(lines))):
            if index and _reads_through(lines[index - 1], lines[index], layout):
                pages[-1].append(lines[index].text)
            else:
                pages.append([lines[index].text])
    return [" ".join(parts) for parts in pages]


def _lines(text: str) -> Iterator[_Line]:
    """The lines that hold anything, with single spaces."""
    after_blank = True
    for raw in _INVISIBLE.sub("", _LINE_BREAKS.sub("\n", text).replace("\u2029", "\n\n")).split("\n"):
        if words := raw.split():
            yield _Line(" ".join(words), after_blank, raw[0].isspace())
        after_blank = not words


def _layout(lines: list[_Line]) -> _Layout | None:
    """The width to which lines are wrapped, or None where they are not.

    A greedy wrap at width w between lines a and b means len(a) <= w < len(a) + 1 + len(first word of b). So each break
    votes for a range of widths, and wrapped prose agrees on one. Verse does not, and its lines begin with capitals.
    """
    breaks = [(a, b) for a, b in pairwise(lines) if not b.after_blank]
    votes = Counter(len(a.text) for a, _ in breaks)
    votes.subtract(_room(a, b) for a, b in breaks)
    totals = list(accumulate(votes[width] for width in range(_WIDTHS.stop)))
    width = max(_WIDTHS, key=totals.__getitem__)
    voters = [b.text for a, b in breaks if len(a.text) <= width < _room(a, b)]
    if len(voters) < max(5, 0.2 * len(breaks)) or sum(text[0].islower() for text in voters) < 0.3 * len(voters):
        return None
    return _Layout(width, blank_parts=(len(lines) - len(breaks)) * _LINES_PER_BLANK > len(lines))


def _room(a: _Line, b: _Line) -> int:
    """How long line `a` would be with the first word of `b`."""
    return len(a.text) + 1 + len(b.text.partition(" ")[0])


def _reads_through(a: _Line, b: _Line, layout: _Layout | None) -> bool:
    """Is the break between two lines no end of a paragraph?"""
    finished = _FINISHED.search(a.text) is not None
    goes_on = not finished and b.text[0].islower() and len(a.text) >= _WIDTHS.start
    if b.after_blank:
        return goes_on and (a.text[-1].isalpha() or a.text[-1] == ",")
    if goes_on and not _LIST_ITEM.match(b.text):
        return True
    if b.indented > a.indented or a.text.isupper() > b.text.isupper():  # a first line; a heading
        return False
    if layout is None:
        return not finished and len(a.text) >= 60
    if finished and not layout.blank_parts:
        return _room(a, b) > layout.width and not (_SPEECH_ENDS.search(a.text) and _SPEECH_STARTS.match(b.text))
    return _room(a, b) > layout.width - _SLACK and not (finished and _LIST_ITEM.match(b.text))

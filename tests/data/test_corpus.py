"""The cache: what is written once is what was encoded, whoever else writes at the same time."""

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from selfsup.data.corpus import Corpus, open_corpus
from selfsup.data.sources import Text


@dataclass
class Made(Text):
    """Documents given as lists of pieces; counts how often it is read."""

    documents: list[list[str]]
    name: str = "made up"
    reads: int = 0
    breaks_after: int | None = None

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self.documents).encode()).hexdigest()

    def _documents(self) -> Iterator[list[str]]:
        raise NotImplementedError

    def pieces(self) -> Iterator[tuple[int, str]]:
        self.reads += 1
        for number, pieces in enumerate(self.documents):
            if number == self.breaks_after:
                raise KeyboardInterrupt
            for piece in pieces:
                yield number, piece


def encode(sentences: list[str]) -> list[list[int]]:
    """A word is as many tokens of one id as the number it names: "3x5" is 5 5 5."""
    return [
        [int(token) for word in sentence.strip(".").split() for token in [word.split("x")[1]] * int(word.split("x")[0])]
        for sentence in sentences
    ]


def cached(
    folder: Path, documents=None, *, mark: str = "a", vocab_size: int = 100, language: str = "en", **made
) -> Corpus:
    text = Made([["4x7. 2x8 1x9. 3x7."], ["1x5.", "1x6."]] if documents is None else documents, **made)
    return open_corpus(
        text, encode, tokenizer_fingerprint=mark, vocab_size=vocab_size, cache_dir=folder, language=language, quiet=True
    )


def test_hand_worked(tmp_path):
    corpus = cached(tmp_path)
    assert corpus.tokens.tolist() == [7, 7, 7, 7, 8, 8, 9, 7, 7, 7, 5, 6]
    assert corpus.sentences.tolist() == [0, 4, 7, 10, 11]
    assert corpus.documents.tolist() == [0, 10]  # two pieces of one document make one document


def test_a_cache_is_written_once_and_opened_again(tmp_path):
    text = Made([["4x7. 2x8."]])

    def opened() -> Corpus:
        return open_corpus(text, encode, tokenizer_fingerprint="a", vocab_size=9, cache_dir=tmp_path, quiet=True)

    first = opened()
    second = opened()
    assert text.reads == 1
    assert first.folder == second.folder
    assert first.tokens.tolist() == second.tokens.tolist() == [7, 7, 7, 7, 8, 8]
    assert isinstance(second.tokens, np.memmap)


def test_whatever_changes_the_ids_changes_the_cache(tmp_path):
    corpora = [
        cached(tmp_path),
        cached(tmp_path, mark="b"),
        cached(tmp_path, [["4x7."]]),
        cached(tmp_path, language="de"),
    ]
    assert len({corpus.folder for corpus in corpora}) == 4


@pytest.mark.parametrize(("vocab_size", "dtype"), [(2**16, np.uint16), (2**16 + 1, np.uint32)])
def test_ids_fit_their_type(tmp_path, vocab_size, dtype):
    corpus = cached(tmp_path, [[f"1x{vocab_size - 1}."]], vocab_size=vocab_size)
    assert corpus.tokens.dtype == dtype
    assert corpus.tokens.tolist() == [vocab_size - 1]


def test_what_has_no_tokens_leaves_no_trace(tmp_path):
    corpus = cached(tmp_path, [["0x1."], ["1x7. 0x1. 1x8."], ["0x1."]])
    assert (corpus.sentences.tolist(), corpus.documents.tolist()) == ([0, 1], [0])
    with pytest.raises(ValueError, match="made up holds no words: give a text with at least a few sentences"):
        cached(tmp_path, [["0x1."]])
    assert [file.name for file in tmp_path.iterdir()] == [corpus.folder.name]


def test_an_interrupted_cache_is_not_opened(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, breaks_after=1)
    assert list(tmp_path.iterdir()) == []
    assert len(cached(tmp_path).tokens) == 12


def test_a_killed_cache_is_not_opened(tmp_path):
    """SIGKILL leaves the partial folder under another name; the next process begins anew."""
    code = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_corpus import Made, encode
from selfsup.data.corpus import open_corpus

def killed(sentences):
    if "1x5." in sentences:
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(sentences)

text = Made([["4x7. 2x8 1x9. 3x7."], ["1x5.", "1x6."]])
open_corpus(text, killed, tokenizer_fingerprint="a", vocab_size=100, cache_dir=Path(sys.argv[2]), quiet=True)
"""
    done = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)], check=False)
    assert done.returncode == -9
    left = list(tmp_path.iterdir())
    assert len(left) == 2  # so it was killed half-way: the partial folder, and its lock that nobody holds
    corpus = cached(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [corpus.folder.name]  # what was left is swept
    assert corpus.tokens.tolist() == [7, 7, 7, 7, 8, 8, 9, 7, 7, 7, 5, 6]


def test_whoever_is_slower_takes_the_cache_that_is_there(tmp_path):
    """Another process finishes the same cache while this one still writes."""

    def raced(sentences: list[str]) -> list[list[int]]:
        if not list(tmp_path.glob("corpus-*")):
            cached(tmp_path / "elsewhere").folder.rename(tmp_path / cached(tmp_path / "elsewhere2").folder.name)
        return encode(sentences)

    text = Made([["4x7. 2x8 1x9. 3x7."], ["1x5.", "1x6."]])
    corpus = open_corpus(text, raced, tokenizer_fingerprint="a", vocab_size=100, cache_dir=tmp_path, quiet=True)
    assert corpus.tokens.tolist() == [7, 7, 7, 7, 8, 8, 9, 7, 7, 7, 5, 6]
    assert not list(tmp_path.glob(".*"))


class TestSplit:
    def corpus(self, num_documents: int) -> Corpus:
        rng = np.random.default_rng(num_documents)
        sizes = rng.integers(1, 9, (num_documents, 5))
        starts = (np.cumsum(sizes) - sizes.ravel()).reshape(sizes.shape)
        tokens = rng.integers(0, 50, sizes.sum()).astype(np.uint16)
        return Corpus(Path(), "made up", 50, tokens, starts.ravel(), starts[:, 0])

    @pytest.mark.parametrize("num_documents", [1, 5, 19, 20, 21, 25, 26, 60, 1000])
    @pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
    def test_covers_all_without_overlap(self, num_documents, share):
        corpus = self.corpus(num_documents)
        if num_documents < 20 and share < 1 / (5 * num_documents):
            pytest.skip("too short to hold out so little")
        training, held = corpus.split(share)
        edges = sorted([*training, *held])
        assert edges[0][0] == 0
        assert edges[-1][1] == len(corpus.tokens)
        assert all(left[1] == right[0] for left, right in pairwise(edges))
        assert all(start < stop for start, stop in edges)
        assert training
        assert held

    @pytest.mark.parametrize("num_documents", [20, 26, 60, 1000])
    def test_holds_out_whole_documents(self, num_documents):
        corpus = self.corpus(num_documents)
        _, held = corpus.split(0.1)
        edges = [*corpus.documents.tolist(), len(corpus.tokens)]
        assert all(edges[edges.index(start) + 1] == stop for start, stop in held)
        assert len(held) == pytest.approx(0.1 * num_documents, abs=1)
        number = np.searchsorted(corpus.documents, [start for start, _ in held])
        assert len(set(np.diff(number))) == 1  # evenly spread

    @pytest.mark.parametrize("share", [0.3, 0.4, 0.6, 0.75, 0.9])
    def test_large_shares_are_what_was_asked_for(self, share):
        corpus = self.corpus(200)
        training, held = corpus.split(share)
        number = sum(int(((corpus.documents >= a) & (corpus.documents < b)).sum()) for a, b in held)
        assert number == pytest.approx(200 * share, abs=1)
        assert training

    def test_hand_worked_share(self):
        corpus = self.corpus(50)
        _, held = corpus.split(0.05)  # one of twenty, from the middle of each twenty
        assert [start for start, _ in held] == [corpus.documents[10], corpus.documents[30]]

    def test_something_is_left_to_train_on(self):
        with pytest.raises(ValueError, match="too little to hold out 99%"):
            self.corpus(20).split(0.99)

    def test_few_documents_give_their_last_sentences(self):
        corpus = self.corpus(10)
        training, held = corpus.split(0.2)
        assert held == [(training[0][1], len(corpus.tokens))]
        assert held[0][0] in corpus.sentences
        assert len(corpus.tokens) * 0.2 - 9 <= held[0][1] - held[0][0] <= len(corpus.tokens) * 0.2

    @pytest.mark.parametrize("share", [0, 1, -0.1, 2])
    def test_a_share_is_between_0_and_1(self, share):
        with pytest.raises(ValueError, match=f"must lie between 0 and 1, but {share} came"):
            self.corpus(30).split(share)

    def test_a_single_sentence_cannot_be_split(self):
        corpus = Corpus(Path(), "a haiku", 9, np.zeros(5, np.uint16), np.array([0]), np.array([0]))
        with pytest.raises(
            ValueError, match="a haiku has 1 documents, 1 sentences and 5 tokens: too little to hold out 2%"
        ):
            corpus.split(0.02)


def test_counts_are_those_of_numpy(monkeypatch):
    monkeypatch.setattr("selfsup.data.corpus._READ_TOKENS", 100)  # read in several parts
    corpus = TestSplit().corpus(100)
    training, held = corpus.split(0.1)
    np.testing.assert_array_equal(corpus.counts([(0, len(corpus.tokens))]), np.bincount(corpus.tokens, minlength=50))
    for regions in (training, held):
        tokens = np.concatenate([corpus.tokens[start:stop] for start, stop in regions])
        np.testing.assert_array_equal(corpus.counts(regions), np.bincount(tokens, minlength=50))


MEASURE = """
import re, sys
from pathlib import Path
from transformers import AutoTokenizer
from selfsup.data.corpus import open_corpus
from selfsup.data.plan import Plan, Stage
from selfsup.data.sources import find_text
from selfsup.tokenization.encode import batch_encoder, fingerprint

def memory() -> float:
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

most = 0.0
tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
encode = batch_encoder(tokenizer)

def watched(sentences):
    global most
    most = max(most, memory())
    return encode(sentences)

corpus = open_corpus(find_text(sys.argv[1]), watched, tokenizer_fingerprint=fingerprint(tokenizer),
                     vocab_size=len(tokenizer), cache_dir=Path(sys.argv[3]), quiet=True)
plan = Plan(corpus, [(0, len(corpus.tokens))], stages=[Stage(128, 64)])
corpus.counts(plan.regions)
for step in range(0, 2000, 5):
    for row in plan.rows(step):
        for draw in row:
            for start, stop in draw.segments:
                corpus.tokens[start:stop].astype("int64")
    most = max(most, memory())
print(most, len(corpus.tokens), plan.num_shelves)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="RssAnon is Linux's")
def test_memory_does_not_grow_with_the_text(tmp_path, tiny_tokenizer):
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(20_000)]
    paragraphs = [
        " ".join(
            " ".join(rng.choices(words, k=rng.randint(4, 25))).capitalize() + "." for _ in range(rng.randint(1, 9))
        )
        for _ in range(10_000)
    ]
    small = "\n\n".join(paragraphs).encode()
    small = (small * (1 + 10_000_000 // len(small)))[:10_000_000]
    most = {}
    for name, copies in (("small", 1), ("large", int(os.environ.get("SELFSUP_TEST_COPIES", "30")))):
        file = tmp_path / f"{name}.txt"
        with file.open("wb") as out:
            for _ in range(copies):
                out.write(small + b"\n\n")
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(file), tiny_tokenizer.name_or_path, str(tmp_path / name)],
            capture_output=True, text=True, check=True, env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        )  # fmt: skip
        most[name], tokens, shelves = map(float, done.stdout.split())
        print(f"{file.stat().st_size / 1e6:.0f} MB, {tokens:,.0f} tokens, {shelves:.0f} shelves: {most[name]:.0f} MiB")
        file.unlink()
    assert most["large"] < 1.1 * most["small"]

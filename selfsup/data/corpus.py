"""The cache: a text as flat token ids on disk, with the starts of its sentences and documents."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from selfsup.data.cleaning import paragraphs
from selfsup.data.sentences import split_sentences
from selfsup.data.sources import Text

FORMAT = 2  # raise it when cleaning, sentences or the files change: old caches are then made anew
_READ_TOKENS = 1_000_000

Region = tuple[int, int]


@dataclass(frozen=True)
class Corpus:
    """Token ids of a whole text, memory-mapped: reading costs no memory of one's own.

    It knows nothing of objectives, block sizes and batches; `Plan` does.

    Args:
        folder: where the files lie.
        name: what the text was called by whoever asked for it.
        vocab_size: number of ids that can occur.
        tokens: (tokens) uint16 or uint32.
        sentences: (sentences) int64, the place in `tokens` where each sentence starts.
        documents: (documents) int64, likewise.
    """

    folder: Path
    name: str
    vocab_size: int
    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray

    def counts(self, regions: Sequence[Region]) -> np.ndarray:
        """How often each piece occurs.

        Args:
            regions: ranges of tokens to look at.
        Returns:
            (vocab) int64.
        """
        counts = np.zeros(self.vocab_size, dtype=np.int64)
        for start, stop in regions:
            for place in range(start, stop, _READ_TOKENS):
                counts += np.bincount(self.tokens[place : min(place + _READ_TOKENS, stop)], minlength=self.vocab_size)
        return counts

    def split(self, share: float) -> tuple[list[Region], list[Region]]:
        """Hold out whole documents, evenly spread; of fewer than 20 documents, the last sentences instead.

        Args:
            share: share of the documents, or of the tokens, to hold out, above 0 and below 1.
        Returns:
            the ranges of tokens to train on, and those held out.
        Raises:
            ValueError: `share` is out of range, or the text is too short to be split.
        """
        if not 0 < share < 1:
            raise ValueError(f"the share to hold out must lie between 0 and 1, but {share} came")
        total = len(self.tokens)
        if len(self.documents) >= 20:
            every = min(max(2, round(1 / share)), len(self.documents))
            edges = np.append(self.documents, total)
            held = [(int(edges[i]), int(edges[i + 1])) for i in range(every // 2, len(self.documents), every)]
        else:
            cut = int(np.searchsorted(self.sentences, total * (1 - share)))
            held = [(int(self.sentences[cut]), total)] if 0 < cut < len(self.sentences) else []
        if not held:
            raise ValueError(
                f"{self.name} has {len(self.documents)} documents, {len(self.sentences)} sentences and {total} tokens: "
                f"too little to hold out {share:.0%} for validation; give more text, or a validation text of its own"
            )
        stops = [0, *(stop for _, stop in held)]
        starts = [*(start for start, _ in held), total]
        return [(a, b) for a, b in zip(stops, starts, strict=True) if a < b], held


def open_corpus(
    text: Text,
    encode: Callable[[list[str]], Sequence[Sequence[int]]],
    *,
    tokenizer_fingerprint: str,
    vocab_size: int,
    cache_dir: Path,
    language: str = "en",
    quiet: bool = False,
) -> Corpus:
    """The cache of a text under a tokenizer; made at the first call, opened at later ones.

    Args:
        text: where the documents come from.
        encode: sentences -> token ids, without special tokens.
        tokenizer_fingerprint: changes when `encode` does.
        vocab_size: number of ids that `encode` can give; decides between uint16 and uint32.
        cache_dir: folder of all caches; each gets a folder of its own in it.
        language: rules of the sentence splitter.
        quiet: show no progress bar.
    Returns:
        the open corpus.
    Raises:
        ValueError: the text has no words.
    """
    key = hashlib.blake2b(
        json.dumps([FORMAT, text.fingerprint, tokenizer_fingerprint, language]).encode(), digest_size=8
    ).hexdigest()
    folder = cache_dir / f"corpus-{key}"
    if not (folder / "meta.json").exists():
        partial = cache_dir / f".{folder.name}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            _write(text, encode, vocab_size, language, partial, quiet=quiet)
            partial.rename(folder)
        except OSError:
            if not (folder / "meta.json").exists():  # else another process was faster, with the same content
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    meta = json.loads((folder / "meta.json").read_text())
    arrays = (
        np.memmap(folder / f"{part}.bin", dtype=meta["dtypes"][part], mode="r")
        for part in ("tokens", "sentences", "documents")
    )
    return Corpus(folder, text.name, vocab_size, *arrays)


def _write(text: Text, encode, vocab_size: int, language: str, folder: Path, *, quiet: bool) -> None:
    """Stream a text into the three files of a cache; memory does not grow with the text."""
    dtypes = {"tokens": "uint16" if vocab_size <= 2**16 else "uint32", "sentences": "int64", "documents": "int64"}
    total, document = 0, -1
    bar = tqdm(desc=f"encoding {text.name}", unit="tok", unit_scale=True, disable=quiet, leave=False)
    with ExitStack() as stack:
        stack.enter_context(bar)
        files = {part: stack.enter_context((folder / f"{part}.bin").open("wb")) for part in dtypes}
        for number, sentences in _sentences(text, language):
            pieces = encode(sentences)
            sizes = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
            sizes = sizes[sizes > 0]
            if not len(sizes):
                continue
            ids = np.fromiter(chain.from_iterable(pieces), dtype=dtypes["tokens"], count=int(sizes.sum()))
            if number != document:
                document = number
                files["documents"].write(np.int64(total).tobytes())
            files["sentences"].write((total + np.cumsum(sizes) - sizes).tobytes())
            files["tokens"].write(ids.tobytes())
            total += len(ids)
            bar.update(len(ids))
    if not total:
        raise ValueError(f"{text.name} holds no words: give a text with at least a few sentences")
    (folder / "meta.json").write_text(json.dumps({"name": text.name, "tokens": total, "dtypes": dtypes}))


def _sentences(text: Text, language: str) -> Iterator[tuple[int, list[str]]]:
    """(document, its next sentences), piece by piece of the text."""
    for number, piece in text.pieces():
        sentences = [s for paragraph in paragraphs(piece) for s in split_sentences(paragraph, language)]
        if sentences:
            yield number, sentences

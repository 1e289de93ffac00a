"""The cache: a text as flat token ids on disk, with the starts of its sentences and documents."""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from selfsup.data.cleaning import paragraphs
from selfsup.data.lock import hold
from selfsup.data.sentences import split_sentences
from selfsup.data.sources import Text

FORMAT = 2  # raise it when cleaning, sentences or the files change: old caches are then made anew
_READ_TOKENS = 1_000_000
_PARTS = ("tokens", "sentences", "documents")

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
        origin: fingerprints of "text" and "tokenizer", and the "language": what the cache was made of.
    """

    folder: Path
    name: str
    vocab_size: int
    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray
    origin: Mapping[str, str] = field(default_factory=dict)

    def example(self, draw: Any) -> dict[str, Any]:
        """What a draw of a plan asks for, see `Objective.encode`."""
        segments = [self.tokens[start:stop].astype("int64") for start, stop in draw.segments]
        return {"segments": segments, "stranger": draw.stranger, **self.surroundings(*draw.segments[0])}

    def surroundings(self, start: int, stop: int) -> dict[str, Any]:
        """What stands around a range of tokens in its document.

        Args:
            start: of the range, which lies in one document.
            stop: likewise.
        Returns:
            `before`, the id before it, None where the document begins; and `ends`: does the document end with it?
        """
        number = int(np.searchsorted(self.documents, start, side="right"))
        end = self.documents[number] if number < len(self.documents) else len(self.tokens)
        begins = start == self.documents[number - 1]
        return {"before": None if begins else int(self.tokens[start - 1]), "ends": stop == int(end)}

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
        total, number = len(self.tokens), len(self.documents)
        if number >= 20:
            share, edges = max(share, 1 / number), np.append(self.documents, total)
            chosen = [int((k + 0.5) / share + 1e-9) for k in range(number)]  # the middle of each 1 / share documents
            held = [(int(edges[i]), int(edges[i + 1])) for i in chosen if i < number]
            held = held if len(held) < number else []
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
    raw: bool = False,
    spaced: bool = False,
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
        raw: take the text as it stands; a line stands for a sentence, its break included.
        spaced: put a space before every sentence but the first of a document, for an `encode` that `needs_spaces`.
        quiet: show no progress bar.
    Returns:
        the open corpus.
    Raises:
        ValueError: the text has no words.
        OSError: the cache cannot be written.
    """
    key = hashlib.blake2b(
        json.dumps(
            [FORMAT, text.fingerprint, tokenizer_fingerprint, "raw" if raw else language, *["spaced"] * spaced]
        ).encode(),
        digest_size=8,
    ).hexdigest()
    folder = cache_dir / f"corpus-{key}"
    meta = _whole(folder)
    if meta is None:
        _make(text, encode, vocab_size, None if raw else language, folder, spaced=spaced, quiet=quiet)
        meta = _whole(folder)
        assert meta
    tokens, sentences, documents = (
        np.memmap(folder / f"{part}.bin", dtype=meta["dtypes"][part], mode="r") for part in _PARTS
    )
    origin = {"text": text.fingerprint, "tokenizer": tokenizer_fingerprint, "language": "raw" if raw else language}
    return Corpus(folder, text.name, vocab_size, tokens, sentences, documents, origin)


def _whole(folder: Path) -> dict[str, Any] | None:
    """What a cache says of itself; None if its files are not what it says, or there is none."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        sizes = {part: (folder / f"{part}.bin").stat().st_size for part in _PARTS}
        return meta if meta["sizes"] == sizes else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _make(
    text: Text, encode, vocab_size: int, language: str | None, folder: Path, *, spaced: bool, quiet: bool
) -> None:
    """Write a cache beside and rename it: it is whole, or not there."""
    cache_dir = folder.parent
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        _sweep(cache_dir)
        partial = Path(tempfile.mkdtemp(dir=cache_dir, prefix=f".{folder.name}."))  # not by pid: containers share those
        with ExitStack() as stack:
            sign = partial.with_name(f"{partial.name}.lock")
            with suppress(OSError):  # where nothing can be locked, nothing is swept either
                stack.enter_context(hold(sign))
            stack.callback(sign.unlink, missing_ok=True)
            stack.callback(shutil.rmtree, partial, ignore_errors=True)
            if folder.exists() and _whole(folder) is None:
                with suppress(OSError):  # whoever reads it goes on reading
                    folder.rename(partial)
                    print(f"the cache {folder} is cut off or of an earlier version: it is made anew")
                    shutil.rmtree(partial)
                    partial.mkdir()
            _write(text, encode, vocab_size, language, partial, spaced=spaced, quiet=quiet)
            partial.rename(folder)
    except OSError as error:
        if _whole(folder) is None:  # else another process was faster, with the same content
            raise OSError(
                f"the cache of {text.name} could not be written to {cache_dir} ({error.strerror or error}): free some "
                "disk, or choose another folder with --data.cache_dir or SELFSUP_CACHE"
            ) from error


def _sweep(cache_dir: Path) -> None:
    """Delete what killed processes left half-written: the locks of those that still write are held."""
    for sign in cache_dir.glob(".corpus-*.lock"):
        with suppress(OSError), hold(sign):
            shutil.rmtree(sign.with_name(sign.name.removesuffix(".lock")), ignore_errors=True)
            sign.unlink(missing_ok=True)


def _write(
    text: Text, encode, vocab_size: int, language: str | None, folder: Path, *, spaced: bool, quiet: bool
) -> None:
    """Stream a text into the three files of a cache; memory does not grow with the text."""
    dtypes = {"tokens": "uint16" if vocab_size <= 2**16 else "uint32", "sentences": "int64", "documents": "int64"}
    total, document = 0, -1
    bar = tqdm(desc=f"encoding {text.name}", unit="tok", unit_scale=True, disable=quiet, leave=False)
    with ExitStack() as stack:
        stack.enter_context(bar)
        files = {part: stack.enter_context((folder / f"{part}.bin").open("wb")) for part in dtypes}
        for number, sentences in _sentences(text, language):
            if spaced:
                opens = number != document  # a later piece of a document goes on with it
                sentences = [s if opens and not place else f" {s}" for place, s in enumerate(sentences)]
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
    written = {part: (folder / f"{part}.bin").stat().st_size for part in _PARTS}
    meta = {"name": text.name, "tokens": total, "dtypes": dtypes, "sizes": written}
    (folder / "meta.json").write_text(json.dumps(meta))


def _sentences(text: Text, language: str | None) -> Iterator[tuple[int, list[str]]]:
    """(document, its next sentences), piece by piece of the text; without a language lines as they stand."""
    for number, piece in text.pieces():
        if language is None:
            yield number, [line for line in re.split(r"(?<=\n)", piece) if line]
            continue
        sentences = [s for paragraph in paragraphs(piece) for s in split_sentences(paragraph, language)]
        if sentences:
            yield number, sentences

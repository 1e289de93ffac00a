"""Rows of tables: of parquet, JSON lines and CSV files, here or in a mirror of the Hub, and of the Hub itself."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any, NamedTuple

from selfsup.data.files import explained, json_lines, lines_of
from selfsup.data.places import (
    TABLES,
    Source,
    ending,
    find_files,
    hub_builder,
    hub_explained,
    hub_splits,
    known_split,
    listed,
)

Row = dict[str, Any]


class Place(NamedTuple):
    """Where a row stands; rows and lines count from 1.

    Example:
        >>> str(Place("line", 3, "reviews.csv"))
        'line 3 of reviews.csv'
    """

    unit: str
    number: int
    table: str

    def __str__(self) -> str:
        return f"{self.unit} {self.number} of {self.table}"


@dataclass(frozen=True)
class FileRows:
    """The rows of files, read anew at each call."""

    name: str
    files: tuple[Path, ...]

    @cached_property
    def fingerprint(self) -> str:
        """Digest of what the files hold, in order; where they are and what they are called does not count."""
        digest = blake2b(digest_size=16)
        for path in self.files:
            with explained(path), path.open("rb") as file:
                digest.update(f"{ending(path, TABLES)}\n".encode())
                digest.update(file_digest(file, lambda: blake2b(digest_size=16)).digest())
        return digest.hexdigest()

    @property
    def origin(self) -> tuple[str, ...]:
        """What was read; no part of it may be learnt from and scored on."""
        return tuple(str(path.resolve()) for path in self.files)

    @property
    def is_text(self) -> bool:
        """Are all values strings, as in CSV?"""
        return ending(self.files[0], TABLES) in (".csv", ".tsv")

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns; of JSON lines, those of the first row."""
        match ending(self.files[0], TABLES):
            case ".parquet":
                return list(_schema(self.files[0]).names)
            case ".csv" | ".tsv":
                return _header(self.files[0], _csv_rows(self.files[0]))
            case _:
                return list(next(json_lines(self.files[0]), (0, {}))[1])

    @property
    def num_rows(self) -> int | None:
        """How many there are, where that is known without reading them."""
        if ending(self.files[0], TABLES) != ".parquet":
            return None
        import pyarrow.parquet as pq

        return sum(pq.read_metadata(path).num_rows for path in self.files)

    def class_names(self, column: str) -> tuple[str, ...]:
        """Names of the numbers in a column (of classes, or lists of them); none where the file does not say."""
        if ending(self.files[0], TABLES) != ".parquet":
            return ()
        schema = _schema(self.files[0])
        if b"huggingface" not in (schema.metadata or {}):
            return ()
        import datasets  # a second of imports

        return _names(datasets.Features.from_arrow_schema(schema)[column])

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[Place, Row]]:
        """All rows in order; of those that a file of columns has, only the wanted columns are read."""
        for path in self.files:
            match ending(path, TABLES):
                case ".parquet":
                    numbered, unit = enumerate(_parquet_rows(path, columns), 1), "row"
                case ".csv" | ".tsv":
                    numbered, unit = _dicts(path), "line"  # type: ignore[assignment]
                case _:
                    numbered, unit = json_lines(path), "line"  # type: ignore[assignment]
            for number, row in numbered:
                yield Place(unit, number, path.name if len(self.files) == 1 else str(path)), row


@dataclass(frozen=True)
class HubRows:
    """The rows of a data set of the Hub, streamed."""

    name: str
    source: Source
    builder: Any  # datasets.DatasetBuilder
    is_text: bool = False
    num_rows: int | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the source and the commit that the Hub gave."""
        return blake2b(f"{self.source} {self.builder.hash}".encode(), digest_size=16).hexdigest()

    @property
    def origin(self) -> tuple[str, ...]:
        """What was read; no part of it may be learnt from and scored on."""
        return (f"{self.name}, {self.source.split}",)

    @cached_property
    def _stream(self) -> Any:
        with hub_explained(self.name):
            return self.builder.as_streaming_dataset(split=self.source.split)

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(getattr(self._stream, "features", None) or next(self._rows(), {}))

    def class_names(self, column: str) -> tuple[str, ...]:
        """Names of the numbers in a column (of classes, or lists of them); none where the card does not say."""
        return _names((getattr(self._stream, "features", None) or {}).get(column))

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[Place, Row]]:
        """All rows in order."""
        for number, row in enumerate(self._rows(), 1):
            yield Place("row", number, f"{self.name}, {self.source.split}"), row

    def _rows(self) -> Iterator[Row]:
        with hub_explained(self.name):
            yield from self._stream


def find_rows(name: str, *, split: str, data_root: Path | None = None) -> FileRows | HubRows:
    """Find the table that a name stands for.

    In this order: an existing file or folder; a mirror `<data_root>/<id>/<config>/<split>.parquet`; a data set on the
    Hub. Of a folder with a file called train, validation or test, each file is a split.

    Args:
        name: a path, or `namespace/name[/config][@revision]`.
        split: the part wanted, where there are parts.
        data_root: folder that mirrors the Hub; by default the environment variable SELFSUP_DATA_ROOT.
    Raises:
        ValueError: nothing is found, or not the split.
    """
    if files := find_files(name, split, data_root, formats=TABLES):
        return FileRows(name, files)
    builder = hub_builder(Source.parse(name, split), data_root)
    found = known_split(split, hub_splits(builder), f"{name} on the Hub")
    return HubRows(name, Source.parse(name, found), builder)


def _names(feature: Any) -> tuple[str, ...]:
    """The names of a ClassLabel, or of the ClassLabel in a list."""
    if isinstance(feature, list | tuple):
        return _names(feature[0]) if feature else ()
    if getattr(feature, "names", None):
        return tuple(feature.names)
    inner = getattr(feature, "feature", None)
    return _names(inner) if inner is not None else ()


def _schema(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} cannot be read as parquet: {str(error).partition(chr(10))[0]}") from error


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            wanted = [name for name in file.schema_arrow.names if name in columns]
            for batch in file.iter_batches(batch_size=1024, columns=wanted, use_threads=False):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as parquet: {str(error).partition(chr(10))[0]}") from error


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Cells of each row with the number of its first line; blank lines are skipped."""
    first = next(lines_of(path))
    mark = "\t" if ending(path, TABLES) == ".tsv" or ("\t" in first and "," not in first) else ","
    if mark == "," and ";" in first and "," not in first:  # as spreadsheets write it where the comma is decimal
        mark = ";"
    reader = csv.reader((line + "\n" for line in lines_of(path)), delimiter=mark, strict=True)
    start = 1
    try:
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as CSV from line {start} on: {error}; check its quotes") from error


def _header(path: Path, rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    names = [name.strip() for name in next(rows, (1, []))[1]]
    if not names or "" in names or len(set(names)) < len(names):
        raise ValueError(
            f"The first line of {path} was to name the columns, each by another name, but {listed(names)} came"
        )
    return names


def _dicts(path: Path) -> Iterator[tuple[int, Row]]:
    for number, row in csv_rows(path):
        if isinstance(row, ValueError):
            raise row
        yield number, row


def csv_rows(path: Path) -> Iterator[tuple[int, Row | ValueError]]:
    """The rows of a CSV file with the numbers of their first lines; one with too few or too many cells as its error.

    Raises:
        ValueError: the first line names no columns, or quotes do not close.
    """
    cells_of_rows = _csv_rows(path)
    names = _header(path, cells_of_rows)
    for number, cells in cells_of_rows:
        if len(cells) == len(names):
            yield number, dict(zip(names, cells, strict=True))
            continue
        yield (
            number,
            ValueError(
                f"line {number} of {path} has {len(cells)} cells, but the first line names {len(names)} columns: "
                "put a cell that holds the separator into double quotes"
            ),
        )

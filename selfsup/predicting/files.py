"""From rows of a file to predictions in another, in order and in memory that does not grow."""

import base64
import gzip
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from tqdm import tqdm
from transformers import PreTrainedModel

from selfsup.data.files import LONE_SURROGATE, STDIN, called
from selfsup.data.inputs import Form, count_rows, kind_of, read_rows
from selfsup.data.labelled import choose_columns
from selfsup.data.places import listed
from selfsup.data.roles import reader
from selfsup.data.tables import Place, Row
from selfsup.objectives.objective import Example
from selfsup.predicting.assess import assess
from selfsup.predicting.heads import Head

CHUNK = 512  # rows whose examples are sorted by length together


@dataclass
class Given:
    """A row, and what is read of it.

    Args:
        row: as it came; empty where nothing could be made of it.
        example: by role; None where the row is bad.
        error: what is wrong with a bad one, and where it stands.
    """

    row: Row
    example: Example | None = None
    error: str | None = None


@dataclass
class Tally:
    """What came of a file.

    Args:
        rows: that were read.
        bad: those of them that nothing could be said of.
        first: what is wrong with the first of these.
    """

    rows: int = 0
    bad: int = 0
    first: str = ""


def predict_file(
    model: PreTrainedModel,
    head: Head,
    source: Path,
    output: Path,
    *,
    columns: Mapping[str, str] | None = None,
    form: Form = "txt",
    skip_bad_rows: bool = False,
    chunk: int = CHUNK,
    batch_tokens: int | None = None,
    accelerator: Accelerator,
) -> Tally:
    """Predict for every row of a file, and write the rows with their predictions as JSON lines, in order.

    Args:
        model: with the head.
        head: bound to it.
        source: of `find_input`.
        output: a file (packed where it ends in .gz), written aside and renamed when it is whole; or "-".
        columns: of roles that are not called as their columns.
        form: of the standard input.
        skip_bad_rows: write `error` for a bad row and go on, instead of stopping.
        chunk: rows that are held at once; results do not depend on it.
        batch_tokens: of a forward pass, padding included; as the head wants it, if None.
        accelerator: of the one process.
    Raises:
        ValueError: the input cannot be read or is empty, a column is missing, a row is bad, or the output is the input.
    """
    if chunk < 1:
        raise ValueError(f"a chunk of at least 1 row is wanted, but {chunk} came")
    size = batch_tokens or head.batch_tokens
    given = admitted(read_rows(source, form), head, columns or {}, kind_of(source, form), source)
    tally = Tally()
    with writing(output, source) as write, tqdm(total=count_rows(source), unit=" rows", desc="predicting") as bar:
        while rows := list(islice(given, chunk)):
            for one in rows:
                tally.rows, tally.bad = tally.rows + 1, tally.bad + (one.error is not None)
                tally.first = tally.first or one.error or ""
                if one.error and not skip_bad_rows:
                    raise ValueError(
                        f"{one.error}; correct this row, or write errors in place of such predictions and go on, with "
                        "--skip_bad_rows true"
                    )
            for row in predicted(rows, model, head, batch_tokens=size, accelerator=accelerator):
                write(row)
            bar.update(len(rows))
        if not tally.rows:
            raise ValueError(f"Rows to predict from were wanted, but {called(source)} has none")
    return tally


def admitted(
    rows: Iterable[tuple[Place, Row | ValueError]], head: Head, columns: Mapping[str, str], kind: str, source: Path
) -> Iterator[Given]:
    """Rows as examples, and bad ones as what is wrong with them; the first good row tells the columns.

    Args:
        rows: with their places.
        head: whose roles are read.
        columns: of roles that are not called as their columns.
        kind: ending of the file.
        source: for sentences.
    Raises:
        ValueError: a column is missing.
    """
    readers: dict[str, Callable[[Row], Any]] = {}
    for place, row in rows:
        if isinstance(row, ValueError):
            yield Given({}, error=str(row).rstrip("."))
            continue
        readers = readers or _readers(head, list(row), columns, kind, source)
        if taken := [name for name in (*head.gives, "error") if name in row and name not in head.reads[0][0]]:
            raise ValueError(f"{place} has a field {taken[0]!r}, and so have predictions: give its own another name")
        try:
            if late := [role for _, roles in head.reads for role in roles if role in row and role not in readers]:
                raise ValueError(f"the first row had no {late[0]!r}, but this one has: give it to all rows or to none")
            read = {role: of(row) for role, of in readers.items()}
            yield Given(row, head.admit({role: value for role, value in read.items() if value is not None}))
        except ValueError as error:
            yield Given(row, error=f"{place}: {error}")


def _readers(
    head: Head, there: list[str], columns: Mapping[str, str], kind: str, source: Path
) -> dict[str, Callable[[Row], Any]]:
    """For each role, what reads it from a row."""
    columns = {role: alias for role, alias in head.aliases.items() if alias in there and role not in there} | dict(
        columns
    )
    is_text = kind in (".csv", ".tsv")
    needed, optional = head.asked([] if is_text and "text" in {*there, *columns} else there, list(columns))
    if kind.startswith(".txt") and "text" not in [columns.get(role, role) for role in needed]:
        raise ValueError(
            f"Rows with {listed(needed)} were wanted, but {called(source)} holds lines of text: give JSON lines or "
            "parquet"
        )
    chosen = choose_columns(called(source), there, columns, needed, optional, is_text=is_text, flag="--columns")
    return {
        role: _reads(reader(role, column, form=head.picture_form), column, role in needed)
        for role, column in chosen.items()
    }


def _reads(read: Callable[[Any, bool], Any], column: str, needed: bool) -> Callable[[Row], Any]:
    return lambda row: read(row.get(column), needed)


def predicted(
    rows: list[Given], model: PreTrainedModel, head: Head, *, batch_tokens: int, accelerator: Accelerator
) -> Iterator[Row]:
    """Rows as they came, each with what the head says of it, or its error."""
    examples = [one.example for one in rows if one.example is not None]
    found = assess(model, head, examples, accelerator=accelerator, batch_tokens=batch_tokens) if examples else None
    conclusions = iter(found.conclusions if found else [])
    for one in rows:
        yield head.shown(one.row) | ({"error": one.error} if one.example is None else next(conclusions))


@contextmanager
def writing(output: Path, source: Path) -> Iterator[Callable[[Row], None]]:
    """What writes rows as JSON lines into a file that is there only when it is whole.

    Args:
        output: the file; or "-", for standard output.
        source: must be another one.
    """
    if output == STDIN:
        # Who reads the output may want no more of it.
        with suppress(BrokenPipeError), open(sys.stdout.fileno(), "w", encoding="utf-8", closefd=False) as file:
            yield lambda row: print(json_line(row), file=file)
        return
    output = output.expanduser()
    if output.is_dir():
        raise ValueError(f"A file to write was wanted, but {output} is a folder: name a file in it")
    if output.exists() and source != STDIN and output.samefile(source):
        raise ValueError(f"{output} is the input, which must not be overwritten: give --output another name")
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with (
            gzip.open(aside, "wt", encoding="utf-8")
            if output.suffix == ".gz"
            else aside.open("w", encoding="utf-8") as file
        ):
            yield lambda row: print(json_line(row), file=file)
        os.replace(aside, output)
    finally:
        aside.unlink(missing_ok=True)


def json_line(row: Row) -> str:
    """A row as JSON that everybody reads: dates as text, bytes in base 64, and null where there is no number.

    Example:
        >>> json_line({"text": "né", "weight": float("nan")})
        '{"text": "né", "weight": null}'
    """
    try:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False, default=_as_text)
    except ValueError:
        line = json.dumps(_finite(row), ensure_ascii=False, default=_as_text)
    # Half a character cannot be written, but it can be spelt.
    return json.dumps(json.loads(line)) if LONE_SURROGATE.search(line) else line


def _as_text(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _finite(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
    return value

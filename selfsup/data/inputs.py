"""Rows to predict from, one by one: lines of text, JSON lines, CSV, parquet, pictures; prompts; none is kept."""

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Literal

from selfsup.data.files import STDIN, called, explained, json_rows, lines_of, refuse_halves
from selfsup.data.image_folders import PICTURES, pictures_of
from selfsup.data.places import TABLES, ending, find_files, listed
from selfsup.data.tables import FileRows, Place, Row, csv_rows

INPUTS = (".txt", ".txt.gz", *TABLES)
Form = Literal["txt", "jsonl"]  # of what comes on the standard input


def find_input(name: str) -> Path:
    """The file of a name, or the folder of pictures; `STDIN` for "-".

    Raises:
        ValueError: there is no such file, or nothing of this kind can be read.
    """
    if name == str(STDIN):
        return STDIN
    path = Path(name).expanduser()
    if path.is_dir():
        if not pictures_of(path):
            raise ValueError(
                f"One {listed(INPUTS)} file or a folder of pictures was wanted, but {path} is a folder without any: "
                "name a file in it"
            )
        return path
    if path.suffix.lower() in PICTURES and path.is_file():
        return path
    if not name or not path.exists():
        raise ValueError(
            f"There is no file {path if name else repr(name)}: check the path, or say - for standard input"
        )
    return find_files(name, "train", formats=INPUTS)[0]


def read_rows(path: Path, form: Form = "txt") -> Iterator[tuple[Place, Row | ValueError]]:
    """The rows of a file in order, each with its place; what is no row comes as the error, and reading goes on.

    A line of text is the row {"text": line}; empty ones too, so that lines can be counted.

    Args:
        path: of `find_input`.
        form: of the standard input.
    Raises:
        ValueError: the file cannot be read on: it is binary, not UTF-8, cut off, or its quotes do not close.
    """
    match kind_of(path, form):
        case ".parquet":
            table = FileRows(str(path), (path,))
            yield from table.rows(table.columns)
            return
        case ".csv" | ".tsv":
            numbered = csv_rows(path)
        case ".txt" | ".txt.gz":
            numbered = _text_rows(path)
        case "pictures":
            for number, picture in enumerate(pictures_of(path) if path.is_dir() else [path], 1):
                yield Place("picture", number, str(picture)), {"image": str(picture)}
            return
        case _:
            numbered = json_rows(path)
    table_name = called(path) if path == STDIN else path.name
    for number, row in numbered:
        yield Place("line", number, table_name), row


def kind_of(path: Path, form: Form = "txt") -> str:
    """The ending of a file, or what it would be; "pictures" of a picture or a folder of them."""
    if path.is_dir() or path.suffix.lower() in PICTURES:
        return "pictures"
    return f".{form}" if path == STDIN else ending(path, INPUTS) or ""


def count_rows(path: Path) -> int | None:
    """How many rows there are, nearly, where that is known without reading them: of parquet, and of plain lines."""
    match kind_of(path):
        case "pictures":
            return len(pictures_of(path)) if path.is_dir() else 1
        case ".parquet":
            import pyarrow.parquet as pq

            try:
                return pq.read_metadata(path).num_rows
            except Exception:  # whatever is wrong with it: reading it says so
                return None
        case ".txt" | ".jsonl" if path != STDIN:
            with explained(path), path.open("rb") as file:
                return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    return None


def read_prompts(prompt: str | None = None, file: Path | None = None) -> Iterator[str]:
    """Texts to go on with: one, or the lines of a file, or those of the standard input as they are typed.

    Args:
        prompt: the one.
        file: in its place; the standard input if both are absent.
    Returns:
        one after the other; a file that cannot be read is told at once.
    Raises:
        ValueError: both came, there is no line, or what there is is no text.
    """
    if prompt is not None and file is not None:
        raise ValueError("one of --prompt and --file is wanted, but both came: leave one out")
    if prompt is not None:
        refuse_halves(prompt, "a prompt")
        return iter([prompt])
    if file is None or file == STDIN:
        return _prompts(STDIN, _typed())
    lines = _prompts(file, _whole_lines(file))
    return chain([next(lines)], lines)


def _prompts(path: Path, lines: Iterable[str]) -> Iterator[str]:
    number = 0
    for number, line in enumerate(lines, 1):
        refuse_halves(line, f"line {number} of {called(path)}")
        yield line
    if not number:
        raise ValueError(f"a prompt on each line is wanted, but {called(path)} is empty: write one, or name --prompt")


def _typed() -> Iterator[str]:
    """Lines as soon as they are there; `lines_of` reads large parts."""
    try:
        yield from (line.rstrip("\n") for line in sys.stdin)
    except UnicodeDecodeError as error:
        wrong = error.object[error.start]
        raise ValueError(
            f"UTF-8 text was wanted, but the standard input holds 0x{wrong:02x}; convert it to UTF-8."
        ) from error


def _text_rows(path: Path) -> Iterator[tuple[int, Row | ValueError]]:
    for number, line in enumerate(_whole_lines(path), 1):
        yield number, {"text": line}


def _whole_lines(path: Path) -> Iterator[str]:
    """The lines of a file; what follows the last line break is none where it is empty."""
    held: str | None = None
    for line in lines_of(path):
        if held is not None:
            yield held
        held = line
    if held:
        yield held

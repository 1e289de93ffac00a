"""What files hold: characters, lines and JSON objects, and what is said where they cannot be read."""

import codecs
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

STDIN = Path("-")  # the standard input, wherever the text of a file is read
LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, as JSON may hold it
_CHUNK = 1 << 20  # bytes read at once


def refuse_halves(text: str, what: str) -> None:
    """Refuse lone surrogates, which no tokenizer takes: half a character, or a byte of another encoding in a flag.

    Raises:
        ValueError: there is one.
    """
    if half := LONE_SURROGATE.search(text):
        raise ValueError(
            f"{what} in Unicode is wanted, but it holds half a character, \\u{ord(half[0]):04x}, at place "
            f"{half.start()}: write it in UTF-8"
        )


def called(path: Path) -> str:
    """What sentences call a file."""
    return "the standard input" if path == STDIN else str(path)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system says of an unreadable file into one sentence for the user."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{called(path)} cannot be read: {reason}; check that it is whole and that you may read it."
        ) from error


def decoded(path: Path) -> Iterator[str]:
    """The text of a UTF-8 file (unpacked where it ends in .gz) with newlines as "\\n", in parts."""
    utf8, newlines = codecs.getincrementaldecoder("utf-8")(), io.IncrementalNewlineDecoder(None, translate=True)
    name, offset = called(path), 0
    with explained(path), _opened(path) as file:
        while True:
            chunk = file.read(_CHUNK)
            if (zero := chunk.find(b"\0")) >= 0:
                raise ValueError(f"UTF-8 text was wanted, but {name} is binary: a NUL at byte {offset + zero}.")
            pending = len(utf8.getstate()[0])
            try:
                text = utf8.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                where = offset - pending + error.start
                wrong = error.object[error.start]
                raise ValueError(
                    f"UTF-8 text was wanted, but {name} holds 0x{wrong:02x} at byte {where}; convert it to UTF-8."
                ) from error
            yield newlines.decode(text.removeprefix("\ufeff") if offset == pending == 0 else text, final=not chunk)
            if not chunk:
                return
            offset += len(chunk)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    if path == STDIN:
        yield sys.stdin.buffer
        return
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        yield file


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, without their ends."""
    rest = ""
    for part in decoded(path):
        *lines, rest = (rest + part).split("\n")
        yield from lines
    yield rest


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a .jsonl file with the numbers of their lines; blank lines are skipped.

    Raises:
        ValueError: a line is no JSON object.
    """
    for number, row in json_rows(path):
        if isinstance(row, ValueError):
            raise row
        yield number, row


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    """As `json_lines`, but a line that is no JSON object comes as the error, and reading goes on."""
    for number, line in enumerate(lines_of(path), 1):
        if not line or line.isspace():
            continue
        wanted = f"A JSON object a line was wanted, but line {number} of {called(path)} is"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, ValueError(f"{wanted} not: {error}.")
            continue
        yield number, row if isinstance(row, dict) else ValueError(f"{wanted} a {type(row).__name__}.")

"""What files hold: characters, lines and JSON objects, and what is said where they cannot be read."""

import codecs
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, as JSON may hold it
_CHUNK = 1 << 20  # bytes read at once


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system says of an unreadable file into one sentence for the user."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{path} cannot be read: {reason}; check that it is whole and that you may read it."
        ) from error


def decoded(path: Path) -> Iterator[str]:
    """The text of a UTF-8 file (unpacked where it ends in .gz) with newlines as "\\n", in parts."""
    utf8, newlines = codecs.getincrementaldecoder("utf-8")(), io.IncrementalNewlineDecoder(None, translate=True)
    offset = 0
    with explained(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
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
    for number, line in enumerate(lines_of(path), 1):
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
        yield number, row

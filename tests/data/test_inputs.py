"""Rows come one after the other from every kind of file, each with its place, bad ones as what is wrong with them."""

import gzip
import io
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfsup.data.files import STDIN
from selfsup.data.inputs import count_rows, find_input, read_prompts, read_rows

ROWS = [{"text": "one\ttab", "more": "1"}, {"text": "zwei, drei", "more": ""}, {"text": 'say "né"', "more": "x"}]


def write(folder: Path, ending: str) -> Path:
    """The rows, or their texts, in a file."""
    path = folder / f"rows{ending}"
    lines = "".join(f"{json.dumps(row)}\n" for row in ROWS)
    match ending:
        case ".txt":
            path.write_text("".join(f"{row['text']}\n" for row in ROWS))
        case ".jsonl":
            path.write_text(lines)
        case ".jsonl.gz":
            path.write_bytes(gzip.compress(lines.encode()))
        case ".csv":
            path.write_text('text,more\none\ttab,1\n"zwei, drei",\n"say ""né""",x\n')
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("ending", [".txt", ".jsonl", ".jsonl.gz", ".csv", ".parquet"])
def test_all_kinds_of_files_hold_the_same_rows(tmp_path, ending):
    path = find_input(str(write(tmp_path, ending)))
    rows = [{"text": row["text"]} for row in ROWS] if ending == ".txt" else ROWS
    found = list(read_rows(path))
    assert [row for _, row in found] == rows
    first = {".csv": "line 2", ".parquet": "row 1"}.get(ending, "line 1")
    assert str(found[0][0]) == f"{first} of rows{ending}"


def test_numbers_of_rows_that_are_cheap_to_know(tmp_path):
    known = {
        ending: count_rows(write(tmp_path, ending)) for ending in (".txt", ".jsonl", ".parquet", ".csv", ".jsonl.gz")
    }
    assert known == {".txt": 3, ".jsonl": 3, ".parquet": 3, ".csv": None, ".jsonl.gz": None}
    assert count_rows(STDIN) is None


def test_lines_of_text_can_be_counted(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\n\r\n three\nlast")
    assert [(place.number, row) for place, row in read_rows(path)] == [
        (1, {"text": "one"}),
        (2, {"text": ""}),
        (3, {"text": " three"}),
        (4, {"text": "last"}),
    ]


def test_reading_goes_on_behind_what_is_no_row(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": \n\n[2]\n{"a": 5}\n')
    found = [(place.number, row) for place, row in read_rows(path)]
    assert [number for number, _ in found] == [1, 2, 4, 5]
    assert [row for _, row in found[::3]] == [{"a": 1}, {"a": 5}]
    assert str(found[1][1]).startswith(f"A JSON object a line was wanted, but line 2 of {path} is not: ")
    assert str(found[2][1]) == f"A JSON object a line was wanted, but line 4 of {path} is a list."
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3\n4,5\n")
    _, bad, good = [row for _, row in read_rows(path)]
    assert str(bad).startswith(f"line 3 of {path} has 1 cells, but the first line names 2 columns: ")
    assert good == {"a": "4", "b": "5"}


@pytest.mark.parametrize(("form", "row"), [("txt", {"text": '{"a": 1}'}), ("jsonl", {"a": 1})])
def test_standard_input(monkeypatch, form, row):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}\n')))
    [(place, found)] = read_rows(find_input("-"), form)
    assert found == row
    assert str(place) == "line 1 of the standard input"


def test_what_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"nowhere\.txt: check the path, or say - for standard input$"):
        find_input("nowhere.txt")
    with pytest.raises(ValueError, match=r"was wanted, but .* is a folder without any: name a file in it$"):
        find_input(str(tmp_path))
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(ValueError, match=r"a\.pdf came; convert or rename it\.$"):
        find_input(str(tmp_path / "a.pdf"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\0\n")))
    with pytest.raises(
        ValueError, match=r"^UTF-8 text was wanted, but the standard input is binary: a NUL at byte 3\.$"
    ):
        list(read_rows(STDIN))
    (tmp_path / "a.txt").write_bytes(b"one\n\xff\n")
    with pytest.raises(ValueError, match=r"a\.txt holds 0xff at byte 4; convert it"):
        list(read_rows(tmp_path / "a.txt"))


def test_prompts_are_one_or_lines(tmp_path, monkeypatch):
    path = tmp_path / "prompts.txt"
    path.write_text("one\n\nthree")
    assert list(read_prompts("a\nb")) == ["a\nb"]
    assert list(read_prompts(file=path)) == ["one", "", "three"]
    typed = io.StringIO("one\ntwo\n")
    monkeypatch.setattr(sys, "stdin", typed)
    prompts = read_prompts()
    assert next(prompts) == "one"
    assert typed.read() == "two\n", "each is answered before the next one is read"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "a prompt on each line is wanted, but .*prompts is empty"),
        (b"a\0b", "UTF-8 text was wanted, but .*prompts is binary: a NUL at byte 1"),
        (b"na\xefve", "UTF-8 text was wanted, but .*prompts holds 0xef at byte 2; convert it to UTF-8"),
        (None, "prompts cannot be read: No such file or directory"),
    ],
)
def test_what_holds_no_prompts_is_told_at_once(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "prompts").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        read_prompts(file=tmp_path / "prompts")


def test_prompts_that_are_no_text(tmp_path, monkeypatch):
    with pytest.raises(
        ValueError, match=r"a prompt in Unicode is wanted, but .* half a character, \\ud800, at place 1: w"
    ):
        read_prompts("a\ud800")
    with pytest.raises(ValueError, match="one of --prompt and --file is wanted, but both came"):
        read_prompts("a", tmp_path / "prompts")
    for content, sentence in (
        (b"", "the standard input is empty"),
        (b"\xef", "the standard input holds 0xef; convert"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8"))
        with pytest.raises(ValueError, match=sentence):
            list(read_prompts())

"""Rows with labels from tables, their columns named by role."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfsup.data.labelled import PairTask, read_pairs

ROWS = [
    {"a": "The miller sold a box.", "b": "Nobody knew why.", "label": 2},
    {"a": "At noon the cat hid.", "b": "", "label": 0},
    {"a": "It rained.", "b": "It did.", "label": -1},
]
TASK = PairTask(data="pairs", text="a", text_pair="b")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "pairs").mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "pairs" / "train.parquet")
    pq.write_table(pa.Table.from_pylist(ROWS[2:]), tmp_path / "pairs" / "validation.parquet")
    return tmp_path


def text_of(tokenizer, ids):
    return tokenizer.decode(ids).strip()


def test_a_mirror_of_the_hub(root, tiny_tokenizer):
    found = read_pairs(TASK, tiny_tokenizer, "train", root)
    assert [example["label"] for example in found] == [2, 0]  # the row without a label is left out
    shown = [[text_of(tiny_tokenizer, ids) for ids in example["segments"]] for example in found]
    assert shown == [["The miller sold a box.", "Nobody knew why."], ["At noon the cat hid.", ""]]


def test_a_file_of_json_lines(tmp_path, tiny_tokenizer):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    task = PairTask(data=str(file), text="a", text_pair="b")
    assert [example["label"] for example in read_pairs(task, tiny_tokenizer, "train")] == [2, 0]


@pytest.mark.parametrize(
    ("changes", "split", "sentence"),
    [
        (
            {"text": "premise"},
            "train",
            "was to have the columns premise, b, label, but premise is not among a, b, label",
        ),
        ({"label": "a"}, "train", "a of pairs was to hold whole numbers, but 'The miller sold a box.' came"),
        ({}, "validation", "pairs has no labelled row in validation: name another split"),
        ({}, "test", "has no split 'test'"),
    ],
)
def test_what_is_wrong_is_said(root, tiny_tokenizer, changes, split, sentence):
    task = PairTask(**{"data": "pairs", "text": "a", "text_pair": "b"} | changes)
    with pytest.raises(ValueError, match=sentence):
        read_pairs(task, tiny_tokenizer, split, root)


def test_running_text_is_no_table(tmp_path, tiny_tokenizer):
    (tmp_path / "a.txt").write_text("Some text.")
    with pytest.raises(ValueError, match=r"A table \(.parquet or .jsonl\) with labels was wanted, but .*a.txt came"):
        read_pairs(PairTask(data=str(tmp_path / "a.txt")), tiny_tokenizer, "train")

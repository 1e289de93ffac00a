"""Labelled examples from tables: the same from every format, and every bad row named.

`pytest -s tests/data/test_labelled.py` prints the table of what came and what was said.
"""

import csv
import gzip
import json
import random
import re
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfsup.data.labelled import Table, checked, read_table
from selfsup.data.tables import Place

ROWS: list[dict[str, Any]] = [
    {"sentence": "So dull.", "label": 0},
    {"sentence": 'A "fine" film,\nreally.', "label": 1},
    {"sentence": "Naïve 🙂 e\u0301.", "label": 1},
]
ROLES: dict[str, Any] = {"columns": {"text": "sentence"}, "roles": ("text", "label"), "optional": ("text_pair",)}
NAMES = ("negative", "positive")
TAGGED: dict[str, Any] = {"columns": {"words": "tokens"}, "roles": ("words", "tags"), "optional": ("text",)}
ASKED: dict[str, Any] = {"columns": {}, "roles": ("question", "context", "answers"), "optional": ("id",)}
GOOD = {"text": "Good.", "label": "yes"}


def with_features(table: pa.Table, **features: object) -> pa.Table:
    """As `datasets` writes it: what columns hold in the metadata of the schema."""
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


CLASSES = {"names": list(NAMES), "_type": "ClassLabel"}


def write(file, rows: list[dict]) -> str:
    """Rows in the format that the name says."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    match file.name.partition(".")[2]:
        case "parquet":
            pq.write_table(pa.Table.from_pylist(rows), file)
        case "jsonl":
            file.write_text(lines)
        case "jsonl.gz":
            file.write_bytes(gzip.compress(lines.encode()))
        case ending:
            with file.open("w", newline="") as opened:
                writer = csv.DictWriter(opened, list(rows[0]), delimiter="\t" if ending == "tsv" else ",")
                writer.writeheader()
                writer.writerows(rows)
    return str(file)


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "jsonl.gz", "csv", "tsv"])
def test_every_format_gives_the_same_examples(tmp_path, ending):
    table = read_table(write(tmp_path / f"a.{ending}", ROWS), labels=NAMES, **ROLES)
    texts = [row["sentence"] for row in ROWS]
    assert [example["text"] for example in table.examples] == texts
    assert [example["label"] for example in table.examples] == ["negative", "positive", "positive"]
    assert (table.labels, table.left_out, table.losses()) == (NAMES, [], None)
    last = {"parquet": "row 3", "csv": "line 5", "tsv": "line 5"}  # the second text has two lines
    assert str(table.places[2]) == f"{last.get(ending, 'line 3')} of a.{ending}"


def test_random_texts_survive_csv(tmp_path):
    rng = random.Random(0)
    rows = [{"text": "x" + "".join(rng.choices('",\n\t; aé🙂', k=9)), "label": "a"} for _ in range(50)]
    for ending in ("csv", "tsv"):
        table = read_table(write(tmp_path / f"a.{ending}", rows), {}, roles=("text", "label"))
        assert [example["text"] for example in table.examples] == [row["text"] for row in rows]


@pytest.mark.parametrize(
    ("values", "names", "labels", "found"),
    [
        (["good", "bad"], (), ["good", "bad"], ()),
        ([0, 1], NAMES, ["negative", "positive"], NAMES),
        ([True, False], NAMES, ["positive", "negative"], NAMES),
        ([True, False], (), ["true", "false"], ()),
        ([1.0, 0.0], NAMES, ["positive", "negative"], NAMES),
        (["positive", "negative"], NAMES, ["positive", "negative"], NAMES),
        ([10, 9, 0], (), ["10", "9", "0"], ("0", "9", "10")),
    ],
)
def test_labels_become_names(tmp_path, values, names, labels, found):
    for ending in ("jsonl", "parquet", "csv"):
        rows = [{"text": "A.", "label": value} for value in values]
        if ending == "csv" and isinstance(values[0], bool):
            continue  # True is a word there
        table = read_table(write(tmp_path / f"a.{ending}", rows), {}, roles=("text", "label"), labels=names)
        assert [example["label"] for example in table.examples] == labels
        assert table.labels == found


def test_names_that_the_table_gives_come_first(tmp_path):
    pq.write_table(with_features(pa.Table.from_pylist(ROWS), label=CLASSES), tmp_path / "a.parquet")
    table = read_table(str(tmp_path / "a.parquet"), labels=("no", "yes"), **ROLES)
    assert table.labels == NAMES
    assert table.examples[0]["label"] == "negative"


@pytest.mark.parametrize(
    "feature",
    [{"feature": CLASSES, "_type": "List"}, {"feature": CLASSES, "_type": "Sequence"}, [CLASSES]],
    ids=["list", "sequence", "brackets"],
)
def test_tags_may_be_numbers_of_names(tmp_path, feature):
    rows = [{"tokens": ["Not", "good"], "tags": [0, 1]}]
    pq.write_table(with_features(pa.Table.from_pylist(rows), tags=feature), tmp_path / "a.parquet")
    table = read_table(str(tmp_path / "a.parquet"), **TAGGED)
    assert table.examples == [{"words": ["Not", "good"], "tags": ["negative", "positive"]}]
    assert table.labels == NAMES


def test_answers_of_both_forms(tmp_path):
    base = {"id": 7, "question": "Who?", "context": "Ann and Bo."}
    both = {"text": ["Ann", "Bo"], "answer_start": [0, 8]}
    pairs = [{"text": "Ann", "answer_start": 0}, {"text": "Bo", "answer_start": 8}]
    for ending in ("jsonl", "parquet"):
        for number, answers in enumerate((both, pairs)):
            file = tmp_path / f"{number}.{ending}"
            table = read_table(write(file, [base | {"answers": answers}]), **ASKED)
            assert table.examples == [base | {"id": "7", "answers": both}]
    without = write(tmp_path / "none.jsonl", [base | {"answers": []}])
    assert read_table(without, **ASKED).examples[0]["answers"] == {"text": [], "answer_start": []}


def test_several_labels_and_numbers(tmp_path):
    file = write(tmp_path / "a.jsonl", [{"text": "A.", "label": ["x", "y"]}, {"text": "B.", "label": []}])
    table = read_table(file, {}, roles=("text", "label"), several=True)
    assert [example["label"] for example in table.examples] == [["x", "y"], []]
    file = write(tmp_path / "b.csv", [{"text": "A.", "score": "4.5"}, {"text": "B.", "score": "3"}])
    table = read_table(file, {"number": "score"}, roles=("text", "number"))
    assert [example["number"] for example in table.examples] == [4.5, 3.0]


def test_rows_whose_labels_are_kept_elsewhere_are_left_out_and_counted(tmp_path):
    rows = [*ROWS, {"sentence": "Kept elsewhere.", "label": -1}, {"sentence": "And this.", "label": -1}]
    table = read_table(write(tmp_path / "a.parquet", rows), labels=NAMES, **ROLES)
    assert len(table) == 3
    assert table.losses() == f"{table.name}: rows left out: 2, which are 2 x no label (-1), first row 4 of a.parquet"
    with pytest.raises(ValueError, match="has none: no row has a label; name another split or data set"):
        read_table(write(tmp_path / "b.parquet", rows[3:]), labels=NAMES, **ROLES)


def test_answers_are_not_wanted_where_only_predictions_are(tmp_path):
    file = write(tmp_path / "a.csv", [{"sentence": "So dull."}])
    assert read_table(file, answers=False, **ROLES).examples == [{"text": "So dull."}]
    file = write(tmp_path / "b.jsonl", [{"tokens": ["So", "dull"]}])
    assert read_table(file, answers=False, **TAGGED).examples == [{"words": ["So", "dull"]}]


def test_bad_rows_are_left_out_where_that_is_asked(tmp_path):
    rows = [ROWS[0], {"sentence": " ", "label": 1}, ROWS[1], {"sentence": "No label."}, {"sentence": "", "label": 1}]
    file = write(tmp_path / "a.jsonl", rows)
    table = read_table(file, labels=NAMES, skip_bad_rows=True, **ROLES)
    assert [str(place) for place in table.places] == ["line 1 of a.jsonl", "line 3 of a.jsonl"]
    assert table.losses() == (
        f"{file}: rows left out: 3, which are 2 x text was wanted in 'sentence', but it is empty, first line 2 of "
        "a.jsonl; 1 x a label was wanted in 'label', but it is missing, first line 4 of a.jsonl"
    )
    with pytest.raises(ValueError, match=r"line 1 of b.jsonl: .* none of the rows is an example"):
        read_table(write(tmp_path / "b.jsonl", rows[1:2]), labels=NAMES, skip_bad_rows=True, **ROLES)


def test_what_an_objective_refuses_is_refused_or_left_out():
    examples = [{"text": text} for text in ("a", "bad", "b", "bad")]
    table = Table("t", examples, [Place("row", number, "t") for number in range(1, 5)])

    def check(example):
        if example["text"] == "bad":
            raise ValueError("the answer was wanted at character 3, but 'x' stands there")

    with pytest.raises(
        ValueError, match=r"^row 2 of t: the answer .* stands there; correct the 2 rows .*skip_bad_rows"
    ):
        checked(table, check)
    kept = checked(table, check, skip_bad_rows=True)
    assert kept.examples == [{"text": "a"}, {"text": "b"}]
    assert [place.number for place, _ in kept.left_out] == [2, 4]


def test_a_limit_reads_no_further(tmp_path):
    rows = [*ROWS, {"sentence": None, "label": 1}]
    assert len(read_table(write(tmp_path / "a.parquet", rows), labels=NAMES, limit=3, **ROLES)) == 3


def test_a_folder_of_splits_and_the_other_name_of_validation(tmp_path):
    write(tmp_path / "train.jsonl", ROWS[:2])
    write(tmp_path / "dev.jsonl", ROWS[2:])
    name = str(tmp_path)
    assert [len(read_table(name, split=split, **ROLES)) for split in ("train", "validation", "dev")] == [2, 1, 1]
    with pytest.raises(ValueError, match="has no split 'test'; choose from dev, train"):
        read_table(name, split="test", **ROLES)


def test_data_sets_of_the_hub_are_streamed_with_their_names(monkeypatch):
    class Stream(list):
        features = {"sentence": None, "label": SimpleNamespace(names=list(NAMES))}  # noqa: RUF012

    class Builder:
        hash = "commit"
        info = SimpleNamespace(splits={"train": None, "dev": None})

        def as_streaming_dataset(self, split):
            return Stream(ROWS if split == "dev" else ROWS[:1])

    monkeypatch.delenv("SELFSUP_DATA_ROOT", raising=False)
    monkeypatch.setattr("datasets.load_dataset_builder", lambda *args, **options: Builder())
    table = read_table("far/away", split="validation", **ROLES)
    assert [example["label"] for example in table.examples] == ["negative", "positive", "positive"]
    assert str(table.places[1]) == "row 2 of far/away, dev"
    assert table.labels == NAMES
    assert not set(table.origin) & set(read_table("far/away", **ROLES).origin)


LABELLED: dict[str, Any] = {"columns": {}, "roles": ("text", "label"), "optional": ("text_pair",)}
BAD: list[tuple[str, str, list[dict], dict[str, Any], str]] = [
    ("a missing label", "jsonl", [GOOD, {"text": "A.", "label": None}], LABELLED,
     "line 2 of a.jsonl: a label was wanted in 'label', but it is missing"),
    ("no label at all", "jsonl", [GOOD, {"text": "A."}], LABELLED, "line 2 .* but it is missing"),
    ("a label that is not a number", "parquet", [{"text": "A.", "label": 1.0}, {"text": "B.", "label": float("nan")}],
     LABELLED, "row 2 of a.parquet: a label was wanted in 'label', but it is missing"),
    ("an empty cell of CSV", "csv", [GOOD, {"text": "A.", "label": ""}], LABELLED, "line 3 of a.csv: .* is missing"),
    ("half a label", "jsonl", [GOOD, {"text": "A.", "label": 0.5}], LABELLED,
     "a name or a number from 0 on, but 0.5 came"),
    ("a list of labels", "jsonl", [GOOD, {"text": "A.", "label": ["yes"]}], LABELLED, r"but \['yes'\] came"),
    ("one label of several", "jsonl", [GOOD], LABELLED | {"several": True}, "a list of labels .* 'yes' came"),
    ("a number without a name", "jsonl", [{"text": "A.", "label": 2}], LABELLED | {"labels": NAMES},
     r"a label from 0 to 1 \(negative, positive\) was wanted in 'label', but 2 came"),
    ("a label outside the set", "csv", [{"text": "A.", "label": "neutral"}], LABELLED | {"labels": NAMES},
     "line 2 of a.csv: a label was wanted in 'label' that is one of negative, positive, but 'neutral' came"),
    ("-1 as a class", "jsonl", [{"text": "A.", "label": -1}, {"text": "B.", "label": 1}], LABELLED,
     "are -1 and 1, but -1 means that there is none: number them from 0"),
    ("empty text", "csv", [GOOD, {"text": "  ", "label": "yes"}], LABELLED, "line 3 of a.csv: text .* but it is empty"),
    ("missing text", "parquet", [GOOD, {"text": None, "label": "yes"}], LABELLED, "row 2 .* but it is missing"),
    ("a number as text", "jsonl", [{"text": 5, "label": "yes"}], LABELLED, "text was wanted in 'text', but 5 came"),
    ("half a character", "jsonl", [{"text": "\ud83d", "label": "a"}], LABELLED, r"half a character, \\ud83d"),
    ("a missing column", "csv", [{"Text": "A.", "lable": "yes"}], LABELLED,
     "A column 'text' was wanted for the role text, but .*a.csv has Text, lable: "
     "if Text is meant, say --data.columns '{text: Text}'"),
    ("nothing alike", "csv", [{"a": "A.", "b": "yes"}], LABELLED, "say which it is with .* '{text: its_name}'"),
    ("an unknown role", "csv", [GOOD], LABELLED | {"columns": {"txt": "text"}}, "takes the roles .*, but 'txt' came"),
    ("a mapping turned round", "csv", [GOOD], LABELLED | {"columns": {"sentence": "text"}},
     "but 'sentence' came: write it the other way round, '{text: sentence}'"),
    ("a pair that was promised", "csv", [GOOD], LABELLED | {"columns": {"text_pair": "hypothesis"}},
     "A column 'hypothesis' was wanted for the role text_pair, but .* has text, label: say which it is with"),
    ("a pair that is missing", "jsonl", [{"text": "A.", "b": "B.", "label": 1}, {"text": "A.", "b": None, "label": 1}],
     LABELLED | {"columns": {"text_pair": "b"}}, "line 2 of a.jsonl: text was wanted in 'b', but it is missing"),
    ("words and tags", "jsonl", [{"tokens": ["a", "b"], "tags": ["X"]}], TAGGED,
     "line 1 of a.jsonl: a tag for each word was wanted, but there are 2 words and 1 tags"),
    ("words that are text", "jsonl", [{"tokens": "a b", "tags": ["X"]}], TAGGED, "a list of words was wanted"),
    ("no words", "jsonl", [{"tokens": [], "tags": []}], TAGGED, "a list of words was wanted in .*, but it is empty"),
    ("a missing tag", "jsonl", [{"tokens": ["a", "b"], "tags": ["X", None]}], TAGGED, "a label .* it is missing"),
    ("some tags -1", "jsonl", [{"tokens": ["a", "b"], "tags": [1, -1]}], TAGGED, "some of them are -1, which is none"),
    ("tags of CSV", "csv", [{"tokens": "['a']", "tags": "['X']"}], TAGGED,
     "is CSV, which holds no lists as words, tags are: give JSON lines or parquet"),
    ("answers of CSV", "csv", [{"question": "Q?", "context": "C.", "answers": "C"}], ASKED, "no lists as answers are"),
    ("answers of another form", "jsonl", [{"question": "Q?", "context": "C.", "answers": "C"}], ASKED,
     "line 1 of a.jsonl: answers like .* were wanted in 'answers', but 'C' came"),
    ("an answer without a start", "jsonl", [{"question": "Q?", "context": "C.", "answers": {"text": ["C"]}}], ASKED,
     "answers like .* were wanted"),
    ("one start for two answers", "jsonl",
     [{"question": "Q?", "context": "C.", "answers": {"text": ["C", "C."], "answer_start": [0]}}], ASKED, "answers"),
    ("an empty question", "jsonl", [{"question": "", "context": "C.", "answers": []}], ASKED, "but it is empty"),
    ("a word as number", "csv", [{"text": "A.", "number": "four"}], {"columns": {}, "roles": ("text", "number")},
     "a number was wanted in 'number', but 'four' came"),
    ("an endless number", "csv", [{"text": "A.", "number": "inf"}], {"columns": {}, "roles": ("text", "number")},
     "a number was wanted in 'number', but inf came"),
    ("no rows", "csv", [GOOD], LABELLED | {"limit": 0}, "Rows to read were wanted, but .*a.csv .train. has none"),
]  # fmt: skip


@pytest.fixture(scope="module")
def said():
    """What came and what was said, printed as a table in the end."""
    rows: list[tuple[str, str]] = []
    yield rows
    print("\n\n| what came | what is said |\n|---|---|")
    for what, sentence in rows:
        print(f"| {what} | {sentence} |")


@pytest.mark.parametrize(("what", "ending", "rows", "options", "sentence"), BAD, ids=[row[0] for row in BAD])
def test_bad_rows_are_named(tmp_path, said, what, ending, rows, options, sentence):
    file = write(tmp_path / f"a.{ending}", rows)
    with pytest.raises(ValueError, match=sentence) as error:
        read_table(file, **options)
    message = str(error.value)
    assert "\n" not in message
    said.append((what, message.replace(f"{tmp_path}/", "").replace("|", "\\|")))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", "text", r"A .parquet, .jsonl, .* file was wanted, but .*a.txt came; convert or rename it"),
        ("a.csv", "text,label\nA, B.,yes\n", "line 2 of .*a.csv has 3 cells, but the first line names 2 columns"),
        ("a.csv", 'text,label\nA.,yes\n"B.,no\n', "a.csv cannot be read as CSV from line 3 on: .*; check its quotes"),
        ("a.csv", "text,text\nA.,yes\n", "to name the columns, each by another name, but text, text came"),
        ("a.csv", "", "to name the columns, each by another name, but none came"),
        ("a.jsonl", '{"text": "A.", "label": 1}\n[1]\n', "line 2 of .*a.jsonl is a list"),
        ("a.parquet", "text", "a.parquet cannot be read as parquet"),
        ("a.jsonl.gz", "text", "a.jsonl.gz cannot be read: Not a gzipped file"),
    ],
)
def test_broken_files_are_explained(tmp_path, name, content, sentence):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=sentence) as error:
        read_table(str(tmp_path / name), {}, roles=("text", "label"))
    assert "\n" not in str(error.value)


def test_spreadsheets_separate_by_semicolons_too(tmp_path):
    (tmp_path / "a.csv").write_text("\ufefftext;label\nA, B.;yes\n", encoding="utf-8")
    table = read_table(str(tmp_path / "a.csv"), {}, roles=("text", "label"))
    assert table.examples == [{"text": "A, B.", "label": "yes"}]
    assert re.fullmatch("[0-9a-f]{32}", table.fingerprint)


PARSED: dict[str, Any] = {"columns": {"words": "tokens"}, "roles": ("words", "heads", "relations")}


@pytest.mark.parametrize("heads", [[2, 0, 2], ["2", "0", "2"]])
def test_heads_are_places_by_number_or_digit(tmp_path, heads):
    row = {"tokens": ["We", "saw", "it"], "heads": heads, "relations": ["nsubj", "root", "obj"]}
    for ending in ("parquet", "jsonl"):
        name = write(tmp_path / f"a.{ending}", [row])
        (example,) = read_table(name, **PARSED).examples
        assert example == {"words": row["tokens"], "heads": [2, 0, 2], "relations": row["relations"]}
        assert read_table(name, **PARSED, answers=False).examples == [{"words": row["tokens"]}]
    with pytest.raises(ValueError, match="CSV, which holds no lists as words, heads, relations are"):
        read_table(write(tmp_path / "a.csv", [{"tokens": "a", "heads": "1", "relations": "b"}]), **PARSED)


@pytest.mark.parametrize(
    ("heads", "relations", "why"),
    [
        ([2, 0], ["x", "root", "y"], "a head for each word was wanted, but there are 3 words and 2 heads"),
        ([2, 0, 2], ["x", "root"], "a relation for each word was wanted, but there are 3 words and 2 relations"),
        ([2, 0, -1], ["x", "root", "y"], "a list of heads, as [2, 0, 2], was wanted in 'heads', but [2, 0, -1] came"),
        (["2", "0", "_"], ["x", "root", "y"], "was wanted in 'heads', but ['2', '0', '_'] came"),
        ([2, 0, True], ["x", "root", "y"], "was wanted in 'heads', but [2, 0, True] came"),
        ([2, 0, 1.0], ["x", "root", "y"], "was wanted in 'heads', but [2, 0, 1.0] came"),
        ([], ["x", "root", "y"], "was wanted in 'heads', but [] came"),
        (None, ["x", "root", "y"], "was wanted in 'heads', but nothing came"),
        (3, ["x", "root", "y"], "was wanted in 'heads', but 3 came"),
        ([2, 0, 2], [1, 2, 3], "a list of words was wanted in 'relations', but [1, 2, 3] came"),
    ],
)
def test_heads_and_relations_that_are_none_are_refused(tmp_path, heads, relations, why):
    row = {"tokens": ["We", "saw", "it"], "heads": heads, "relations": relations}
    with pytest.raises(ValueError, match=re.escape(why)):
        read_table(write(tmp_path / "a.jsonl", [row]), **PARSED)


WRITTEN: dict[str, Any] = {"columns": {"source": "en", "target": "de"}, "roles": ("source", "target")}


def test_a_target_is_a_text_or_its_sentences(tmp_path):
    rows: list[dict[str, Any]] = [{"en": "One.", "de": "Eins."}, {"en": "One and two.", "de": ["One.", "Two."]}]
    table = read_table(write(tmp_path / "a.jsonl", rows), **WRITTEN)
    assert [example["target"] for example in table.examples] == ["Eins.", "One. Two."]


def test_without_answers_no_target_is_asked_for(tmp_path):
    name = write(tmp_path / "a.csv", [{"en": "One."}, {"en": "Two."}])
    assert read_table(name, **WRITTEN, answers=False).examples == [{"source": "One."}, {"source": "Two."}]
    with pytest.raises(ValueError, match="A column 'de' was wanted for the role target"):
        read_table(name, **WRITTEN)


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv"])
@pytest.mark.parametrize(("column", "empty"), [("en", ""), ("de", " \n"), ("de", None), ("en", None)])
def test_empty_sources_and_targets_are_refused_or_left_out(tmp_path, ending, column, empty):
    bad: dict[str, Any] = {"en": "Two.", "de": "Zwei."} | {column: empty}
    name = write(tmp_path / f"a.{ending}", [{"en": "One.", "de": "Eins."}, bad])
    with pytest.raises(ValueError, match=rf"of a\.{ending}: text was wanted in '{column}', but it is (empty|missing)"):
        read_table(name, **WRITTEN)
    assert len(read_table(name, **WRITTEN, skip_bad_rows=True)) == 1


@pytest.mark.parametrize("target", [[], [""], ["One.", None], ["One.", 2], {"text": "One."}])
def test_targets_that_are_no_texts_are_refused(tmp_path, target):
    name = write(tmp_path / "a.jsonl", [{"en": "One.", "de": target}])
    with pytest.raises(ValueError, match="text was wanted in 'de', but"):
        read_table(name, **WRITTEN)

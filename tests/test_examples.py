"""Examples to learn from and to score on: drawn once, kept apart, of the same labels."""

import json

import pytest

from selfsup.examples import DataChoice, read_split, read_task
from selfsup.metrics import Accuracy
from selfsup.objectives import Classification, Tagging
from selfsup.task import DataSet, Human, Task

TASK = Task(
    Classification,
    (Accuracy,),
    (DataSet("pairs", {"text": "a"}, labels=("no", "yes")), DataSet("far", {"text": "b"}, hub="hub/far")),
)


def write(folder, split, rows):
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFSUP_DATA_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "pairs", "train", [{"a": f"text {n}", "label": n % 2} for n in range(40)])
    write(tmp_path / "pairs", "validation", [{"a": f"text {n}", "label": n % 2} for n in range(38, 50)])
    write(tmp_path / "far", "train", [{"b": f"far {n}", "label": "yes"} for n in range(5)])
    write(tmp_path / "far", "validation", [{"b": "far 9", "label": "maybe"}])
    return tmp_path


def texts(table):
    return [example["text"] for example in table.examples]


def test_the_default_data_set(root):
    read = read_task(TASK)
    assert (len(read.train), len(read.held_out), read.labels) == (40, 12, ("no", "yes"))
    assert read.train.examples[3] == {"text": "text 3", "label": "yes"}
    assert read.notes == ["2 of 12 examples to score on stand unchanged among those to learn from"]


def test_draws_are_the_same_every_time_and_keep_their_order(root):
    choice = DataChoice(max_train=10, max_held_out=5)
    read, again = read_task(TASK, choice), read_task(TASK, choice)
    assert texts(read.train) == texts(again.train)
    assert [len(set(texts(table))) for table in (read.train, read.held_out)] == [10, 5]
    places = [place.number for place in read.train.places]
    assert places == sorted(places)
    assert places != list(range(1, 11))
    assert texts(read.train) == [f"text {number - 1}" for number in places]


def test_a_share_can_be_held_out(root):
    read = read_task(TASK, DataChoice(held_out="0.25"))
    assert (len(read.train), len(read.held_out), read.notes) == (30, 10, [])
    assert sorted(texts(read.train) + texts(read.held_out)) == sorted(f"text {n}" for n in range(40))
    assert texts(read.held_out) != [f"text {n}" for n in range(10)]


def test_files_take_the_place_of_splits(root):
    for choice in (
        DataChoice("pairs/train.jsonl", held_out="pairs/validation.jsonl"),
        DataChoice(train="pairs/train.jsonl", held_out="pairs/validation.jsonl"),
    ):
        read = read_task(TASK, choice)
        assert (len(read.train), len(read.held_out)) == (40, 12)
        assert read.labels == ("0", "1")  # numbers of another data set have no names of ours
    assert read_task(TASK, DataChoice("pairs/train.jsonl", labels=["no", "yes"], held_out="0.5")).labels == (
        "no",
        "yes",
    )


def test_further_sets_are_learnt_from_too(root):
    read = read_task(TASK, DataChoice(also=["far:train"]))
    assert len(read.train) == 45
    assert texts(read.train)[-1] == "far 4"
    assert read.train.fingerprint != read_task(TASK).train.fingerprint
    assert read_task(TASK, DataChoice(also=["far"])).train.fingerprint == read.train.fingerprint


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (DataChoice(held_out="train"), r"must not be scored on, but train.jsonl would be both \('train' tells no oth"),
        (
            DataChoice("pairs/train.jsonl"),
            "must not be scored on, .* hold out a share of the rows with --data.held_out",
        ),
        (DataChoice(also=["pairs:validation"]), "must not be scored on, but validation.jsonl would be both"),
        (DataChoice(held_out="test"), "has no split 'test'; choose from train, validation"),
        (DataChoice(held_out="1.5"), "as a share must be at least 0 and below 1, but 1.5 came"),
        (DataChoice(held_out="0.001"), "has 40 examples, too few to hold out 0.001 of them"),
        (
            DataChoice(also=["far:validation"]),
            "far was to have the labels of pairs, no, yes, but has maybe: learn from",
        ),
        (DataChoice("pears"), "Nothing is called pears: .*; did you mean pairs"),
        (DataChoice("gone.csv"), "There is no file or folder gone.csv; check the path"),
        (DataChoice(columns={"txt": "a"}), "takes the roles text, label, text_pair, but 'txt' came"),
    ],
)
def test_what_cannot_be_learnt_from_is_explained(root, monkeypatch, choice, sentence):
    def fail(*args, **options):
        raise ConnectionError("no network")

    monkeypatch.setattr("datasets.load_dataset_builder", fail)
    with pytest.raises(ValueError, match=sentence) as error:
        read_task(TASK, choice)
    assert "\n" not in str(error.value)


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match=r"--data.max_train must be at least 1, but 0 came"):
        DataChoice(max_train=0)
    with pytest.raises(ValueError, match=r"--data.max_held_out must be at least 1, but -3 came"):
        DataChoice(max_held_out=-3)


def test_a_set_that_is_not_here_is_looked_for_under_its_name_on_the_hub(root, monkeypatch, tmp_path):
    asked = []

    def fail(*args, **options):
        asked.append(args)
        raise ConnectionError("no network")

    monkeypatch.setattr("datasets.load_dataset_builder", fail)
    assert len(read_split(TASK, TASK.data[1], "train")) == 5
    assert not asked
    (tmp_path / "nothing").mkdir()
    monkeypatch.chdir("nothing")
    with pytest.raises(ValueError, match="Nothing is called hub/far"):
        read_split(TASK, TASK.data[1], "train", data_root=tmp_path / "nothing")
    assert asked == [("hub/far", None)]


def test_predictions_need_no_answers(root):
    (root / "new.csv").write_text("text\nA new one.\n")
    data = TASK.choose("new.csv")
    assert read_split(TASK, data, "train", answers=False).examples == [{"text": "A new one."}]


def test_words_count_as_text_on_both_sides(root):
    rows = [{"words": ["So", name], "tags": ["X", "Y"]} for name in ("it", "goes", "on")]
    write(root / "tagged", "train", rows)
    write(
        root / "tagged", "validation", [{"words": ["So", "it"], "tags": ["Y", "Y"]}, {"words": ["Soit"], "tags": ["X"]}]
    )
    read = read_task(Task(Tagging, (), (DataSet("tagged", {}),)))
    assert read.notes == ["1 of 2 examples to score on stand unchanged among those to learn from"]


def test_what_people_reach_is_said_of_the_data_that_they_saw(root):
    """Not of another file that is scored on."""
    people = Human(0.9, "we asked them")
    task = Task(Classification, (Accuracy,), (DataSet("pairs", {"text": "a"}, labels=("no", "yes"), human=people),))
    assert read_task(task).data.human == people
    assert read_task(task, DataChoice(train="pairs/train.jsonl", name="pairs")).data.human == people
    (root / "mine.jsonl").write_text('{"a": "text", "label": 0}\n')
    assert read_task(task, DataChoice(held_out="mine.jsonl")).data.human is None

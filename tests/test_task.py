"""Tasks are found by name, file or module, and their data by name or file."""

import re
from functools import partial
from pathlib import Path

import pytest

from selfsup.metrics import Accuracy
from selfsup.objectives import Classification
from selfsup.task import DataSet, Human, Task, load_task

SOURCE = """
from selfsup.objectives import Classification
from selfsup.task import DataSet, Task

task = Task(Classification, (), (DataSet("my/set", {"text": "review"}),))
"""
TASK = Task(
    partial(Classification, loss="squared_error"),
    (Accuracy,),
    (
        DataSet("some/inference/v1", {"text": "premise"}, labels=("no", "yes"), human=Human(0.9, "somebody")),
        DataSet("sick@main", {"text": "sentence_A"}, hub="far/sick"),
    ),
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "reviews.py").write_text(SOURCE)
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "wrong.py").write_text("task = 5")
    (tmp_path / "broken.py").write_text("import no_such_module")
    (tmp_path / "slip.py").write_text("task = (")
    return tmp_path


def test_a_task_is_found_by_name_path_and_attribute(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    found = [load_task(name, folder) for name in ("reviews", str(folder / "reviews.py"), "reviews:task")]
    assert [task.data[0].name for task in found] == ["my/set"] * 3
    assert [task.name for task in found] == ["reviews", "reviews", "task"]
    assert all(isinstance(task.objective(), Classification) for task in found)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("revews", "no task 'revews' among broken, empty, reviews, slip, wrong in .*: did you mean reviews?"),
        ("poetry", "no task 'poetry' among .*: name one of them, or the path of a file like my_task.py"),
        ("gone.py", "There is no file gone.py: check the path of the task"),
        ("empty", "empty was to hold `task`, a selfsup.task.Task, but nothing is called so"),
        ("wrong", "wrong was to hold `task`, a selfsup.task.Task, but a int is called so"),
        ("broken", "broken.py does not run: ModuleNotFoundError: No module named 'no_such_module'"),
        ("slip", r"slip.py does not run: SyntaxError: '\(' was never closed"),
        ("no_such_module:task", "no_such_module cannot be imported: ModuleNotFoundError"),
        ("selfsup.task:tasks", "selfsup.task:tasks was to hold `tasks`, .* but nothing is called so"),
    ],
)
def test_what_is_no_task_is_explained(folder, name, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        load_task(name, folder)
    assert "\n" not in str(error.value)


def test_all_tasks_of_the_checkout_are_offered():
    folder = Path(__file__).parents[1] / "tasks"
    with pytest.raises(ValueError, match="did you mean sentiment") as error:
        load_task("sentimen", folder)
    assert {"sentiment", "pos", "nli", "qa", "paraphrase", "acceptability", "entailment"} <= set(
        re.findall(r"\w+", str(error.value))
    )


def test_known_data_sets_are_chosen_by_any_of_their_names():
    first, second = TASK.data
    assert TASK.choose() == TASK.choose("some/inference/v1") == TASK.choose("v1") == first
    assert TASK.choose("sick") == TASK.choose("sick@main") == TASK.choose("far/sick") == second


def test_two_sets_of_one_place_are_told_apart_by_name():
    columns = {"source": "en", "target": "de"}
    german, french = DataSet("multi30k", columns), DataSet("multi30k", {**columns, "target": "fr"}, called="en-fr")
    task = Task(Classification, (), (german, french))
    assert task.choose() == task.choose("multi30k") == german
    assert task.choose("en-fr") == french
    assert task.choose("fr-en").name == "fr-en", "a name like any other that is not known"


def test_other_data_takes_the_usual_columns_or_those_called_as_roles_and_no_ones_labels():
    other = TASK.choose("my.jsonl")
    assert (other.name, other.labels, other.human) == ("my.jsonl", (), None)
    assert other.columns == {"text": ("premise", "text")}


def test_the_command_line_has_the_last_word():
    chosen = TASK.choose("v1", {"text": "claim", "label": "gold"}, ["false", "true"])
    assert chosen.columns == {"text": "claim", "label": "gold"}
    assert chosen.labels == ("false", "true")
    assert TASK.data[0].columns == {"text": "premise"}


def test_a_task_without_data_asks_for_some():
    with pytest.raises(ValueError, match=r"has no data of its own: bring some with --data.name my.jsonl"):
        Task(Classification, (), ()).choose()
    assert Task(Classification, (), ()).choose("my.csv").columns == {}


def test_an_objective_of_a_user_is_anew_for_every_trial():
    given = Classification(class_weights={"a": 2.0})
    one, other = (TASK.learnt_by(given).objective() for _ in range(2))
    assert vars(one) == vars(other) == vars(given)
    assert one is not other
    assert one is not given
    assert TASK.learnt_by(None) is TASK

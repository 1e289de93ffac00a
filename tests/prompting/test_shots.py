"""Accuracy against the number of examples: it rises where a model reads them, and only with their own labels."""

import json
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from selfsup.data.labelled import Table
from selfsup.examples import DataChoice
from selfsup.metrics import F1, Accuracy, Matthews
from selfsup.objectives import Classification
from selfsup.prompting import asking
from selfsup.prompting.asking import Opened, ask, refuse_other_results, report, reworded
from selfsup.prompting.demonstrations import text_of
from selfsup.prompting.respondent import Respondent
from selfsup.prompting.shots import (
    BY_CHANCE,
    SHOWN,
    ShotConfig,
    interval,
    measure,
    open_metric,
    results,
    table,
    without_reading,
)
from selfsup.prompting.wording import Wording
from selfsup.task import Task, load_task

ROOT = Path(__file__).parents[2]
TRAIN, HELD_OUT = ["now", "soon"], ["today", "later"]


@pytest.fixture
def measured(colours, coloured, tokenizer, copier):
    """Lines and rows of the copier, or of another model."""

    def made(config: ShotConfig, model=copier, batch_size: int = 16):
        pool, queries = coloured(TRAIN), coloured(HELD_OUT)
        respondent = Respondent(model, tokenizer, Wording(colours, pool.labels), batch_size=batch_size)
        rows: list[dict] = []
        metric = open_metric(colours, pool.labels)
        return measure(respondent, metric, pool, queries, config, write=rows.append), rows, metric, respondent

    return made


def test_examples_that_matter_are_read(measured):
    """The nearest example shares the name, and a name has one colour: whoever reads it is always right."""
    lines, rows, metric, _ = measured(ShotConfig((0, 2), orderings=5, demonstrations="nearest", control=True))
    means = {(line.shots, line.arm): interval(metric, line)[0] for line in lines}
    red = np.mean([row["label"] == "red" for row in rows if not row["shots"]])
    assert means[0, SHOWN] == red, "without examples the copier says red"
    assert means[2, SHOWN] == 1
    assert 0.2 < means[2, BY_CHANCE] < 0.6, "examples with labels by chance say nothing"
    gain = interval(metric, lines[1], lines[0])
    assert gain[0] == pytest.approx(1 - red)
    assert 0 < gain[1] < gain[0] < gain[2]


def test_one_draw_without_examples_and_the_same_ones_with_a_seed(measured):
    config = ShotConfig((3, 0, 1), orderings=4, demonstrations="random")
    lines, rows, _, _ = measured(config)
    assert [(line.shots, line.tallies.shape) for line in lines] == [(0, (1, 32, 2)), (1, (4, 32, 2)), (3, (4, 32, 2))]
    assert [line.prompts for line in lines] == [32, 128, 128]
    assert measured(config, batch_size=3)[1] == rows
    assert measured(ShotConfig((3, 0, 1), orderings=4, demonstrations="random", seed=1))[1] != rows


@pytest.mark.parametrize("choice", ["random", "balanced", "nearest"])
def test_only_examples_to_learn_from_are_shown(measured, choice):
    lines, rows, _, _ = measured(ShotConfig((0, 1, 6), orderings=2, demonstrations=choice))
    assert {place.rpartition(" of ")[2] for row in rows for place in row["shown"]} == {"-".join(TRAIN)}
    assert {row["query"].rpartition(" of ")[2] for row in rows} == {"-".join(HELD_OUT)}
    assert Counter((row["shots"], row["draw"], len(row["shown"])) for row in rows) == {
        (0, 0, 0): 32, (1, 0, 1): 32, (1, 1, 1): 32, (6, 0, 6): 32, (6, 1, 6): 32,
    }  # fmt: skip
    assert sum(sum(line.answered.values()) for line in lines) == len(rows)


def test_what_has_no_room_is_recorded(measured, gpt2):
    """64 positions: a description of 3 tokens and 12 examples of 5 leave none for a query of 3."""
    lines, rows, _, respondent = measured(ShotConfig((2, 14), orderings=1, demonstrations="random"), model=gpt2)
    short, long = lines
    assert short.losses(64) is None
    assert (long.shortened, long.left_out, long.undescribed) == (32, 32 * 3, 0)
    assert long.losses(respondent.room.max_tokens) == (
        "14 shots, their own labels: 32 of 32 prompts are longer than the 64 tokens that the model reads; 96 examples "
        "were left out, the first of a prompt first"
    )
    assert {(len(row["left_out"]), len(row["shown"])) for row in rows if row["shots"] == 14} == {(3, 11)}
    assert not any(set(row["left_out"]) & set(row["shown"]) for row in rows)


def test_without_a_model_by_hand():
    train = Table("t", [{"label": label} for label in ("no", "no", "yes")], [])
    queries = Table("q", [{"label": label} for label in ("no", "yes", "yes", "yes")], [])
    labels = ("no", "yes")
    found = without_reading(Accuracy(), train, queries, labels)
    assert found == {"most frequent label": 0.25, "chance": 0.5}
    task = Task(Classification, (partial(F1, positive="yes"), Accuracy), ())
    found = without_reading(open_metric(task, labels), train, queries, labels)
    # half of three yes are found, and half of four guesses are yes: precision 3/4, recall 1/2
    assert found == {"most frequent label": 0.0, "chance": pytest.approx(2 * 0.75 * 0.5 / 1.25)}
    found = without_reading(open_metric(Task(Classification, (Matthews,), ()), labels), train, queries, labels)
    assert found == {"most frequent label": 0.0, "chance": 0.0}
    with pytest.raises(ValueError, match="F1 looks for the label 'yes', but the labels are a, b"):
        open_metric(task, ("a", "b"))


def test_table_and_results_say_the_same(measured):
    config = ShotConfig((0, 2), orderings=2, demonstrations="nearest", control=True)
    lines, _, metric, respondent = measured(config)
    without = {"most frequent label": 0.375, "chance": 1 / 3}
    found = results(lines, metric, without, config, respondent)
    head, zero, two, last = table(lines, metric, without).splitlines()
    assert head.split("  ")[0] == "shots"
    assert ("accuracy" in head, "more than with 0" in head, BY_CHANCE in head) == (True, True, True)
    assert f"{100 * found['lines'][0]['interval'][0]:.1f}" in zero
    assert "100.0  (100.0 to 100.0)" in two
    assert f"+{100 * found['lines'][1]['more_than_with_0'][0]:.1f}" in two
    assert last == "most frequent label 37.5, chance 33.3"
    assert found["lines"][1]["draws"] == [1.0, 1.0]
    assert json.loads(json.dumps(found))["prompt"]["verbalisers"] == {"red": "red", "green": "green", "blue": "blue"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"orderings": 0}, "1 draw of examples or more is wanted, but --orderings 0 came"),
        ({"shots": ()}, "one number of examples or more is wanted"),
        ({"shots": (1, 1)}, "each once, but --shots"),
    ],
)
def test_nothing_to_ask_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        ShotConfig(**options)


# From files ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(coloured, tmp_path):
    """Two files of rows; two rows stand in both."""
    train, held_out = coloured(TRAIN).examples, coloured(HELD_OUT).examples
    for name, rows in (("train", train + held_out[:2]), ("held_out", held_out)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataChoice(train=str(tmp_path / "train.jsonl"), held_out=str(tmp_path / "held_out.jsonl"))


@pytest.fixture
def opened(copier, tokenizer, monkeypatch):
    monkeypatch.setattr(asking, "open_causal", lambda name, trust_remote_code: (copier, tokenizer))
    return Opened("a/copier", torch.device("cpu"))


def test_a_report_leaves_table_curve_and_answers(colours, files, opened, tmp_path, capsys):
    config = ShotConfig((0, 2), orderings=2, demonstrations="nearest")
    found = report(colours, opened, config, files, output=tmp_path / "run", max_examples=10, arguments="task: colours")
    printed = capsys.readouterr().out
    assert "2 of 34 examples to learn from say word for word what is asked about: none is shown" in printed or (
        "1 of 34" in printed
    )
    assert "copier on colours: 10 queries, 2 draws of nearest examples, sum scoring" in printed
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == json.loads(json.dumps(found))
    assert (tmp_path / "run" / "shots.png").read_bytes().startswith(b"\x89PNG")
    rows = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    assert len(rows) == 10 + 20
    right = np.mean([row["answer"] == row["label"] for row in rows if row["shots"]])
    assert found["lines"][1]["interval"][0] == right == 1
    held_out = {text_of(json.loads(line)) for line in Path(str(files.held_out)).read_text().splitlines()}
    train = [text_of(json.loads(line)) for line in Path(str(files.train)).read_text().splitlines()]
    asked = {int(row["query"].split()[1]) for row in rows}
    shown = {train[int(place.split()[1]) - 1] for row in rows for place in row["shown"]}
    lines = Path(str(files.held_out)).read_text().splitlines()
    assert not shown & {text_of(json.loads(lines[number - 1])) for number in asked}
    assert held_out & set(train), "though there are some in both"
    with pytest.raises(ValueError, match="found with another --task: give"):
        report(colours, opened, config, files, output=tmp_path / "run", arguments="task: other")


def test_results_of_other_arguments_stay(tmp_path):
    asked = {"task": "colours", "shots": [0, 2], "data": {"train": "a"}, "batch_size": 16, "output": "run"}

    def refuse(**changes) -> None:
        refuse_other_results(tmp_path, yaml.safe_dump(asked | changes))

    (tmp_path / "run.yaml").write_text("# commit 1\n" + yaml.safe_dump(asked, sort_keys=False))
    refuse(shots=[1])  # a call that was killed leaves its arguments and no results
    (tmp_path / "results.json").write_text("{}")
    refuse(batch_size=4, output="./run")
    with pytest.raises(ValueError, match=r"holds results that were found with another --shots, --data: give the arg"):
        refuse(shots=[0], data={"train": "b"})
    with pytest.raises(ValueError, match="with another --scoring: give"):
        refuse(scoring="mean")
    (tmp_path / "run.yaml").unlink()
    with pytest.raises(ValueError, match="holds results of another command: choose another --output"):
        refuse()


def test_one_question_from_the_terminal(colours, files, opened):
    label = {row["text"]: row["label"] for row in map(json.loads, Path(str(files.train)).read_text().splitlines())}
    query = {"text": "today bado"}
    said = ask(colours, query, opened, ShotConfig((4,), demonstrations="nearest"), files).splitlines()
    assert len(said) == 3
    best, probability = said[0].split()
    assert (best, float(probability) > 0.9) == (label["now bado"], True)
    assert sum(float(line.split()[1]) for line in said) == pytest.approx(1, abs=2e-4)
    words = {"negative": "red", "positive": "green"}
    sentiment = reworded(load_task("sentiment", ROOT / "tasks"), verbalisers=words)  # whose labels are known
    assert len(ask(sentiment, query, opened, ShotConfig((0,))).splitlines()) == 2
    with pytest.raises(ValueError, match="a query has what the template asks for, text, but film came"):
        ask(colours, {"film": "x"}, opened, ShotConfig((0,)), files)
    with pytest.raises(ValueError, match=r"asks for {text}"):
        ask(colours, {}, opened, ShotConfig((0,)), files)
    with pytest.raises(ValueError, match=r"the text of a query in Unicode is wanted, but it holds half .* \\ud800, at"):
        ask(colours, {"text": "\ud800"}, opened, ShotConfig((0,)), files)
    with pytest.raises(
        ValueError, match="35 examples are to be shown, but there are 33 to learn from"
    ):  # the query stands there too
        ask(colours, query, opened, ShotConfig((35,)), files)


def test_other_words_for_a_task(colours):
    task = reworded(colours, "{text}:\\n{label}", "", {"red": "rot"})
    assert task.prompt
    assert (task.prompt.template, task.prompt.description, task.prompt.separator) == ("{text}:\n{label}", "", " . ")
    assert Wording(task, ("red", "blue")).words == {"red": "rot", "blue": "blue"}
    bare = Task(Classification, (), ())
    assert reworded(bare) == bare
    assert reworded(bare, "{text} {label}").prompt == asking.Prompt("{text} {label}")
    with pytest.raises(ValueError, match="name it with --output"):
        report(colours, Opened("x", torch.device("cpu")), ShotConfig())


@pytest.mark.slow
def test_the_command(gpt2, tokenizer, files, tmp_path):
    """A stranger's model, from a folder."""
    gpt2.save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    asked = [sys.executable, ROOT / "scripts" / "prompt.py", "--task", "sentiment", "--model", tmp_path / "gpt2"]
    asked += ["--data.train", files.train, "--data.held_out", files.held_out, "--template", "{text} is {label}"]

    def run(*flags: object, code: int = 0) -> str:
        done = subprocess.run([*map(str, asked), *map(str, flags)], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == code, done.stderr[-2000:]
        return done.stderr if code else done.stdout

    first = ("--output", "run", "--shots", "[0,1,2]", "--orderings", 2, "--max_examples", 8, "--control",
             "--scoring", "calibrated", "--demonstrations", "random")  # fmt: skip
    printed = run(*first)
    assert len((tmp_path / "run" / "predictions.jsonl").read_text().splitlines()) == 8 * (1 + 4 * 2)
    assert "labels by chance" in printed
    assert (tmp_path / "run" / "shots.png").exists()
    kept = (tmp_path / "run" / "results.json").read_bytes()
    assert "found with another --seed: give" in run(*first, "--seed", 1, code=1)
    run(*first, "--batch_size", 4)
    assert json.loads((tmp_path / "run" / "results.json").read_bytes())["lines"] == json.loads(kept)["lines"]
    assert len(run("--query.text", "now bado", "--shots", "[2]").splitlines()) == 3
    assert "{txt} came" in run("--query.text", "now bado", "--template", "{txt} {label}", code=1)

"""Scores of several seeds or folds: the right figures in the table and the files, from made-up trials."""

import json
from dataclasses import replace

import numpy as np
import pytest

from selfsup.finetuning import scoring
from selfsup.finetuning.figures import Scorer, interval
from selfsup.finetuning.material import Material
from selfsup.finetuning.scoring import cross_validate, present, report, score_task
from selfsup.finetuning.trial import Trial
from selfsup.metrics import Bleu, ExactMatch, Sari, TagAccuracy
from selfsup.metrics.bootstrap import bootstrap
from selfsup.objectives import Classification, SequenceToSequence, Tagging
from selfsup.task import Human, Task


@pytest.fixture
def material(cats, about_cats) -> Material:
    """40 examples to learn from, of 2/3 "no", and 10 to score on, of 6 "no"."""
    train = [{**example, "id": str(number)} for number, example in enumerate(about_cats(40))]
    return Material("cats", cats, train, about_cats(10, seed=1), ("no", "yes"), Human(0.95, "We asked them"))


@pytest.fixture
def made_up(monkeypatch, cats):
    """Trials that got so many right, by seed; what was asked of each is noted."""
    asked: list[dict] = []

    def fake(right):
        def run(learner, task, examples, held_out, config, folder, *, labels, seed, accelerator, keep_model=False):
            number = right(seed, len(asked), len(held_out))
            turned = {"yes": "no", "no": "yes"}
            conclusions = [
                example["label"] if place < number else turned[example["label"]]
                for place, example in enumerate(held_out)
            ]
            asked.append({"examples": examples, "held_out": held_out, "folder": folder, "keep_model": keep_model,
                          "seed": seed, "labels": labels})  # fmt: skip
            curve = [
                {"epoch": 1, "step": 4, "train_loss": 0.7, "slice_accuracy": 0.5, "best": 0},
                {"epoch": 2, "step": 8, "train_loss": 0.4, "slice_accuracy": 0.6 + seed / 10, "best": 1},
            ]
            return Trial(conclusions, {"accuracy": number / len(held_out)}, curve, 90.0, len(examples))

        monkeypatch.setattr(scoring, "run_trial", run)
        return asked

    return fake


def test_a_task_over_seeds(material, made_up, untrained, quick, accelerator, tmp_path):
    asked = made_up(lambda seed, *_: (8, 9, 7)[seed])
    found = score_task(untrained, material, quick, tmp_path, seeds=3, accelerator=accelerator, keep_models=True)
    assert [one["seed"] for one in asked] == [0, 1, 2]
    assert [one["folder"] for one in asked] == [tmp_path / f"seed-{seed}" for seed in range(3)]
    assert all(one["keep_model"] and one["held_out"] is material.held_out for one in asked)
    right = np.array([[place < number for place in range(10)] for number in (8, 9, 7)])
    assert found["figure"] == pytest.approx(bootstrap(right, rng=np.random.default_rng(0)))
    assert found["figure"][0] == pytest.approx(0.8)
    assert found["baseline"] == ["most frequent label", 0.6]
    assert (found["learnt"], found["held_out"], found["seconds"], found["epochs"]) == (40, 10, 270.0, [2, 2, 2])
    assert found["best_seed"] == 2, "the best on its slice, not on the split that is reported"
    assert found["human"] == [0.95, "We asked them"]


def test_folds_score_every_example_once_by_a_model_that_has_not_seen_it(
    material, made_up, untrained, quick, accelerator, tmp_path
):
    asked = made_up(lambda seed, call, number: number - (call % 4 == 0))  # the first fold of each seed gets one wrong
    found = cross_validate(untrained, material, quick, tmp_path, number=4, seeds=2, accelerator=accelerator)
    everything = {example["id"] for example in material.train}
    for seed in range(2):
        parts = [one for one in asked if one["seed"] == seed]
        assert len(parts) == 4
        assert sorted(example["id"] for one in parts for example in one["held_out"]) == sorted(everything)
        for one in parts:
            learnt, judged = ({example["id"] for example in one[name]} for name in ("examples", "held_out"))
            assert learnt | judged == everything
            assert not learnt & judged
    assert len({one["folder"] for one in asked}) == 8
    dealt = [{example["id"] for example in one["held_out"]} for one in asked]
    assert dealt[0] != dealt[4], "every seed deals anew"
    assert found["figure"][0] == pytest.approx(39 / 40)
    assert found["folds"] == [[0.9, 1.0, 1.0, 1.0]] * 2
    assert (found["held_out"], found["learnt"], found["seconds"]) == (40, 30, 8 * 90.0)
    assert found["baseline"][1] == pytest.approx(26 / 40)
    assert found["figures"] == [{"accuracy": 39 / 40}] * 2


def test_the_table_and_the_file_hold_the_figures(material, made_up, untrained, quick, accelerator, tmp_path, capsys):
    made_up(lambda seed, *_: (8, 9, 7)[seed])
    one = score_task(untrained, material, quick, tmp_path, seeds=3, accelerator=accelerator)
    made_up(lambda seed, *_: 10)
    other = score_task(untrained, replace(material, human=None), quick, tmp_path, seeds=1, accelerator=accelerator)
    mean = report({"cats": one, "dogs": other}, tmp_path)
    assert mean == pytest.approx(0.9)
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split("  ")[0]: [cell.strip() for cell in line.split("  ")[1:] if cell.strip()] for line in lines}
    _, low, high = one["figure"]
    assert rows["cats"] == [
        "accuracy", "80.0", f"({100 * low:.1f} to {100 * high:.1f})", "60.0", "(most frequent label)", "95.0",
        "40, 10", "2, 2/2/2", "4.5",
    ]  # fmt: skip
    assert rows["dogs"][1:3] == ["100.0", "(100.0 to 100.0)"]
    assert rows["macro average"] == ["90.0", "60.0", "6.0"]
    assert "people: We asked them" in lines
    assert one["signatures"] == {}
    kept = json.loads((tmp_path / "scores.json").read_text())
    assert kept["macro_average"] == mean
    assert kept["cats"]["figure"] == list(one["figure"])
    assert kept["cats"]["figures"] == [{"accuracy": share} for share in (0.8, 0.9, 0.7)]


def test_settings_of_a_metric_stand_below_the_table(untrained, quick, accelerator, tmp_path, capsys):
    class Written(SequenceToSequence):
        def bind(self, tokenizer, config):
            self.label_ids = {}  # there is no model

    def trial(*_, **__):
        curve = [{"epoch": 1, "step": 4, "train_loss": 0.7, "best": 1}]
        return Trial(["The old mill stands."] * 2, {"bleu": 1.0}, curve, 90.0, 2)

    task = Task(Written, (Bleu, ExactMatch), (), name="copies")
    examples = [{"source": "The old mill stands.", "target": "The old mill stands.", "label": name} for name in "ab"]
    material = Material("copies", task, examples, examples, ("a", "b"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "run_trial", trial)
        found = score_task(untrained, material, quick, tmp_path, seeds=1, accelerator=accelerator)
    assert (found["figure"], found["baseline"]) == ((1.0, 1.0, 1.0), ["copy of the source", 1.0])
    report({"copies": found}, tmp_path)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("bleu: ")]
    assert line.startswith("bleu: nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert f"bleu: {found['signatures']['bleu']}" == line


def test_a_metric_that_sees_the_source_comes_first(untrained, quick, accelerator, tmp_path, monkeypatch):
    """A copy of the source is near in BLEU and far in SARI, which sees all targets that an example has."""

    class Two(SequenceToSequence):
        def bind(self, tokenizer, config):
            self.label_ids = {}  # there is no model

        def reference(self, example):
            return [example["target"], "never"]

    source, target = "It had rained for days and so we left .", "It had rained for days . So we left ."
    example = {"source": source, "target": target, "label": "a"}
    task = Task(SequenceToSequence, (Bleu, ExactMatch), (), name="split", source_metrics=(Sari,))
    right = Sari().compute(predictions=[target], references=[{"source": source, "targets": [target, "never"]}])
    for objective, sari in ((SequenceToSequence(), 1.0), (Two(), right["sari"])):
        objective.label_ids = {}
        figures = Scorer(task, objective)([target], [example])
        assert list(figures)[::4] == ["sari", "bleu"]
        assert [figures[name] for name in ("sari", "bleu", "exact_match")] == pytest.approx([sari, 1.0, 1.0])
    monkeypatch.setattr(
        scoring, "run_trial",
        lambda *_, **__: Trial([target], {}, [{"epoch": 1, "step": 4, "train_loss": 0.7, "best": 1}], 1.0, 1),
    )  # fmt: skip
    material = Material("split", replace(task, objective=Two), [example], [example], ("a",))
    found = score_task(untrained, material, quick, tmp_path, seeds=1, accelerator=accelerator)
    assert (found["metric"], found["baseline"][0]) == ("sari", "copy of the source")
    assert found["figure"][0] == pytest.approx(right["sari"])
    assert found["baseline"][1] < 0.5 < Bleu().compute(predictions=[source], references=[target])["bleu"]


def test_a_metric_that_sees_the_source_wants_one():
    task = Task(Classification, (Bleu,), (), name="moods", source_metrics=(Sari,))
    with pytest.raises(ValueError, match=r"from text to text is wanted by Sari, .* that of moods is Classification:"):
        Scorer(task, Classification())


def test_an_interval_counts_words_and_examples_are_sentences(material, made_up, untrained, monkeypatch):
    """Of a metric that is no mean over examples: 3 of 4 words and 0 of 1 are 3 of 5."""
    objective = Tagging()
    objective.label_ids = {"X": 0, "Y": 1}
    score = Scorer(replace(material.task, metrics=(TagAccuracy,)), objective)
    examples = [{"words": list("abcd"), "tags": list("XXXX")}, {"words": ["e"], "tags": ["X"]}]
    tallies = score.tallies([list("XXXY"), ["Y"]], examples)[None]
    assert interval(tallies, score)[0] == pytest.approx(3 / 5)
    assert interval(tallies, score, tallies) == (0.0, 0.0, 0.0)


def test_the_model_of_the_best_seed_is_left(monkeypatch, tmp_path, capsys):
    drawn: list[dict] = []
    monkeypatch.setattr("selfsup.pictures.efficiency.draw_bands", lambda panels, *_, **__: drawn.append(panels))
    for seed in range(2):
        model = tmp_path / f"seed-{seed}" / "model"
        model.mkdir(parents=True)
        (model / "config.json").write_text(str(seed))
    curves = [[{"step": 4, "train_loss": loss, "slice_loss": 1.0, "slice_f1": loss / 2}] for loss in (0.2, 0.4)]
    present({"metric": "f1", "curves": curves, "best_seed": 1}, tmp_path)
    assert (tmp_path / "model" / "config.json").read_text() == "1"
    (panels,) = drawn
    assert panels["loss"]["learnt from"] == [(4, pytest.approx(0.3), 0.2, 0.4)]
    assert panels["f1"]["slice that chooses"] == [(4, pytest.approx(0.15), 0.1, 0.2)]
    assert "(seed 1, the best on its slice of training)" in capsys.readouterr().out
    few = [[{"step": 4, "train_loss": loss}] for loss in (0.2, 0.4)]
    present({"metric": "f1", "curves": few, "best_seed": 0}, tmp_path)
    assert "(seed 0, the least training loss: too few examples for a slice)" in capsys.readouterr().out
    present({"metric": "f1", "curves": curves, "best_seed": 7}, tmp_path / "folds")
    assert "folds leave no model" in capsys.readouterr().out

"""Arms that differ in one thing, trained, measured and kept; names that are made up; steps to a level by hand."""

import json
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from numpy.random import default_rng

from selfsup.examples import DataChoice
from selfsup.finetuning import writing_effects
from selfsup.finetuning.beginning import begin
from selfsup.finetuning.effects import Arm, Effect, run_effect, way_to
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.metrics import Bleu
from selfsup.models.encoder_decoder_config import TextEncoderDecoderConfig
from selfsup.objectives import SequenceReward, SequenceToSequence
from selfsup.task import Task, load_task

TASKS = Path(__file__).parents[2] / "tasks"


def test_way_to_a_level_by_hand():
    curve = [{"step": 10, "right": 0.2}, {"step": 20, "right": 0.6}, {"step": 30, "right": 0.4}]
    assert way_to(curve, "right", 0.1) == 5
    assert way_to(curve, "right", 0.2) == 10
    assert way_to(curve, "right", 0.5) == 17.5
    assert way_to(curve, "right", 0.7) is None
    assert way_to([{"step": 10, "seconds": 8.0, "right": 0.8}], "right", 0.2, of="seconds") == 2


def test_names_are_different_and_the_same_again():
    syllables = writing_effects.SYLLABLES[::2]
    names = writing_effects.made_up_names(300, syllables, rng=default_rng(0))
    assert len(set(names)) == 300
    assert all(name.isalpha() and name.istitle() for name in names)
    assert names == writing_effects.made_up_names(300, syllables, rng=default_rng(0))


def test_a_name_stands_for_the_person_on_both_sides_and_others_are_left_out():
    pairs = [
        {"source": "A man sleeps.", "target": "Ein Mann schläft."},
        {"source": "A man sleeps.", "target": "Jemand schläft."},
        {"source": "A manager sleeps.", "target": "Ein Manager schläft."},
        {"source": "A young boy runs.", "target": "Ein kleiner Junge rennt."},
    ]
    assert writing_effects.named(pairs, ["Lumo", "Ana", "Tarik", "Bes"]) == [
        {"source": "Lumo sleeps.", "target": "Lumo schläft."},
        {"source": "Bes runs.", "target": "Bes rennt."},
    ]


def test_names_to_score_on_are_never_learnt_from(tmp_path):
    rows = [{"source": f"A man sleeps {n} times.", "target": f"Ein Mann schläft {n} mal."} for n in range(40)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = Task(SequenceToSequence, (Bleu,), ())
    files = writing_effects.named_files(task, DataChoice(name=str(data), held_out="0.25"), tmp_path / "named", None)
    names = [{json.loads(line)["source"].split()[0] for line in file.read_text().splitlines()} for file in files]
    assert [len(file.read_text().splitlines()) for file in files] == [30, 10]
    assert names[1]
    assert not names[0] & names[1]


def test_the_arms_of_copying_are_of_one_size():
    config = writing_effects.SHAPE
    gate = 2 * config.hidden_size**2 + 3 * config.hidden_size + 2
    blocks = config.num_encoder_layers + config.num_decoder_layers
    wider = blocks * 2 * config.hidden_size * writing_effects.GATE_WIDTH
    assert wider == pytest.approx(gate, rel=0.02)


@pytest.fixture
def effect(tmp_path):
    """Three ways on sentences that are to be copied."""
    chance, words = random.Random(0), ["miller", "queen", "captain", "letter", "garden", "river", "old", "map"]
    lines = [" ".join(chance.choices(words, k=3)) for _ in range(60)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps({"source": line, "target": line}) + "\n" for line in lines))
    shape = {"hidden_size": 16, "num_encoder_layers": 1, "num_decoder_layers": 1, "num_attention_heads": 2}
    shape |= {"intermediate_size": 32, "vocab_size": 280, "max_position_embeddings": 16}
    once = FineTuneConfig(epochs=1, batch_size=16, slice_share=0.0)
    task, choice = Task(SequenceToSequence, (Bleu,), (), name="copies"), DataChoice(name=str(data), held_out="0.2")
    return Effect(
        task,
        choice,
        lambda folder: begin(task, choice, TextEncoderDecoderConfig(**shape), folder),
        once,
        {
            "plain": Arm(SequenceToSequence),
            "gated": Arm(SequenceToSequence, {"copy_gate": True}),
            "plain, beams": Arm(None, start="plain", beams=2),
            "rewarded": Arm(SequenceReward, start="plain"),
        },
        {"BLEU": lambda beams: Task(partial(SequenceToSequence, beams=beams), (Bleu,), ())},
    )


def test_arms_are_trained_measured_and_not_made_again(effect, tmp_path, accelerator, capsys):
    run = partial(run_effect, effect, tmp_path / "out", seeds=range(2), accelerator=accelerator)
    found = run()
    assert json.loads((tmp_path / "out" / "effect.json").read_text())["parameters"] == found["parameters"]
    assert (tmp_path / "out" / "effect.png").stat().st_size > 5_000
    assert found["parameters"]["gated"] - found["parameters"]["plain"] == 2 * 16**2 + 3 * 16 + 2
    assert found["parameters"]["plain, beams"] == found["parameters"]["plain"]
    assert set(found["differences"]["BLEU"]) == {"gated", "plain, beams", "rewarded"}
    assert [len(found["minutes"][arm]) for arm in effect.arms] == [2, 2, 0, 2]
    began = json.loads((tmp_path / "out" / "rewarded-1" / "trial.json").read_text())["asked"]["model"]
    other = json.loads((tmp_path / "out" / "rewarded-0" / "trial.json").read_text())["asked"]["model"]
    assert began != other  # each goes on from the model of its own seed
    shown = capsys.readouterr().out
    assert "rewarded" in shown
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.json") if path.stem != "effect"}
    assert run()["figures"] == found["figures"]
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_measure_is_made_again_where_it_is_another(effect, tmp_path, accelerator):
    for beams in (1, 2):
        arms = {"plain": replace(effect.arms["plain"], beams=beams)}
        run_effect(replace(effect, arms=arms), tmp_path / "out", seeds=[0], accelerator=accelerator)
        kept = json.loads((tmp_path / "out" / "plain-0" / "BLEU.json").read_text())
        assert f"('beams', {beams})" in kept["asked"]["objective"]


def test_what_is_watched_on_a_slice_wants_one(effect, tmp_path, accelerator):
    watching = replace(effect, watched=0.5)
    with pytest.raises(ValueError, match="a slice of what is learnt from is wanted, to watch, but 48 examples"):
        run_effect(watching, tmp_path / "out", seeds=[0], accelerator=accelerator)


def test_some_arms_come_with_those_that_they_go_on_from(effect):
    assert list(effect.some(["rewarded", "gated"])) == ["plain", "gated", "rewarded"]
    with pytest.raises(ValueError, match="arms named plain, gated, plain, beams, rewarded are there, but gate came"):
        effect.some(["gate"])


def test_attention_that_is_guided_is_scored_by_where_it_looks(effect, tmp_path, accelerator, monkeypatch):
    splitting = load_task("sentence_split", TASKS)
    whole = writing_effects.guiding(splitting, effect.choice, tmp_path, None)
    name = "no places, guided"
    monkeypatch.setattr("selfsup.finetuning.slices.FEWEST", 5)
    tune = replace(effect.tune, slice_share=0.2)
    short = replace(whole, begin=effect.begin, tune=tune, arms={name: whole.arms[name]}, watched=0.01)
    found = run_effect(short, tmp_path / "out", seeds=[0], accelerator=accelerator)
    trial = json.loads((tmp_path / "out" / "no_places,_guided-0" / "trial.json").read_text())
    (line,) = trial["curve"]
    steps = line["step"] * 0.01 / line["slice_aligned"]  # on a straight line from 0
    assert found["steps"] == {name: [pytest.approx(steps)]}
    assert found["seconds"] == {name: [pytest.approx(line["seconds"] * steps / line["step"])]}
    assert 0 <= found["figures"]["copies aligned"][name][0] <= 1

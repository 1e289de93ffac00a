"""`--resume` with other arguments, damaged checkpoints or fewer processes: it is said what differs, nothing is lost."""

import json
import re
import shutil
from typing import Any

import pytest
import torch
import yaml

from selfsup.tokenization.encode import _sentencepiece
from selfsup.training.checkpoint import load_checkpoint, save_checkpoint
from selfsup.training.export import open_tokenizer
from selfsup.training.loop import TrainConfig, _new_length

Given = Any  # flags, or a function that prepares a case and returns them


def other_text(case) -> list[str]:
    shutil.copytree(case.text, case.folder / "other")
    (case.folder / "other" / "00.txt").write_text("Something else was written here. It is short.")
    return ["--corpus", "other"]


OTHER_ARGUMENTS: list[tuple[str, Given, str]] = [
    ("another text", other_text, r"--corpus was .*text0 \(\w{8}\) and is now other \(\w{8}\)"),
    ("another seed", ["--train.seed", "1"], "--train.seed was 0 and is now 1"),
    ("another batch size", ["--data.batch_size", "8"], "--data.batch_size was 4 and is now 8"),
    ("stages", ["--data.stages", '[{"block_size": 32, "until": 0.5}, {"block_size": 64}]'],
     "--data.block_size was 64 and is now null, --data.batch_size was 4 and is now null, --data.stages was null and i"),
    ("another share held out", ["--data.validation_share", "0.2"], r"validation_share was [\d,]+ tokens held out"),
    ("another learning rate", ["--optim.learning_rate", "0.5"], "--optim.learning_rate was 0.001 and is now 0.5"),
    ("another schedule", ["--optim.schedule", "linear"], "--optim.schedule was wsd and is now linear"),
    ("another optimizer", ["--optim.name", "Adam"], "--optim.name was AdamW and is now Adam"),
    ("another hidden share", ["--objectives.tokens.rate", "0.3"], "rate of MaskedTokens was 0.15 and is now 0.3"),
    ("another unit", ["--objectives.tokens.unit", "word"], "unit of MaskedTokens was token and is now word"),
    ("another weight", ["--objectives.order.weight", "2"], '--objectives was {.*"order": 1.0.* now {.*"order": 2.0'),
    ("an objective less", ["--objectives", '{"tokens": {"class_path": "MaskedTokens"}}'], "--objectives was {"),
    ("a wider model", ["--model.hidden_size", "32"], "--model.hidden_size was 16 and is now 32"),
    ("as wide, but more heads", ["--model.num_attention_heads", "1"], "--model.num_attention_heads was 2 and is now 1"),
    ("other rows of validation", ["--train.eval_rows", "4"], "--train.eval_rows was 8 and is now 4"),
    ("another dropout", ["--model.dropout", "0.1"], "--model.dropout was 0.0 and is now 0.1"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "given", "sentence"), OTHER_ARGUMENTS, ids=[row[0] for row in OTHER_ARGUMENTS])
def test_other_arguments(case, contents, what, given, sentence):
    flags, before = case.flags(given), contents(case.run)
    said = case.refused("--resume", *flags, output=case.run)
    assert re.search(sentence, said), said
    assert "checkpoint-00000002 is of a run with other arguments: " in said
    assert {name: old for name, old in contents(case.run).items() if name in before} == before
    case.note(f"`--resume` with {what}", said)


def test_what_may_change_is_written_down(case):
    case.goes_on()
    first = (case.fresh / "run.yaml").read_text()
    said = "already finished after 2 steps: for more, raise num_steps or max_minutes"
    assert said in case.goes_on("--resume")
    case.note("`--resume` of a finished run", said)
    assert (case.fresh / "run.yaml").read_text() == first
    allowed = {"eval_every": 1, "save_every": 2, "keep": 5, "log_every": 1, "workers": 1, "micro_batch_size": 2}
    changed = [part for name, value in allowed.items() for part in (f"--train.{name}", value)]
    printed = case.goes_on("--resume", "--train.num_steps", "4", *changed)
    assert "the run has 4 steps now instead of 2: the learning rate follows" in printed
    assert said not in printed
    record = yaml.safe_load((case.fresh / "run.yaml").read_text())
    assert {name: record["train"][name] for name in allowed} == allowed
    assert (record["train"]["num_steps"], record["resume"]) == (4, False)
    assert (case.fresh / "run.1.yaml").read_text() == first
    assert max((case.fresh / "checkpoints").iterdir()).name == "checkpoint-00000004"
    assert not (case.fresh / ".asked.yaml").exists()


DAMAGE: list[tuple[str, str, Any]] = [
    ("no state.json", "state.json", None),
    ("state.json cut off", "state.json", 40),
    ("another state.json", "state.json", b"[1, 2]"),
    ("a state without numbers", "state.json", b'{"step": 2, "run": {}}'),
    ("a state without step", "state.json", b'{"step": "two", "run": {}}'),
    ("no weights", "model.safetensors", None),
    ("weights cut off", "model.safetensors", 3000),
    ("empty weights", "model.safetensors", 0),
    ("optimizer states cut off", "model.optimizer.safetensors", 5000),
    ("no optimizer states", "model.optimizer.safetensors", None),
]


def damage(file, keep):
    if keep is None:
        file.unlink()
    else:
        file.write_bytes(keep if isinstance(keep, bytes) else file.read_bytes()[:keep])


@pytest.mark.parametrize(("what", "file", "keep"), DAMAGE, ids=[row[0] for row in DAMAGE])
def test_a_damaged_checkpoint(case, finished, contents, what, file, keep):
    """The one before is gone on from, and the run ends in the same bytes; where there is none, nothing is touched."""
    root = case.run / "checkpoints"
    damage(root / "checkpoint-00000002" / file, keep)
    printed = case.goes_on("--resume", output=case.run)
    (said,) = [line for line in printed if line.startswith("the checkpoint ")]
    assert said.startswith(f"the checkpoint {root / 'checkpoint-00000002'} is damaged (")
    assert said.endswith("it is now called damaged-checkpoint-00000002, and the run goes on from checkpoint-00000001")
    now = contents(root)
    for name, content in contents(finished / "checkpoints").items():
        assert now[name] == content or not name.endswith(".safetensors"), name
    case.note(f"a checkpoint with {what}", said)

    for folder in root.glob("checkpoint-*"):
        damage(folder / file, keep)
    before = contents(root)
    said = case.refused("--resume", output=case.run)
    assert said.startswith(f"no checkpoint in {root} is whole, so there is nothing to go on from: the checkpoint")
    assert contents(root) == before
    if what == "no weights":
        case.note("all checkpoints damaged", said)


def test_a_checkpoint_of_another_model(tmp_path):
    """The arguments agree, the weights do not: of another version of the code, say."""

    made = [{"model": torch.nn.Linear(2, size)} for size in (3, 4)]
    optimizers = [{"model": torch.optim.SGD(players["model"].parameters())} for players in made]
    folder = save_checkpoint(tmp_path, 1, made[0], optimizers[0], {"run": {}})
    with pytest.raises(ValueError, match="holds another model than the one asked for: give the arguments of the first"):
        load_checkpoint(folder, made[1], optimizers[1])


def test_weights_that_are_not_finite_are_not_kept(tmp_path):
    players = {"model": torch.nn.Linear(2, 3)}
    with torch.no_grad():
        players["model"].weight[0, 1] = torch.nan
    with pytest.raises(ValueError, match="weights are no longer finite after step 1, so they are not kept: lower"):
        save_checkpoint(tmp_path, 1, players, {"model": torch.optim.SGD(players["model"].parameters())}, {"run": {}})
    assert not list(tmp_path.iterdir())


def test_an_earlier_version(case):
    file = case.run / "checkpoints" / "checkpoint-00000002" / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"run": "0123456789"}))
    said = case.refused("--resume", output=case.run)
    assert "is of an earlier version of selfsup: go on with that one, or begin another run" in said


def test_fewer_processes_than_before(case):
    for file in (case.run / "checkpoints").glob("*/state.json"):
        before = {"launch": {"processes": 2, "precision": "bf16"}}
        file.write_text(json.dumps(json.loads(file.read_text()) | before))
    printed = case.goes_on("--resume", "--train.num_steps", "3", output=case.run)
    (said,) = [line for line in printed if line.startswith("the run was")]
    assert said == (
        "the run was on 2 process(es) in bf16 and is now on 1 process(es) in fp32: it reads the same data, but dropout "
        "is drawn, and sums are rounded, differently"
    )
    case.note("fewer processes than at the last stop", said)


def test_new_minutes_become_steps_at_the_pace_so_far():
    saved: dict[str, Any] = {"step": 100, "num_steps": 200, "max_minutes": 3.0, "seconds": 40.0, "eval_seconds": 2.0}

    def steps(**length):
        return _new_length(TrainConfig(eval_every=20, **length), saved)

    assert steps(max_minutes=3.0) == 200  # as it was, whatever the pace
    assert steps(max_minutes=6.0) == (360 - 2 * 2) / (0.4 + 2 / 20)  # 0.4 s a step, and a share of the validations
    assert steps(max_minutes=0.1) == 100  # what is done is done
    assert steps(num_steps=300) == 300
    saved["num_steps"] = None
    assert steps(max_minutes=6.0) is None  # the pace is still being measured


def test_a_checkpoint_encodes_as_fast_as_its_run(finished):
    for folder in (finished / "checkpoints").iterdir():
        assert _sentencepiece(open_tokenizer(str(folder))) is not None

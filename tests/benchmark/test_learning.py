"""Tokens until a loss, the sweep, and the table, from logs written by hand; and both commands, once."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from selfsup.benchmark.launched import LAUNCHES
from selfsup.benchmark.learning import (
    CHANGES,
    DEFAULTS,
    START,
    Arm,
    arms,
    bert,
    losses,
    rates_of,
    report,
    sweep,
    tokens_until,
)
from selfsup.data.plan import Stage
from selfsup.objectives import MaskedTokens
from selfsup.training.checkpoint import NotFinite

ROOT = Path(__file__).parents[2]
STAGE = Stage(block_size=128, batch_size=64)


def log(*points: tuple[int, float]) -> list[dict]:
    return [
        {"step": step, "tokens": tokens, "tokens_per_second": 10.0, "validation_tokens_loss": loss}
        for step, (tokens, loss) in enumerate(points, start=1)
    ]


def test_steps_of_stages_are_shares_of_the_run(tiny_config):
    stages = [Stage(block_size=20, batch_size=5, until=0.5), Stage(block_size=30, batch_size=10)]
    arm = Arm(tiny_config, {"tokens": MaskedTokens()}, DEFAULTS, stages)
    assert arm.steps(2000) == 10  # 5 of 100 tokens and 5 of 300
    assert arm.steps(2001) == 11


def test_a_loss_is_met_between_two_validations():
    run = log((100, 5.0), (200, 4.0), (300, 2.0))
    assert tokens_until(run, 3.0) == 250
    assert tokens_until(run, 4.0) == 200
    assert tokens_until(run, 6.0) == 100  # it is not known how long before
    assert tokens_until(run, 1.0) == np.inf
    tokens, values = losses([*run, {"step": 4, "tokens": 400, "tokens_per_second": 10.0}])
    assert tokens.tolist() == [100, 200, 300]
    assert values.tolist() == [5.0, 4.0, 2.0]


def learner(best: float, *, diverges_from: float = np.inf):
    """Pretends to learn; best at one rate, without dropout, and with a long warm-up."""
    seen = []

    def learn(arm, folder, *, tokens, seed):
        assert (tokens, seed) == (1000, 0)
        seen.append(folder.name)
        if arm.optim.learning_rate >= diverges_from:
            raise NotFinite("the loss was nan")
        far = abs(np.log(arm.optim.learning_rate / best)) + (arm.model.dropout > 0) + (arm.optim.warmup_steps < 100)
        return log((500, 9.0), (1000, 4.0 + far))

    return learn, seen


def test_the_sweep_tunes_the_rate_first_and_keeps_what_pays(tiny_config, tmp_path):
    learn, seen = learner(1e-3, diverges_from=4e-3)
    start = bert(tiny_config, START, STAGE)
    found, tried = sweep(learn, start, tmp_path, rates=[4e-3, 1e-3, 2.5e-4], tokens=1000)
    assert found.optim == replace(START, learning_rate=1e-3)
    assert (found.optim.weight_decay, found.optim.schedule) == (0.01, "linear")
    assert (start.model.dropout, found.model.dropout) == (0.1, 0.0)
    assert found.stages == [STAGE]
    assert seen == [f"{name} after 1000" for name in tried]
    assert list(tried)[:4] == ["rate 0.00025", "rate 0.001", "rate 0.004", "rate 0.001, no dropout"]
    assert list(tried)[4:] == [f"rate 0.001, no dropout, {more}" for more in ("short warm-up", "wsd", "half the batch")]
    assert tried["rate 0.004"] == np.inf
    assert min(tried.values()) == 4.0


@pytest.mark.parametrize("best", [2.5e-4, 4e-3])
def test_a_best_rate_at_the_edge_is_refused(tiny_config, tmp_path, best):
    learn, _ = learner(best)
    with pytest.raises(
        ValueError, match=rf"the best learning rate, {best:g}, is at the edge of those tried \(0.00025: "
    ):
        sweep(learn, bert(tiny_config, START, STAGE), tmp_path, rates=[2.5e-4, 1e-3, 4e-3], tokens=1000)


def test_changes_of_the_sweep_change_what_they_say(tiny_config):
    start = bert(tiny_config, START, STAGE)
    assert CHANGES["short warm-up"](start).optim == replace(START, warmup_steps=25)
    assert CHANGES["wsd"](start).optim == replace(START, schedule="wsd", betas=(0.9, 0.98))
    assert CHANGES["half the batch"](start).stages == [replace(STAGE, batch_size=32)]
    assert start.stages == [STAGE]


def test_bert_has_the_size_of_the_recipe_and_its_own_shape(tiny_config):
    ours = Arm(tiny_config, {"tokens": MaskedTokens(rate=0.3)}, START, [STAGE, Stage(256, 32)])
    best = bert(tiny_config, replace(START, learning_rate=1e-3), STAGE)
    found = arms(ours, best)
    assert list(found) == ["run_mlm's defaults", "BERT, tuned", "ours"]
    assert (found["ours"], found["BERT, tuned"]) == (ours, best)
    plain = found["run_mlm's defaults"]
    assert plain.optim == DEFAULTS
    assert (plain.model.norm_position, plain.model.position_type, plain.model.use_bias) == ("post", "learned", True)
    assert plain.model.hidden_size == tiny_config.hidden_size
    hidden = plain.objectives["tokens"]
    assert isinstance(hidden, MaskedTokens)
    assert hidden.rate == 0.15
    assert plain.stages == best.stages == [STAGE]


def test_the_table_compares_seed_by_seed():
    logs = {
        "theirs": [log((100, 5.0), (200, 3.0)), log((100, 5.0), (200, 4.0))],
        "ours": [log((100, 3.0), (200, 2.0)), log((100, 5.0), (200, 3.0))],
    }
    heads, _, theirs, ours = [line for line in report(logs, ["theirs"]).splitlines() if line.strip()]
    assert "tokens to the loss of theirs" in heads
    assert "3.500 (3.000 to 4.000)" in theirs
    assert "1.00 (1.00 to 1.00)" in theirs
    assert "2.500 (2.000 to 3.000)" in ours
    assert "0.62 (0.50 to 0.75)" in ours  # its loss of 3 after 100 of 200 tokens, and of 4 after 150


def test_seconds_follow_from_tokens_and_the_fastest_way(tiny_config, tmp_path):
    steps = {"run_mlm as shipped (fp32)": 4.0, "run_mlm, bf16": 3.0, "run_mlm, bf16, compiled": 2.0}
    steps |= {"ours, bf16": 0.1, "ours as in pretrain_small, bf16": 1.0}
    timed = {name: {"seconds": [value, value], "tokens": 8.0} for name, value in steps.items()}
    shape = {"hidden_size": 16, "num_layers": 2, "block_size": 128, "batch_size": 64}
    (tmp_path / "speed.json").write_text(json.dumps({"shape": shape, "contestants": timed}))
    ours = Arm(tiny_config, {}, START, [STAGE])
    rates = rates_of(tmp_path / "speed.json", ours)
    assert rates == {"run_mlm's defaults": 2.0, "BERT, tuned": 4.0, "ours": 8.0}
    logs = {"BERT, tuned": [log((100, 5.0), (200, 3.0))], "ours": [log((100, 3.0), (200, 2.0))]}
    printed = report(logs, ["BERT, tuned"], rates)
    assert "sooner by" in printed
    assert "4.0 (4.0 to 4.0)" in printed  # half of the tokens, twice as fast
    with pytest.raises(ValueError, match=r"seconds are wanted of steps with .*'batch_size': 8.* has those of"):
        rates_of(tmp_path / "speed.json", replace(ours, stages=[replace(STAGE, batch_size=8)]))


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    chance, folder = np.random.default_rng(0), tmp_path_factory.mktemp("text")
    words = ["".join(chance.choice(list("abcdeghilmnoprstu"), size=5)) for _ in range(400)]
    for number in range(12):
        lines = [" ".join(chance.choice(words, size=12)).capitalize() + "." for _ in range(120)]
        (folder / f"{number}.txt").write_text("\n\n".join(lines))
    return folder


def launch(script: str, *flags: object) -> str:
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, flags)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_race_is_run_and_kept(text, tmp_path):
    shape = "[{hidden_size: 64, num_layers: 2, block_size: 32, batch_size: 8}]"
    printed = launch(
        "bench_pretraining.py", "--corpus", text, "--output", tmp_path, "--shapes", shape, "--steps", 3,
        "--compiled", "false", "--threads", 1, "--vocab_size", 500,
    )  # fmt: skip
    assert "one line a row" in printed
    assert "run_mlm as shipped (fp32)" in printed
    kept = json.loads((tmp_path / "speed-0.json").read_text())
    assert len(kept["contestants"]) == printed.count(" to ") >= 4
    assert {len(one["seconds"]) for one in kept["contestants"].values()} == {3}


@pytest.mark.slow
def test_whole_commands_are_timed(text, tmp_path):
    shape = "{hidden_size: 64, num_layers: 2, block_size: 32, batch_size: 8}"
    printed = launch(
        "bench_commands.py", "--corpus", text, "--output", tmp_path, "--shape", shape, "--steps", 3,
        "--rounds", 1, "--threads", 2, "--vocab_size", 500,
    )  # fmt: skip
    rows = [line.split("  ")[0] for line in printed.splitlines() if "ours" in line or "run_mlm" in line]
    assert rows == ["run_mlm as shipped (fp32)", "run_mlm, bf16", *LAUNCHES]


@pytest.mark.slow
def test_learning_is_compared_and_goes_on_where_it_was_stopped(text, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("\n\n".join(reversed((text / "0.txt").read_text().split("\n\n"))))
    flags = (
        "bench_learning.py", "--corpus", text, "--data.validation", other, "--output", tmp_path,
        "--tokens", 8192, "--sweep_tokens", 4096,
        "--seeds", "[0]", "--rates", "[1.0e-3]", "--model.vocab_size", 500, "--model.hidden_size", 32,
        "--model.num_attention_heads", 2, "--model.intermediate_size", 64, "--train.eval_rows", 8,
        "--data.stages", "[{block_size: 32, batch_size: 16}]", "--optim.warmup_steps", 2,
    )  # fmt: skip
    printed = launch(*flags)
    assert "BERT, tuned" in printed
    assert (tmp_path / "learning.png").read_bytes()[:4] == b"\x89PNG"
    weights = tmp_path / "ours, seed 0, after 8192" / "metrics.jsonl"
    before = weights.read_bytes()
    assert launch(*flags).splitlines()[-5:] == printed.splitlines()[-5:]
    assert weights.read_bytes() == before
    assert len(json.loads((tmp_path / "sweep.json").read_text())) == 5

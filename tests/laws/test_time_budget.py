"""A time budget becomes a number of steps once, and from then on only the step counts."""

import json
import signal

import pytest

# On the clock of these runs a step takes 1 s and a validation 2 s, so 1.5 minutes hold
# (90 - 2 * 2) / (1 + 2 / 20) = 78 steps: two validations at the ends, and one after every 20 steps.
SETTINGS = {"batch_size": 2, "own_clock": True, "optim": {"warmup_steps": 50}}
TRAIN = {"max_minutes": 1.5, "eval_every": 20, "eval_rows": 2}
STEPS = 78


def state(folder):
    return json.loads((max((folder / "checkpoints").glob("checkpoint-*")) / "state.json").read_text())


@pytest.mark.parametrize("num_processes", [1, 2])
def test_minutes_become_steps(launch, tmp_path, num_processes):
    launch("pretrain", tmp_path, num_processes=num_processes, **SETTINGS, train=TRAIN)
    assert (state(tmp_path)["step"], state(tmp_path)["num_steps"]) == (STEPS, STEPS)


def test_a_resumed_run_comes_to_the_same_number(launch, tmp_path):
    launch("pretrain", tmp_path / "whole", **SETTINGS, train=TRAIN)
    # Stopped before the number is known, in the step after which it is, and when it is: after 1, 31, 50 and 60 steps.
    for stop in (1, 30, 19, 10):
        strike = {"target": "selfsup.training.loop:take_step", "call": stop, "signal_name": "SIGTERM"}
        result = launch("pretrain", tmp_path / "stopped", **SETTINGS, train=TRAIN, strike=strike, resume=True)
        assert result["stops"] == [signal.SIGTERM]
    # A much faster machine goes on with the number as it was.
    launch("pretrain", tmp_path / "stopped", **SETTINGS | {"own_clock": False}, train=TRAIN, resume=True)
    assert state(tmp_path / "stopped")["num_steps"] == STEPS
    whole, stopped = (
        tmp_path / run / "checkpoints" / f"checkpoint-{STEPS:08d}" / "model.safetensors" for run in ("whole", "stopped")
    )
    assert whole.read_bytes() == stopped.read_bytes()


def test_the_probe_must_lie_in_the_warm_up(launch, tmp_path):
    result = launch("pretrain", tmp_path, **SETTINGS | {"optim": {"warmup_steps": 49}}, train=TRAIN)
    assert "set warmup_steps to 50 or more" in result["error"]

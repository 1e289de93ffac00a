"""A run that was stopped or killed anywhere and goes on is, byte for byte, the run that never stopped."""

import signal

import pytest

from selfsup.training.report import read_metrics

# 14 steps of 96 rows are three and a half epochs; checkpoints after 3, 4, 6, 8, 9, 12 and 14 steps, of which 2 and the
# best stay; validations, of three micro-batches, after 0, 4, 8, 12 and 14.
SETTINGS = {"dropout": 0.1, "batch_size": 96}
TRAIN = {"num_steps": 14, "save_every": 3, "eval_every": 4, "keep": 2, "micro_batch_size": 20}


def outcome(folder):
    """The last weights, and what was logged; speed is left out."""
    lines = [
        {name: value for name, value in line.items() if name != "tokens_per_second"}
        for line in read_metrics(folder / "metrics.jsonl")
    ]
    return (folder / "checkpoints" / "checkpoint-00000014" / "model.safetensors").read_bytes(), lines


@pytest.fixture(scope="module")
def never_stopped(launch, tmp_path_factory):
    """What an undisturbed run comes to, made once for each set of arguments."""
    known = {}

    def run(**arguments):
        key = str(arguments)
        if key not in known:
            folder = tmp_path_factory.mktemp("never-stopped")
            result = launch("pretrain", folder, **SETTINGS, train=TRAIN, **arguments)
            assert result["epoch_rows"] % 96, "an epoch should end within a step"
            known[key] = outcome(folder)
        return known[key]

    return run


@pytest.mark.parametrize(
    "weights", ["float32", *(pytest.param(name, marks=pytest.mark.slow) for name in ("float64", "bfloat16"))]
)
def test_stopped_after_every_single_step(launch, never_stopped, tmp_path, weights):
    strike = {"target": "selfsup.training.loop:take_step", "call": 1, "signal_name": "SIGTERM", "every": True}
    result = launch("pretrain", tmp_path, **SETTINGS, train=TRAIN, weights=weights, strike=strike, again=True)
    assert result["stops"] == [signal.SIGTERM] * 13
    assert outcome(tmp_path) == never_stopped(weights=weights)


def test_stopped_while_muon_moves(launch, never_stopped, tmp_path):
    strike = {"target": "selfsup.training.loop:take_step", "call": 7, "signal_name": "SIGTERM"}
    optim = {"name": "Muon", "momentum": 0.95}
    launch("pretrain", tmp_path, **SETTINGS, train=TRAIN, strike=strike, again=True, optim=optim)
    assert outcome(tmp_path) == never_stopped(optim=optim)


@pytest.mark.slow
def test_stopped_when_blocks_are_compiled(launch, never_stopped, tmp_path):
    strike = {"target": "selfsup.training.loop:take_step", "call": 7, "signal_name": "SIGTERM"}
    kind = {"compiled": True, "precision": "bf16"}
    launch("pretrain", tmp_path, **SETTINGS, train=TRAIN, strike=strike, **kind)
    launch("pretrain", tmp_path, **SETTINGS, train=TRAIN, resume=True, **kind)
    assert outcome(tmp_path) == never_stopped(**kind)


MOMENTS = {
    "before the first checkpoint": ("selfsup.training.loop:take_step", 3),
    "in training": ("selfsup.training.loop:take_step", 8),
    "in an epoch's last step": ("selfsup.training.loop:take_step", 12),
    "in the first evaluation": ("selfsup.training.evaluation:batch_of", 2),
    "in a later evaluation": ("selfsup.training.evaluation:batch_of", 8),
    "while the first checkpoint is written": ("selfsup.training.checkpoint:save_file", 2),
    "while a later checkpoint is written": ("selfsup.training.checkpoint:save_file", 8),
    "while a checkpoint is made fast on disk": ("selfsup.training.checkpoint:_sync", 10),
    "before a checkpoint gets its name": ("pathlib:Path.rename", 3),
    "while an old checkpoint is deleted": ("os:unlink", 3),
    "while the log is written": ("selfsup.training.report:json.dumps", 9),
}
SWIFT = {"in training", "while a later checkpoint is written"}  # the others are in CI


@pytest.mark.parametrize(
    ("target", "call"),
    [
        pytest.param(*place, id=moment, marks=[] if moment in SWIFT else pytest.mark.slow)
        for moment, place in MOMENTS.items()
    ],
)
def test_killed(launch, never_stopped, tmp_path, target, call):
    strike = {"target": target, "call": call, "signal_name": "SIGKILL"}
    killed = launch("pretrain", tmp_path, **SETTINGS, train=TRAIN, strike=strike, dies=True)
    assert killed["codes"] == [-signal.SIGKILL]
    launch("pretrain", tmp_path, **SETTINGS, train=TRAIN, resume=True)
    assert outcome(tmp_path) == never_stopped()
    assert not [path for path in (tmp_path / "checkpoints").iterdir() if path.name.startswith(".")]


def test_one_of_two_processes_hears_the_signal_and_both_stop(launch, never_stopped, tmp_path):
    strike = {"target": "selfsup.training.loop:take_step", "call": 5, "signal_name": "SIGTERM", "process": 1}
    result = launch("pretrain", tmp_path, num_processes=2, **SETTINGS, train=TRAIN, strike=strike, again=True)
    assert (result["processes"], result["stops"]) == (2, [signal.SIGTERM])
    assert outcome(tmp_path) == never_stopped(num_processes=2)


def test_both_processes_hear_ctrl_c(launch, tmp_path):
    strike = {"target": "selfsup.training.loop:take_step", "call": 2, "signal_name": "SIGINT"}
    result = launch("pretrain", tmp_path, num_processes=2, **SETTINGS, train=TRAIN, strike=strike)
    assert result["stops"] == [signal.SIGINT]


@pytest.mark.slow
def test_workers_change_nothing(launch, never_stopped, tmp_path):
    launch("pretrain", tmp_path, **SETTINGS, train=TRAIN | {"workers": 2})
    assert outcome(tmp_path) == never_stopped()


def test_no_pickle_is_read(launch, never_stopped, tmp_path):
    strike = {"target": "selfsup.training.loop:take_step", "call": 5, "signal_name": "SIGTERM"}
    result = launch("pretrain", tmp_path, **SETTINGS, train=TRAIN, strike=strike, again=True, no_pickle=True)
    assert result["stops"] == [signal.SIGTERM]
    assert outcome(tmp_path) == never_stopped()


def test_other_arguments_are_not_gone_on_with(launch, tmp_path):
    launch("pretrain", tmp_path, train=TRAIN | {"num_steps": 1})
    changed = {"batch_size": 8, "dropout": 0.1, "optim": {"learning_rate": 0.5}}
    result = launch("pretrain", tmp_path, train=TRAIN, **changed, resume=True)
    said = (
        "--data.batch_size was 16 and is now 8, --optim.learning_rate was 0.001 and is now 0.5, --model.dropout was 0.0"
    )
    assert said in result["error"]

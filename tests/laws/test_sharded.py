"""Weights spread over processes (FSDP2, on gloo) learn what whole ones learn, and their checkpoints are whole."""

import signal

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForPreTraining

import selfsup.models  # noqa: F401 - makes the Auto classes know ours
from selfsup.training.sharding import is_wanted

LAST = "checkpoints/checkpoint-00000012"


@pytest.fixture(scope="module")
def whole(launch, tmp_path_factory):
    """The folder of 12 steps of one process."""
    folder = tmp_path_factory.mktemp("whole")
    result = launch("pretrain", folder, weights="float64", batch_size=15, train={"num_steps": 12})
    assert result["share_of_weights"] == []
    return folder


def deviation(folder, other, file="model.safetensors"):
    """Largest relative distance of any tensor."""
    found, wanted = load_file(folder / LAST / file), load_file(other / LAST / file)
    assert found.keys() == wanted.keys()
    return max(float((found[name] - wanted[name]).norm() / wanted[name].norm()) for name in wanted)


def test_two_sharded_processes_learn_what_one_learns(launch, whole, tmp_path):
    train = {"num_steps": 12, "micro_batch_size": 4, "activation_checkpointing": True}  # 4 + 4 rows, and 4 + 3
    result = launch("pretrain", tmp_path, num_processes=2, sharded=True, weights="float64", batch_size=15, train=train)
    assert result["processes"] == 2
    assert result["share_of_weights"] == [pytest.approx(0.5, abs=0.1)]
    print(f"FSDP2 x 2 against one process: float64 weights {deviation(tmp_path, whole):.1e} apart")
    assert deviation(tmp_path, whole) < 1e-10
    assert deviation(tmp_path, whole, "model.optimizer.safetensors") < 1e-8


@pytest.mark.slow
def test_stopped_sharded_runs_go_on_as_if_never_stopped(launch, tmp_path):
    weights: list[list[bytes]] = []
    for strike in (None, {"target": "selfsup.training.loop:take_step", "call": 7, "signal_name": "SIGTERM"}):
        folder = tmp_path / str(len(weights))
        result = launch(
            "pretrain", folder, num_processes=2, sharded=True, dropout=0.1, strike=strike, again=True,
            train={"num_steps": 12, "eval_every": 6},
        )  # fmt: skip
        assert result["stops"] == ([signal.SIGTERM] if strike else [])
        weights.append([(folder / LAST / f"model{kind}.safetensors").read_bytes() for kind in ("", ".optimizer")])
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_a_sharded_checkpoint_opens_and_goes_on_in_one_process(launch, whole, tmp_path):
    settings = {"weights": "float64", "batch_size": 15}
    strike = {"target": "selfsup.training.loop:take_step", "call": 9, "signal_name": "SIGTERM"}
    stopped = launch(
        "pretrain", tmp_path, num_processes=2, sharded=True, **settings, strike=strike, train={"num_steps": 12}
    )
    assert stopped["stops"] == [signal.SIGTERM]
    launch("pretrain", tmp_path, **settings, resume=True, train={"num_steps": 12})
    assert deviation(tmp_path, whole) < 1e-10
    model = AutoModelForPreTraining.from_pretrained(tmp_path / "checkpoints" / "checkpoint-00000009")
    saved = load_file(tmp_path / "checkpoints" / "checkpoint-00000009" / "model.safetensors")
    assert all(torch.equal(weight, saved[name]) for name, weight in model.named_parameters())


@pytest.mark.slow
def test_two_sharded_players_play_as_by_hand(launch, tmp_path):
    launch("duel", tmp_path / "hand", by_hand=True)
    strike = {"target": "selfsup.training.loop:take_step", "call": 5, "signal_name": "SIGTERM"}
    result = launch("duel", tmp_path / "sharded", num_processes=2, sharded=True, micro_batch_size=2, strike=strike)
    assert (result["processes"], result["leaks"]) == (2, [])
    assert result["share_of_weights"] == 4 * [17 / 25]  # by whole rows; two players, twice
    for name in ("discriminator", "generator"):
        found, wanted = (load_file(tmp_path / kind / f"{name}.safetensors") for kind in ("sharded", "hand"))
        for key, value in wanted.items():
            torch.testing.assert_close(found[key], value, rtol=1e-10, atol=1e-12)


def test_players_that_share_weights_are_refused(launch, tmp_path):
    result = launch("pretrain", tmp_path, num_processes=2, sharded=True, ask="replaced", train={"num_steps": 2})
    assert result["error"] == (
        "players with weights of their own are wanted for FSDP, but model and generator share some: launch with "
        "scripts/launch/ddp.yaml"
    )


def test_muon_wants_whole_matrices(launch, tmp_path):
    optim = {"name": "Muon"}
    result = launch("pretrain", tmp_path, num_processes=2, sharded=True, optim=optim, train={"num_steps": 2})
    assert result["error"].startswith("Muon needs whole matrices, but FSDP spreads them over the processes: launch")


def test_the_first_fsdp_is_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "1")
    with pytest.raises(
        ValueError, match=r"fsdp_version 2 is wanted, but 1 came: launch with scripts/launch/fsdp2\.yaml"
    ):
        is_wanted()
    monkeypatch.setenv("FSDP_VERSION", "2")
    assert not is_wanted()  # a process alone has nobody to share with

"""Two players that step in turn: neither is moved by the other's turn, whatever the layout."""

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close


def weights(folder):
    return {name: load_file(folder / f"{name}.safetensors") for name in ("discriminator", "generator")}


@pytest.fixture(scope="module")
def by_hand(launch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("by-hand")
    launch("duel", folder, by_hand=True)
    return weights(folder)


@pytest.mark.parametrize("num_processes", [1, 2])
@pytest.mark.parametrize("micro_batch_size", [None, 2])
def test_players_in_turn_equal_a_plain_loop(launch, by_hand, tmp_path, num_processes, micro_batch_size):
    result = launch("duel", tmp_path, num_processes=num_processes, micro_batch_size=micro_batch_size)
    assert (result["processes"], result["leaks"]) == (num_processes, [])
    for name, found in weights(tmp_path).items():
        assert_close(found, by_hand[name], rtol=1e-10, atol=1e-12)


def test_both_players_learn(launch, by_hand, tmp_path):
    fresh = tmp_path / "fresh"
    launch("duel", fresh, by_hand=True, num_steps=0)
    for name, before in weights(fresh).items():
        assert all(not before[key].equal(by_hand[name][key]) for key in before if key.startswith("layers"))


def test_two_players_go_on_as_if_never_stopped(launch, tmp_path):
    launch("duel", tmp_path / "whole")
    strike = {"target": "selfsup.training.loop:take_step", "call": 7, "signal_name": "SIGTERM", "every": True}
    launch("duel", tmp_path / "stopped", strike=strike)
    for name in ("discriminator", "generator"):
        whole, stopped = (tmp_path / run / f"{name}.safetensors" for run in ("whole", "stopped"))
        assert whole.read_bytes() == stopped.read_bytes()

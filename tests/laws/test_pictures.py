"""Pretraining on pictures keeps the laws of the loop: any layout comes to the same, and so does a stopped run."""

import signal

import pytest
import torch
from safetensors.torch import load_file

from selfsup.training.report import read_metrics


def weights(folder, process=0):
    return load_file(folder / f"process-{process}.safetensors")


def apart(folder, other) -> float:
    one, wanted = weights(folder), weights(other)
    assert one.keys() == wanted.keys()
    return max(float((one[name] - wanted[name]).norm() / wanted[name].norm()) for name in wanted)


@pytest.fixture(scope="module")
def alone(launch, tmp_path_factory):
    """A run on one process for each question, made once."""
    known = {}

    def run(ask, **arguments):
        key = f"{ask} {arguments}"
        if key not in known:
            folder = tmp_path_factory.mktemp("alone")
            known[key] = folder, launch("look", folder, ask=ask, **arguments)
        return known[key]

    return run


@pytest.mark.parametrize(
    ("ask", "layout"),
    [
        ("patches", {"train": {"micro_batch_size": 4}}),
        ("patches", {"num_processes": 2, "train": {"micro_batch_size": 3}}),
        ("view", {"num_processes": 2}),  # micro-batches would ask easier questions
    ],
)
def test_any_layout_comes_to_the_same(launch, alone, tmp_path, ask, layout):
    folder, wanted = alone(ask)
    found = launch("look", tmp_path, ask=ask, **layout)
    assert found["processes"] == layout.get("num_processes", 1)
    assert apart(tmp_path, folder) < 1e-10
    assert found["loss"] == pytest.approx(wanted["loss"], abs=1e-6)  # losses of pixels are summed in float32
    assert (found["counts"], found["hits"]) == (wanted["counts"], wanted["hits"])
    assert found["counts"] == ({"view": 22} if ask == "view" else {"patches": 33})  # 11 pictures, once each


def test_what_needs_no_learning_stands_beside(alone):
    _, views = alone("view")
    assert views["blind"]["validation_view_blind_accuracy"] == pytest.approx(1 / 21)
    _, patches = alone("patches")
    assert patches["blind"]["validation_patches_blind_loss"] > 0
    assert "validation_patches_perplexity" not in patches["blind"]


@pytest.mark.parametrize(("ask", "num_processes"), [("patches", 1), ("averages", 2)])
def test_a_stopped_run_goes_on_as_if_it_had_not(launch, tmp_path, ask, num_processes):
    settings = {"ask": ask, "num_processes": num_processes, "weights": "float32", "dropout": 0.1}
    launch("look", tmp_path / "whole", **settings)
    strike = {"target": "selfsup.training.loop:take_step", "call": 2, "signal_name": "SIGTERM"}
    stopped = launch("look", tmp_path / "stopped", strike=strike, **settings)
    assert stopped["stops"] == [signal.SIGTERM]

    def outcome(folder):
        lines = read_metrics(folder / "metrics.jsonl")
        told = [{name: value for name, value in line.items() if name != "pictures_per_second"} for line in lines]
        return (folder / "process-0.safetensors").read_bytes(), told

    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


def test_running_averages_are_the_same_in_all_processes(launch, tmp_path):
    assert launch("look", tmp_path, ask="averages", num_processes=2)["processes"] == 2
    one, other = weights(tmp_path), weights(tmp_path, 1)
    averages = [name for name in one if "running_var" in name]
    assert averages
    assert all((one[name] != 1).any() for name in averages), "they have seen something"
    assert all(torch.equal(one[name], other[name]) for name in one)

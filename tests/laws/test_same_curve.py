"""A batch may be laid out in any way, over micro-batches and processes: the same weights come out."""

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from selfsup.training.report import read_metrics

LAYOUTS: dict[str, dict[str, Any]] = {
    "16 x 1": {},
    "4 x 4": {"train": {"micro_batch_size": 4}},
    "two processes x 8": {"num_processes": 2},
    "two processes x (2 + 3 + 3)": {"num_processes": 2, "train": {"micro_batch_size": 3}},
}


def runs(launch, folder, num_steps, **arguments):
    """One run for each layout: its folder."""
    folders = {}
    for number, (layout, settings) in enumerate(LAYOUTS.items()):
        folders[layout] = folder / str(number)
        train = {"num_steps": num_steps, **settings.get("train", {})}
        result = launch("pretrain", folders[layout], **{**settings, **arguments, "train": train})
        assert result["processes"] == settings.get("num_processes", 1)
    return folders


@pytest.mark.parametrize(
    ("ask", "num_steps", "player"),
    [
        ("order", 50, "model"),
        pytest.param("next", 8, "model", marks=pytest.mark.slow),
        ("replaced", 8, "generator"),
        ("next_token", 8, "model"),
    ],
)
def test_float64_weights_are_the_same_after_some_steps(launch, tmp_path, ask, num_steps, player):
    folders = runs(launch, tmp_path, num_steps, weights="float64", ask=ask)
    weights = {
        layout: load_file(folder / "checkpoints" / f"checkpoint-{num_steps:08d}" / f"{player}.safetensors")
        | load_file(folder / "checkpoints" / f"checkpoint-{num_steps:08d}" / "model.safetensors")
        for layout, folder in folders.items()
    }
    wanted = weights.pop("16 x 1")
    assert all(weight.dtype == torch.float64 for weight in wanted.values())
    for layout, found in weights.items():
        deviation = max(float((found[name] - wanted[name]).norm() / wanted[name].norm()) for name in wanted)
        print(f"{ask}, {layout} against 16 x 1: float64 weights {deviation:.1e} apart")
        assert deviation < 1e-10, layout


def test_muon_comes_to_the_same_weights(launch, tmp_path):
    folders = runs(launch, tmp_path, 8, weights="float64", optim={"name": "Muon", "momentum": 0.95})
    wanted, *others = [
        load_file(folder / "checkpoints" / "checkpoint-00000008" / "model.safetensors") for folder in folders.values()
    ]
    for found in others:
        assert max(float((found[name] - wanted[name]).norm() / wanted[name].norm()) for name in wanted) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("num_processes", [1, 2])
def test_compiled_blocks_come_to_the_same_weights(launch, tmp_path, num_processes):
    weights = []
    for compiled in (False, True):
        folder = tmp_path / str(compiled)
        launch(
            "pretrain", folder, weights="float64", compiled=compiled, num_processes=num_processes,
            train={"num_steps": 8, "micro_batch_size": 4},
        )  # fmt: skip
        weights.append(load_file(folder / "checkpoints" / "checkpoint-00000008" / "model.safetensors"))
    for name, weight in weights[0].items():
        assert float((weights[1][name] - weight).norm() / weight.norm()) < 1e-10, name


@pytest.mark.slow
def test_float32_loss_is_the_same_for_200_steps(launch, tmp_path):
    folders = runs(launch, tmp_path, 200)
    curves = {
        layout: [line["loss"] for line in read_metrics(folder / "metrics.jsonl") if "loss" in line]
        for layout, folder in folders.items()
    }
    wanted = curves.pop("16 x 1")
    assert len(wanted) == 200
    assert wanted[-1] < 0.8 * wanted[0]
    for layout, curve in curves.items():
        assert curve == pytest.approx(wanted, abs=1e-4), layout


@pytest.mark.slow
def test_bf16_comes_to_the_validation_loss_of_fp32(launch, tmp_path):
    losses = [
        launch("pretrain", tmp_path / precision, precision=precision, train={"num_steps": 500})["loss"]
        for precision in ("no", "bf16")
    ]
    assert losses[1] == pytest.approx(losses[0], abs=0.02)
    assert losses[1] != losses[0]


def test_activation_checkpointing_changes_memory_and_nothing_else(launch, tmp_path):
    weights = []
    for on in (False, True):
        train = {"num_steps": 5, "activation_checkpointing": on}
        assert launch("pretrain", tmp_path / str(on), train=train, weights="float64")["checkpointing"] == on
        weights.append(load_file(tmp_path / str(on) / "checkpoints" / "checkpoint-00000005" / "model.safetensors"))
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-10, atol=1e-12)

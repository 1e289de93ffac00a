"""Fine-tuning and its conclusions do not depend on the number of processes, nor on micro-batches."""

import json

import pytest
import torch
from safetensors.torch import load_file

KINDS = ["classification", "tagging", "answer_span", "sequence_to_sequence", "sequence_reward"]
LAYOUTS = {
    "two processes": {"num_processes": 2},
    "micro-batches of 2": {"micro_batch_size": 2},
    "two processes, micro-batches of 2": {"num_processes": 2, "micro_batch_size": 2},
}


@pytest.fixture(scope="module")
def alone(launch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    assert launch("tune", folder, kinds=KINDS)["processes"] == 1
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_comes_to_the_same(launch, alone, tmp_path, layout):
    number = launch("tune", tmp_path, kinds=KINDS, **LAYOUTS[layout])["processes"]
    assert number == LAYOUTS[layout].get("num_processes", 1)
    wanted = json.loads((alone / "process-0.json").read_text())
    processes = [json.loads((tmp_path / f"process-{place}.json").read_text()) for place in range(number)]
    for kind in KINDS:
        one = wanted[kind]
        assert one["seen"] == one["rows"] == sum(process[kind]["seen"] for process in processes)
        assert all(process[kind]["seen"] for process in processes), "each of them had some"
        for process in processes:
            found = process[kind]
            assert found["loss"] == pytest.approx(one["loss"], rel=1e-10)
            assert answers(found["conclusions"]) == answers(one["conclusions"])
            for line, other in zip(found["curve"], one["curve"], strict=True):
                assert line == pytest.approx(other, rel=1e-9)
        weights, others = (load_file(folder / f"{kind}.safetensors") for folder in (alone, tmp_path))
        # Softmax cancels a bias that all places have in common, so that one is noise around 0.
        apart = max(
            float((others[name] - weight).norm() / weight.norm().clamp(min=1)) for name, weight in weights.items()
        )
        print(f"{kind}, {layout} against one process: float64 weights {apart:.1e} apart")
        assert apart < 1e-10


@pytest.mark.slow
def test_running_averages_are_the_same_in_all_processes(launch, tmp_path):
    assert launch("see", tmp_path, num_processes=2)["processes"] == 2
    one, other = (load_file(tmp_path / f"{place}.safetensors") for place in range(2))
    averages = [name for name in one if "running_var" in name]
    assert averages
    assert all((one[name] != 1).any() for name in averages), "they have seen something"
    assert all(torch.equal(one[name], other[name]) for name in one)


def answers(conclusions):
    """Without scores, which are rounded in other places."""
    return [(one["start"], one["stop"]) if isinstance(one, dict) else one for one in conclusions]

"""Every example of a validation set counts once, on any number of processes."""

import json

import pytest

ROWS = [2, 7, 37]  # the odd ones divide by no number of processes and micro-batches here


@pytest.fixture(scope="module")
def alone(launch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return launch("score", folder, rows=ROWS, micro_batch_size=37), read(folder, 1)[0]


def read(folder, num_processes):
    return [json.loads((folder / f"process-{number}.json").read_text()) for number in range(num_processes)]


@pytest.mark.parametrize(("num_processes", "micro_batch_size"), [(1, 4), (2, 3), (2, 37)])
def test_layouts_score_the_same(launch, alone, tmp_path, num_processes, micro_batch_size):
    result = launch("score", tmp_path, num_processes=num_processes, rows=ROWS, micro_batch_size=micro_batch_size)
    assert result["processes"] == num_processes
    for process in read(tmp_path, num_processes):
        for found, wanted in zip(process["scores"], alone[1]["scores"], strict=True):
            assert found["losses"] == pytest.approx(wanted["losses"], abs=1e-6)
            assert (found["hits"], found["counts"]) == (wanted["hits"], wanted["counts"])
        assert process["training"], "a model in training is in training again afterwards"
    everything = sorted(example for process in read(tmp_path, num_processes) for example in process["read"])
    assert everything == result["examples"]


def test_counts_are_those_of_the_rows_one_by_one(alone):
    result, process = alone
    assert [score["counts"] for score in process["scores"]] == result["answers"]
    assert [set(score["hits"]) for score in process["scores"]] == [{"tokens", "order"}] * len(ROWS)


def test_fewer_rows_than_processes_are_refused(launch, tmp_path):
    result = launch("score", tmp_path, num_processes=2, rows=[1], micro_batch_size=4)
    assert "1 row(s) cannot be shared among 2 processes" in result["error"]

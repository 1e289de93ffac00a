"""The command that diagnoses: logs of both kinds in, verdict and picture out, and what it says to wrong folders."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from selfsup.pictures.diagnosis import draw_diagnosis

SCRIPT = Path(__file__).parents[2] / "scripts" / "diagnose.py"


@pytest.fixture
def diagnose():
    spec = importlib.util.spec_from_file_location("diagnose", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def write(folder: Path, name: str, lines: list[dict]) -> Path:
    folder.mkdir()
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def tuned(folder: Path, train: float) -> Path:
    lines = [
        {"epoch": epoch, "step": 9 * epoch, "train_loss": train, "slice_loss": train + 0.02, "slice_accuracy": 0.5}
        for epoch in range(1, 6)
    ]
    return write(folder, "curves.jsonl", [*lines[:-1], lines[-1] | {"test_loss": train + 0.03}])


def test_a_small_model_is_told_and_drawn(diagnose, tmp_path, capsys):
    run, larger = tuned(tmp_path / "small", 0.6), tuned(tmp_path / "large", 0.1)
    diagnose(run, larger, floor=0.05, blind=0.69)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "verdict  the model is too small for the data (model bias)"
    assert "because  There is 0.64 to learn, from 0.69 (blind) down to 0.05 (floor)." in printed
    assert "         The larger one comes to 0.1: +91% of what was missing is made up." in printed
    assert printed[-1] == f"picture  {run / 'diagnosis.png'}"
    assert (run / "diagnosis.png").read_bytes().startswith(b"\x89PNG")


def test_pretraining_is_read_by_step(diagnose, tmp_path, capsys):
    lines: list[dict] = [{"step": step, "loss": 1.0, "tokens_loss": 1.0} for step in range(1, 20)]
    write(tmp_path / "run", "metrics.jsonl", [*lines, {"step": 19, "validation_loss": 4.0}])
    diagnose(tmp_path / "run", blind=6.0, output=tmp_path / "new" / "a.svg")
    assert capsys.readouterr().out.startswith("verdict  it overfits\n")
    assert (tmp_path / "new" / "a.svg").is_file()


def test_wrong_folders_are_named(diagnose, tmp_path):
    with pytest.raises(ValueError, match=r"nothing holds no curves.jsonl or metrics.jsonl: give its --output"):
        diagnose(tmp_path / "nothing")
    good, empty = tuned(tmp_path / "good", 0.6), write(tmp_path / "empty", "curves.jsonl", [])
    burst = write(tmp_path / "burst", "curves.jsonl", [{"step": step, "train_loss": float("nan")} for step in (1, 2)])
    with pytest.raises(ValueError, match=r"empty: a training curve of 2 points or more is wanted, but 0 came"):
        diagnose(good, empty)
    with pytest.raises(ValueError, match=r"burst: finite losses are wanted, but the training loss at 1 is nan"):
        diagnose(good, longer=burst)


def test_what_is_drawn_is_what_was_weighed(tmp_path):
    losses = {"train": [(1, 0.5), (2, 0.1)], "slice": [(1, 0.6), (2, 0.3)], "test": [(2, 0.4)]}
    figure = draw_diagnosis(
        {"run": losses, "larger": losses | {"slice": []}},
        tmp_path / "a.png",
        title="it overfits",
        units={"run": "epoch", "larger": "step"},
        levels={"blind": 0.7, "floor": None},
    )  # fmt: skip
    run, larger = figure.axes
    assert [line.get_label() for line in run.lines] == ["train", "slice", "test", "blind"]
    for line, points in zip(run.lines, [*losses.values(), [(0, 0.7), (1, 0.7)]], strict=True):
        assert np.array_equal(line.get_xydata(), points)
    assert [line.get_label() for line in larger.lines] == ["train", "test", "blind"]
    assert (larger.get_xlabel(), run.get_yscale()) == ("step", "linear")
    with pytest.raises(ValueError, match="at least one run is wanted, but none came"):
        draw_diagnosis({}, tmp_path / "b.png", title="", units={}, levels={})

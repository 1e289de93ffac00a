"""finetune.py, score.py and compare.py as whole commands: what they leave, and that they go on after a kill."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TUNE = {"--tune.learning_rate": 0.01, "--tune.batch_size": 16, "--tune.epochs": 3}
NAMES = ["miller", "captain", "queen", "doctor", "teacher"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """The cat is good news; names are nouns. 600 and 41 rows of each task."""
    folder, chance = tmp_path_factory.mktemp("data"), random.Random(0)
    for split, number in (("train", 600), ("held_out", 41)):
        reviews, sentences = [], []
        for place in range(number):
            who = "cat" if place % 3 == 0 else chance.choice(NAMES)
            words = ["the", who, "hid", *["a", "silver", "spoon"] * chance.randint(0, 2)]
            tags = {"the": "DET", "a": "DET", "hid": "VERB", "silver": "ADJ"}
            reviews.append({"sentence": " ".join(words), "label": "negative" if place % 3 else "positive"})
            sentences.append({"tokens": words, "upos": [tags.get(word, "NOUN") for word in words]})
        for name, rows in (("reviews", reviews), ("sentences", sentences)):
            (folder / f"{name}_{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def choice(data: Path, name: str) -> dict[str, str]:
    return {split: str(data / f"{name}_{split}.jsonl") for split in ("train", "held_out")}


def command(script: str, model: Path, output: Path, *flags: object, **options: object) -> list[str]:
    given = {"--model": model, "--output": output, **TUNE, **options}
    parts = [sys.executable, ROOT / "scripts" / script, *(part for pair in given.items() for part in pair), *flags]
    return list(map(str, parts))


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_MODULES_CACHE": str(folder / "modules")}


def run(asked: list[str], folder: Path, code: int = 0) -> str:
    """What it printed, or where it ends with another code the errors."""
    done = subprocess.run(asked, check=False, capture_output=True, text=True, env=environment(folder))
    assert done.returncode == code, done.stderr[-3000:]
    return done.stderr if code else done.stdout


def trials(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All trials in a folder, and when each was written."""
    return {
        str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in sorted(folder.glob("**/trial.json"))
    }


def read(file: Path) -> Any:
    return json.loads(file.read_text())


STRANGER = """
import sys
sys.modules["selfsup"] = None  # importing it would fail
import json, transformers

kind, folder, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
pipe = transformers.pipeline(kind, folder, trust_remote_code=True)
assert "transformers_modules" in type(pipe.model).__module__
assert not any(name.split(".")[0] == "selfsup" and module for name, module in sys.modules.items())
found = pipe(texts)
print(json.dumps([[{k: one[k] for k in ("entity", "start", "end")} for one in row] if isinstance(row, list)
                  else row["label"] for row in found]))
"""


def stranger(kind: str, model: Path, texts: list[str], folder: Path) -> Any:
    """What a pipeline says in a process that cannot import selfsup."""
    asked = [sys.executable, "-c", STRANGER, kind, str(model), json.dumps(texts)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=folder, stdin=subprocess.DEVNULL,
                          env=environment(folder) | {"HF_HUB_OFFLINE": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def predictions(folder: Path) -> list[Any]:
    return [json.loads(line)["prediction"] for line in (folder / "predictions.jsonl").read_text().splitlines()]


def test_finetune_goes_on_after_a_kill_and_leaves_a_model_for_anybody(pretrained, data, tmp_path):
    files = {f"--data.{name}": file for name, file in choice(data, "reviews").items()}
    output = tmp_path / "run"
    asked = command("finetune.py", pretrained, output, "--task", "sentiment", "--seeds", "2", **files)
    first = output / "seed-0" / "trial.json"
    with subprocess.Popen(asked, env=environment(tmp_path), stdout=subprocess.DEVNULL) as process:
        while not first.exists():
            assert process.poll() is None, "it ended before"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = trials(output)
    assert list(kept) == ["seed-0/trial.json"]
    printed = run(asked, tmp_path)
    assert "sentiment  accuracy" in printed
    assert trials(output)["seed-0/trial.json"] == kept["seed-0/trial.json"]
    found = read(output / "scores.json")["sentiment"]
    assert len(found["figures"]) == 2
    assert found["figure"][0] > 0.9 > found["baseline"][1]
    assert found["metric"] == "accuracy"
    assert (output / "curves.png").read_bytes()[:4] == b"\x89PNG"

    before = trials(output)
    again = run(asked, tmp_path)
    assert trials(output) == before
    assert again.splitlines()[-6:] == printed.splitlines()[-6:]
    refused = run([*asked, "--tune.epochs", "4"], tmp_path, code=1)
    assert refused.splitlines()[-1].startswith("error: ")
    assert "seed-0 holds a trial already, with other --tune.epochs: choose another output, or delete it" in refused

    texts = [json.loads(line)["sentence"] for line in Path(files["--data.held_out"]).read_text().splitlines()]
    wanted = predictions(output / f"seed-{found['best_seed']}")
    assert set(wanted) == {"negative", "positive"}
    assert stranger("text-classification", output / "model", texts, tmp_path) == wanted


def test_tags_of_a_fine_tuned_folder_are_those_of_a_pipeline(pretrained, data, tmp_path):
    files = {f"--data.{name}": file for name, file in choice(data, "sentences").items()}
    run(command("finetune.py", pretrained, tmp_path / "run", "--task", "pos", **files), tmp_path)
    rows = [json.loads(line) for line in Path(files["--data.held_out"]).read_text().splitlines()]
    texts = [" ".join(row["tokens"]) for row in rows]
    assert read(tmp_path / "run" / "scores.json")["pos"]["figure"][0] > 0.95
    found = stranger("token-classification", tmp_path / "run" / "model", texts, tmp_path)
    for row, text, tags, pieces in zip(rows, texts, predictions(tmp_path / "run" / "seed-0"), found, strict=True):
        at, said = 0, []
        for word in row["tokens"]:
            at = text.index(word, at)  # where two pieces lie, the first of them is but the sign of a word's start
            said.append([piece["entity"] for piece in pieces if piece["start"] <= at < piece["end"]][-1])
            at += len(word)
        assert said == tags


def test_folds(pretrained, data, tmp_path):
    files = {f"--data.{name}": file for name, file in choice(data, "reviews").items()}
    printed = run(command("finetune.py", pretrained, tmp_path / "run", "--task", "sentiment", "--folds", "3",
                          "--data.max_train", "120", **files), tmp_path)  # fmt: skip
    assert list(trials(tmp_path / "run")) == [f"seed-0-fold-{fold}/trial.json" for fold in range(3)]
    found = read(tmp_path / "run" / "scores.json")["sentiment"]
    assert (found["held_out"], found["learnt"], len(found["folds"][0])) == (120, 80, 3)
    assert "folds leave no model" in printed

    printed = run(command("finetune.py", pretrained, tmp_path / "own", "--task", "sentiment", "--folds", "3",
                          "--data.train", files["--data.train"], "--data.max_train", "90"), tmp_path)  # fmt: skip
    assert read(tmp_path / "own" / "scores.json")["sentiment"]["held_out"] == 90, "of one file, all rows"
    assert (tmp_path / "run" / "seed-0-fold-0" / "predictions.jsonl").read_text().count('"text"') == 40


def test_score_and_compare(pretrained, data, tmp_path):
    tasks = json.dumps({"sentiment": choice(data, "reviews"), "pos": choice(data, "sentences")})
    asked = command("score.py", pretrained, tmp_path / "scores", "--tasks", tasks, "--seeds", "1",
                    "--epochs", '{"pos": 1}')  # fmt: skip
    printed = run(asked, tmp_path)
    found = read(tmp_path / "scores" / "scores.json")
    assert list(found) == ["sentiment", "pos", "macro_average"]
    assert [len(found[task]["curves"][0]) for task in ("sentiment", "pos")] == [3, 1]
    mean = (found["sentiment"]["figure"][0] + found["pos"]["figure"][0]) / 2
    assert found["macro_average"] == pytest.approx(mean)
    assert f"macro average{100 * mean:.1f}" in printed.replace(" ", "").replace("macroaverage", "macro average")
    before = trials(tmp_path / "scores")
    run(asked, tmp_path)
    assert trials(tmp_path / "scores") == before

    asked = command("compare.py", pretrained, tmp_path / "compared", "--tasks", tasks, "--seeds", "2",
                    "--shares", "[0.1, 1.0]", "--sweep.learning_rates", "[0.001, 0.01]", "--sweep.epoch_factors", "[1]",
                    "--epochs", '{"pos": 1}')  # fmt: skip
    printed = run(asked, tmp_path)
    found = read(tmp_path / "compared" / "comparison.json")
    for task in ("sentiment", "pos"):
        shares = found[task]["shares"]
        assert [shares[share]["labels"] for share in ("0.1", "1.0")] == [60, 600]
        assert len(read(tmp_path / "compared" / task / "share-0.1" / "sweep" / "sweep.json")) == 2
        whole = shares["1.0"]
        assert whole["difference"][0] == pytest.approx(whole["pretrained"][0] - whole["from scratch"][0])
        assert whole["pretrained"][0] > 0.9
    assert "sentiment (accuracy)" in printed
    before = trials(tmp_path / "compared")
    assert len(before) == 2 * 2 * (2 + 2 * 2)
    again = run(asked, tmp_path)
    assert trials(tmp_path / "compared") == before
    assert again.splitlines()[-5:] == printed.splitlines()[-5:]

"""The README tells the truth: its commands and its Python run, in order, in a fresh clone, on a text never seen."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# A stranger's run takes minutes; the test's takes seconds. Nothing else of a command is changed.
BRIEF = (
    " --train.max_minutes null --train.num_steps 6 --train.eval_every 3 --train.save_every 3 --train.eval_rows 8"
    " --optim.warmup_steps 2 --data.batch_size 4"
)
MIRROR = ("nyu-mll/blimp", "stanfordnlp/sst2", "universal_dependencies/en_ewt", "sick", "squadshifts")
BRIEF_TUNING = " --tune.epochs 2"
BRIEF_ASKING = {
    "prompt.py": " --max_examples 4",
    "in_context.py": " --train.num_steps 6 --train.eval_every 3 --train.save_every 3 --seeds 1"
    " --problems.num_train 400 --problems.num_fresh 40",
    "generate.py": " --max_new_tokens 5",
}
BRIEF_SCORES = {
    "score.py": " --seeds 1 --tune.epochs 1 --epochs null",
    "compare.py": " --seeds 1 --tune.epochs 1 --epochs null --tune.min_steps 2 --shares '[1.0]'"
    " --sweep.learning_rates '[0.001]' --sweep.epoch_factors '[1]'",
}
SMALL = " --model.vocab_size 512 --model.hidden_size 32 --model.num_attention_heads 2 --model.intermediate_size 64"


APART = ("From text to text", "From pictures")  # sections that need nothing of the others


def parts() -> dict[str, str]:
    """The README in parts that run side by side: the sections apart, and all else in its order."""
    sections = {text.partition("\n")[0]: text for text in re.split(r"^## ", README, flags=re.MULTILINE)}
    apart = {title: sections.pop(title) for title in APART}
    return apart | {"all else": "".join(sections.values())}


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A clone with the environment of the tests in place of a second installation."""
    folder = tmp_path_factory.mktemp("clone")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    bin_folder = folder / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    for tool in ("python", "accelerate"):
        script = f'#!/bin/sh\nexec "{Path(sys.executable).parent / tool}" "$@"\n'
        (bin_folder / tool).write_text(script)
        (bin_folder / tool).chmod(0o755)
    (folder / ".venv" / ".installed").touch()
    texts = folder / "my_texts"
    texts.mkdir()
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghilmnoprstu", k=chance.randint(3, 8))) for _ in range(2000)]
    for number in range(24):
        sentences = [" ".join(chance.choices(words, k=12)).capitalize() + "." for _ in range(100)]
        (texts / f"{number}.txt").write_text("\n\n".join(sentences))
    write_labelled(folder, words, chance)
    return folder


def write_labelled(folder: Path, words: list[str], chance: random.Random) -> None:
    """A file of reviews, a mirror of the Hub with four tasks, a few rows each, and a folder of pictures."""
    for split, count in (("train", 60), ("validation", 11)):
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in MIRROR}
        for number in range(count):
            text = chance.choices(words, k=8)
            first, second = " ".join(text), " ".join(text[::-1])
            answer = {"text": [text[2]], "answer_start": [len(" ".join(text[:2])) + 1]}
            rows["nyu-mll/blimp"].append(
                {"uid": "order", "linguistics_term": "binding", "sentence_good": first, "sentence_bad": second}
            )
            rows["stanfordnlp/sst2"].append({"sentence": first, "label": number % 2})
            rows["sick"].append({"sentence_A": first, "sentence_B": second, "label": number % 3})
            rows["universal_dependencies/en_ewt"].append(
                {"tokens": text, "text": first, "upos": ["NOUN" if len(word) > 5 else "VERB" for word in text]}
            )
            rows["squadshifts"].append(
                {"id": str(number), "question": f"what is {text[1]}?", "context": first, "answers": answer}
            )
        for name, examples in rows.items():
            (folder / "mirror" / name).mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(examples), folder / "mirror" / name / f"{split}.parquet")
    pairs = [
        {"source": first, "target": first.upper()}
        for first in (" ".join(chance.choices(words, k=5)) for _ in range(60))
    ]
    (folder / "my_pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (folder / "my_lines.txt").write_text("".join(pair["source"] + "\n" for pair in pairs[:3]))
    for number in range(20):
        kind = folder / "my_pictures" / ("dark" if number < 10 else "light")
        kind.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 9), 12 * number, dtype=np.uint8)).save(kind / f"{number}.png")
    reviews = [{"text": " ".join(chance.choices(words, k=9)), "label": ["bad", "good"][n % 2]} for n in range(60)]
    (folder / "my_reviews.jsonl").write_text("".join(json.dumps(review) + "\n" for review in reviews))


def run(command: str, folder: Path) -> str:
    environment = os.environ | {
        "SELFSUP_CACHE": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(folder),
    }
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("part", ["all else", *APART])
def test_commands_and_python_of_the_readme_run(clone: Path, part: str):
    text = parts()[part]
    commands = [line for block in blocks("bash", text) for line in block.splitlines() if line.strip()]
    assert any(line.startswith("make demo") for line in commands) or part in APART
    for line in commands:
        command = line.split("#")[0].strip()
        if command == "make test":
            continue  # this is it
        if command == "make demo":
            output = run(f'{command} ARGS="{BRIEF}{SMALL}"', clone)
            assert "masked-token perplexity" in output
            assert "hidden word" in output
            assert (clone / "runs/demo/curves.png").read_bytes()[:4] == b"\x89PNG"
        elif "pretrain.py" in command and "--help" not in command:
            fresh = "" if "--init_from" in command else SMALL
            assert "masked-token perplexity" in run(command + BRIEF + fresh, clone)
        elif "pretrain_decoder.py" in command:
            assert "bits per byte" in run(command + BRIEF + SMALL, clone)
        elif "pretrain_pictures.py" in command:
            brief = BRIEF.replace("--data.batch_size 4", "--data.max_pictures 100")
            assert "without learning" in run(command + brief, clone)
        elif name := next((name for name in BRIEF_ASKING if name in command), None):
            assert run(command + BRIEF_ASKING[name], clone)
        elif "new_model.py" in command:
            assert "shape" in run(command + SMALL, clone)
        elif "finetune.py" in command:
            assert "without learning" in run(command + BRIEF_TUNING, clone)
        elif name := next((name for name in BRIEF_SCORES if name in command), None):
            assert "without learning" in run(command + BRIEF_SCORES[name], clone)
        else:
            run(command, clone)
    for number, block in enumerate(blocks("python", text)):
        (clone / f"block_{number}.py").write_text(block)
        run(f".venv/bin/python block_{number}.py", clone)


@pytest.mark.slow
def test_run_yaml_replays_a_run_to_the_byte(clone: Path):
    launch = ".venv/bin/accelerate launch -q --config_file scripts/launch/cpu.yaml --num_cpu_threads_per_process 2"
    run(f"{launch} scripts/pretrain.py --corpus my_texts --output first{BRIEF}{SMALL}", clone)
    run(f"{launch} scripts/pretrain.py --config first/run.yaml --output second", clone)
    weights = [(clone / name / "model" / "model.safetensors").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]


def test_tour_names_every_room_and_script():
    tour = README[README.index("## The tour") :]
    for folder in ("selfsup", "scripts"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if file.name != "__init__.py":
                assert re.search(rf"\b{file.stem}\b", tour), f"the tour of the README does not name {file.name}"

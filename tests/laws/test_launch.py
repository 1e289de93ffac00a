"""Every launch file is one that Accelerate reads, says when it last ran, and starts as many processes as it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from safetensors.torch import load_file

from selfsup.training.report import read_metrics

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "scripts" / "launch").iterdir())
SHAPE = {
    "vocab_size": 384,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
LENGTH = {"max_minutes": "null", "num_steps": 100, "eval_every": 100}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_launch_file_is_read_and_says_when_it_ran(file):
    config = load_config_from_file(str(file))
    assert isinstance(config, ClusterConfig)
    assert config.num_machines == 1
    first = file.read_text().splitlines()[0]
    assert re.fullmatch(r"# .+\. (Last run \d{4}-\d\d-\d\d, .+|Not run.*)", first)
    assert ("bf16" in first) == (config.mixed_precision == "bf16")


def launched(file: str, folder: Path, text: Path, *flags: str) -> tuple[list[str], dict, float]:
    """Lines of output, weights and validation loss of 100 steps of scripts/pretrain.py."""
    asked = [sys.executable, "-m", "accelerate.commands.launch", "-q", "--config_file", f"scripts/launch/{file}.yaml"]
    asked += ["--num_cpu_threads_per_process", "1", *flags, "scripts/pretrain.py"]
    asked += [f"--model.{name}={value}" for name, value in SHAPE.items()]
    asked += [f"--train.{name}={value}" for name, value in LENGTH.items()]
    asked += ["--data.block_size=64", "--data.batch_size=16", "--data.validation_share=0.1", "--optim.warmup_steps=10"]
    asked += ["--corpus", str(text), "--output", str(folder)]
    places = {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(asked, cwd=ROOT, env=os.environ | places, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [line["validation_loss"] for line in read_metrics(folder / "metrics.jsonl") if "validation_loss" in line]
    assert len(losses) == 2
    return done.stdout.splitlines(), load_file(folder / "model" / "model.safetensors"), losses[-1]


@pytest.fixture(scope="module")
def one_process(tiny_text_folder, tmp_path_factory):
    return launched("cpu", tmp_path_factory.mktemp("one"), tiny_text_folder)


WITHOUT_GPU = ("--num_processes", "2", "--mixed_precision", "no")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "flags", "how"),
    [
        ("cpu_x2", (), "2 process(es) x 1 thread(s) x fp32 on cpu"),
        ("ddp", WITHOUT_GPU, "2 process(es) x 1 thread(s) x fp32 on cpu"),
        ("fsdp2", WITHOUT_GPU, "2 process(es) x 1 thread(s) x fp32 on cpu, weights sharded"),
        ("cpu_compiled", ("--mixed_precision", "no"), "1 process(es) x 1 thread(s) x fp32 on cpu, compiled"),
    ],
)
def test_all_come_to_the_weights_of_one_process(file, flags, how, one_process, tiny_text_folder, tmp_path):
    said, wanted, loss = one_process
    assert said[0] == "1 process(es) x 1 thread(s) x fp32 on cpu"
    said, found, other_loss = launched(file, tmp_path, tiny_text_folder, *flags)
    assert said[0] == how
    assert found.keys() == wanted.keys()
    apart = max(float((found[name] - wanted[name]).abs().max()) for name in wanted)
    print(
        f"{file} against cpu after 100 steps: weights {apart:.1e}, validation loss {abs(loss - other_loss):.1e} apart"
    )
    assert apart < 1e-5
    assert other_loss == pytest.approx(loss, abs=1e-5)

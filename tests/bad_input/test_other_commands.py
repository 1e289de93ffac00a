"""What is asked of benchmarks and of decoders that cannot be: one sentence before any model is opened."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from selfsup.training.command import command

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys, rows):
    """The one sentence that a command ends in; "{here}" in a flag is the folder of this test."""

    def said(script: str, *flags: str) -> str:
        spec = importlib.util.spec_from_file_location(script.removesuffix(".py"), SCRIPTS / script)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
        monkeypatch.setattr(sys, "argv", [script, *(flag.replace("{here}", str(tmp_path)) for flag in flags)])
        with pytest.raises(SystemExit) as end:
            command(module.main)
        assert end.value.code
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
        sentence = line.removeprefix("error: ").replace(f"{tmp_path}/", "")
        rows.append((f"{script} `{' '.join(flags)}`", sentence.replace("|", "\\|")))
        return sentence

    return said


TEXT = ("--corpus", "gone", "--output", "{here}")
LANGUAGE = ("--model", "gone", "--corpus", "gone")
WRONG_NUMBERS: list[tuple[str, list[str], str]] = [
    ("bench_generation.py", ["--rounds", "0"], "rounds must be at least 1, but 0 came"),
    ("bench_generation.py", ["--batch_sizes", "[1, 0]"], "batch_sizes must be at least 1, but 0 came"),
    ("bench_generation.py", ["--shape.new_tokens", "0"], "new_tokens must be at least 1, but 0 came"),
    ("bench_generation.py", ["--shape.dtype", "float23"], "float23 is not one of .* did you mean float32"),
    ("bench_attention.py", ["--rounds", "0"], "rounds must be at least 1, but 0 came"),
    ("bench_attention.py", ["--lengths", "[]"], "lengths wants at least one number, but none came"),
    ("bench_attention.py", ["--num_tokens", "256"], "num_tokens must be at least 512, but 256 came"),
    ("bench_commands.py", [*TEXT, "--steps", "1"], "steps must be at least 2, but 1 came"),
    ("bench_commands.py", [*TEXT, "--rounds", "0"], "rounds must be at least 1, but 0 came"),
    ("bench_pretraining.py", [*TEXT, "--steps", "0"], "steps must be at least 1, but 0 came"),
    ("bench_language.py", [*LANGUAGE, "--max_tokens", "0"], "max_tokens must be at least 1, but 0 came"),
    ("bench_language.py", [*LANGUAGE, "--stride", "0"], "stride must be at least 1, but 0 came"),
    ("bench_language.py", [*LANGUAGE, "--ngram_order", "0"], "ngram_order must be at least 1, but 0 came"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "flags", "sentence"), WRONG_NUMBERS)
def test_numbers_too_small_to_measure_anything(refused, script, flags, sentence):
    said = refused(script, *flags)
    assert re.search(sentence, said), said

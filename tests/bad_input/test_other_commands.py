"""Wrong arguments of benchmarks, and of what asks decoders: one sentence before any model is opened."""

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
        shown = " ".join(flags).encode("ascii", "backslashreplace").decode()
        rows.append((f"{script} `{shown}`", sentence.replace("|", "\\|")))
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

ASKED = ("--task", "sentiment", "--model", "gone", "--shots", "[0]", "--query.text", "so dull")
WRONG_WORDS: list[tuple[str, list[str], str]] = [
    ("generate.py", ["--model", "gone", "--file", "{here}/binary"], "binary holds 0xff at byte 0; convert it to UTF-8"),
    ("generate.py", ["--model", "gone", "--file", "{here}/empty"], "a prompt on each line is wanted, but empty is e"),
    ("generate.py", ["--model", "gone", "--file", "{here}/none"], "none cannot be read: No such file or directory"),
    ("generate.py", ["--model", "gone", "--prompt", "\udcff"], r"it holds half a character, \\udcff, at place 0"),
    ("prompt.py", [*ASKED, "--query.text", "\udcff"], r"--query in Unicode is wanted, .* character, \\udcff: w"),
    ("prompt.py", [*ASKED, "--template", "{text:>9} {label}"], r"roles as they are, as in {text}, but {text:>9} came"),
    ("prompt.py", [*ASKED, "--template", "{text!r} {label}"], r"roles as they are, as in {text}, but {text!r} came"),
    ("prompt.py", [*ASKED, "--verbalisers.positive", "\u200b"], "words are wanted for the label positive, but"),
    ("minimal_pairs.py", ["--models", "[gone]", "--output", "{here}/o", "--ngram_corpus", "no.txt"], "folder no.txt"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "flags", "sentence"), [*WRONG_NUMBERS, *WRONG_WORDS])
def test_what_is_said(refused, tmp_path, script, flags, sentence):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").touch()
    said = refused(script, *flags)
    assert re.search(sentence, said), said

"""Wrong input: every case goes through the real `main` of scripts/pretrain.py and ends in one sentence.

`pytest -s tests/bad_input` prints the table of what came and what was said.
"""

import importlib.util
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfsup.training.command import command

SCRIPT = Path(__file__).parents[2] / "scripts" / "pretrain.py"
SHAPE = {"vocab_size": 384, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
ARGUMENTS: dict[str, Any] = {
    "model": SHAPE | {"intermediate_size": 32, "max_position_embeddings": 64},
    "objectives": {"tokens": {"class_path": "MaskedTokens"}, "order": {"class_path": "SentenceOrder"}},
    "data": {"block_size": 64, "batch_size": 4, "validation_share": 0.1},
    "optim": {"warmup_steps": 1},
    "train": {"num_steps": 2, "eval_every": 2, "save_every": 1, "eval_rows": 8},
}


@dataclass(frozen=True)
class Case:
    """A folder to go wrong in.

    Args:
        folder: of this case; the working folder.
        text: a good one.
        tokenizer: a good one.
        run: a copy of a finished run of two steps, with a checkpoint after each.
        fresh: a folder that is not there yet.
        patch: undone after the case.
        start: runs the command with some flags; its exit code.
        capture: what was printed.
        rows: of the table.
    """

    folder: Path
    text: Path
    tokenizer: str
    run: Path
    fresh: Path
    patch: pytest.MonkeyPatch
    start: Callable[..., int]
    capture: pytest.CaptureFixture
    rows: list[tuple[str, str]]

    def refused(self, *flags: object, output: Path | None = None, code: int = 1) -> str:
        """The one sentence that a start with these flags ends in; a progress bar may stand before it."""
        self.capture.readouterr()
        assert self._started(flags, output) == code
        stderr = self.capture.readouterr().err
        lines = [line for line in re.split(r"[\r\n]", stderr) if line.strip()]
        assert "Traceback" not in stderr
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
        if code == 2:
            assert len(lines) == 1
        return lines[-1].removeprefix("error: ")

    def goes_on(self, *flags: object, output: Path | None = None) -> list[str]:
        """The lines that a run with these flags prints; it goes well."""
        self.capture.readouterr()
        assert self._started(flags, output) == 0
        return self.capture.readouterr().out.splitlines()

    def _started(self, flags: tuple[object, ...], output: Path | None) -> int:
        given = {"--corpus": self.text, "--output": output or self.fresh, "--tokenizer": self.tokenizer}
        return self.start(*(part for pair in given.items() for part in pair), *flags)

    def flags(self, given: Any) -> list[str]:
        """Of an entry of a table: a list, or a function that prepares the case."""
        return given(self) if callable(given) else given

    def note(self, what: str, said: str) -> None:
        """Put a row into the table, without the folders of this test."""
        places = {str(self.text): "my_texts", f"{self.folder}/": "", self.tokenizer: "my_tokenizer"}
        for place, short in places.items():
            said, what = said.replace(place, short), what.replace(place, short)
        self.rows.append((what, re.sub(r"(?<=[ (])/\S*/(?=[\w.-]+)", "…/", said).replace("|", "\\|")))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture(name="contents", scope="session")
def contents_fixture() -> Callable[[Path], dict[str, bytes]]:
    """All files of a folder, to see whether anything was lost."""
    return contents


@pytest.fixture(scope="session")
def rows() -> Iterator[list[tuple[str, str]]]:
    """What came and what was said, printed as a table in the end."""
    rows: list[tuple[str, str]] = []
    yield rows
    print("\n\n| what came | what is said |\n|---|---|")
    for what, said in rows:
        print(f"| {what} | {said} |")


@pytest.fixture(scope="session")
def start(tmp_path_factory) -> Callable[..., int]:
    """Runs the command with some flags; its exit code."""
    spec = importlib.util.spec_from_file_location("pretrain", SCRIPT)
    assert spec
    assert spec.loader
    pretrain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pretrain)
    recipe = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(ARGUMENTS))

    def run(*flags: object) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ACCELERATE_USE_CPU", "true")
            # A picture takes as long as all the rest.
            patch.setattr("selfsup.pictures.curves.draw_curves", lambda *args: None)
            patch.setattr(sys, "argv", ["pretrain.py", *map(str, flags)])
            try:
                command(pretrain.main, recipe=recipe)
            except SystemExit as end:
                return int(end.code or 0)
            return 0

    return run


@pytest.fixture(scope="session")
def finished(start, tiny_text_folder, tiny_tokenizer, tmp_path_factory) -> Path:
    """A run of two steps with a checkpoint after each."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert start("--corpus", tiny_text_folder, "--output", folder, "--tokenizer", tiny_tokenizer.name_or_path) == 0
    return folder


@pytest.fixture
def case(start, finished, tiny_text_folder, tiny_tokenizer, tmp_path, monkeypatch, capsys, rows) -> Case:
    """See `Case`."""
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(finished, tmp_path / "run")
    words, fresh = tiny_tokenizer.name_or_path, tmp_path / "fresh"
    return Case(tmp_path, tiny_text_folder, words, run, fresh, monkeypatch, start, capsys, rows)

"""Runs of `fit` in processes of their own."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Launch = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def launch(tiny_text_folder, tiny_tokenizer, tmp_path_factory) -> Iterator[Launch]:
    """Do a job of run_fit.py in a folder, on some processes; what it found out, and its exit codes."""
    errors = tmp_path_factory.mktemp("server") / "errors"
    places = {"text": tiny_text_folder, "tokenizer": tiny_tokenizer.name_or_path}
    places["cache"] = tmp_path_factory.mktemp("cache")
    command = [sys.executable, str(Path(__file__).with_name("run_fit.py"))]
    with (
        errors.open("w") as file,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True) as server,
    ):
        orders, answers = server.stdin, server.stdout
        assert orders is not None
        assert answers is not None

        def run(job: str, folder: Path, *, num_processes: int = 1, dies: bool = False, **arguments) -> dict[str, Any]:
            order = {"job": job, "folder": folder, "num_processes": num_processes, **places, **arguments}
            orders.write(json.dumps(order, default=str) + "\n")
            orders.flush()
            codes = json.loads(answers.readline())
            assert dies or not any(codes), errors.read_text()[-5000:]
            result = folder / "result.json"
            return {"codes": codes} | (json.loads(result.read_text()) if result.exists() and not dies else {})

        yield run
        orders.close()

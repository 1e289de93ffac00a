"""Folders that cannot be written to, or belong to another run: one sentence, and what was there is intact."""

import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Given = Any  # flags, or a function that prepares a case and returns them
HOLD = """
import sys
from pathlib import Path
from selfsup.data.lock import hold
held = hold(Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file grows beyond a limit; root is not stopped by permissions, but by this."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def below_a_file(case) -> list[str]:
    (case.folder / "file").write_text("here")
    return ["--output", "file/run"]


def onto_a_file(case) -> list[str]:
    (case.folder / "file").write_text("here")
    return ["--output", "file"]


def no_cache(case) -> list[str]:
    (case.folder / "file").write_text("here")
    return ["--data.cache_dir", "file/cache"]


WRONG_FOLDERS: list[tuple[str, Given, int | None, str]] = [
    ("a run below a file", below_a_file, None, "the folder of the run, file/run, cannot be written to .Not a director"),
    ("a run that is a file", onto_a_file, None, "the folder of the run, file, cannot be written to .File exists"),
    ("a run where nobody writes", ["--output", "/proc/run"], None, "/proc/run, cannot be written to .*choose another"),
    ("a cache below a file", no_cache, None, "the cache of .* could not be written to file/cache .Not a dir.* --data."),
    ("a full disk: run.yaml", [], 0, "the folder of the run, .*fresh, cannot be written to .File too large"),
    ("a full disk: the tokenizer", ["--tokenizer", "null"], 5000, "the tokenizer could not be written to .*fresh/toke"),
    ("a full disk: the cache", ["--data.cache_dir", "cache"], 5000, "the cache of .* could not be written to cache .F"),
    ("a full disk: a checkpoint", ["--train.keep", "1"], 20000, "the checkpoint of step 1 could not be written to .*f"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "given", "limit", "sentence"), WRONG_FOLDERS, ids=[row[0] for row in WRONG_FOLDERS])
def test_wrong_folders(case, what, given, limit, sentence):
    flags = case.flags(given)
    with full_disk(resource.RLIM_INFINITY if limit is None else limit):
        said = case.refused(*flags)
    assert re.search(sentence, said), said
    assert not list(case.folder.glob("cache/.*")), "nothing half-written is left"
    case.note(what, said)


def test_a_full_disk_leaves_the_checkpoints_before(case, contents):
    before = contents(case.run / "checkpoints")
    with full_disk(20000):
        said = case.refused("--resume", "--train.num_steps", "4", output=case.run)
    assert re.match("the checkpoint of step 3 could not be written to .*File too large.*earlier checkpoints", said)
    assert contents(case.run / "checkpoints") == before
    case.note("a full disk: a later checkpoint", said)
    case.goes_on("--resume", "--train.num_steps", "4", output=case.run)  # when there is room again


@pytest.mark.parametrize(
    ("what", "limit", "sentence"),
    [
        ("the exported model", 20000, "weights could not be written|cannot be used .File too large"),
        ("the log", 100, "cannot be used .File too large.: free some disk|the folder of the run, .*cannot be written"),
    ],
)
def test_a_full_disk_at_the_end(case, contents, what, limit, sentence):
    before = contents(case.run / "checkpoints")
    with full_disk(limit):
        said = case.refused("--resume", output=case.run)
    assert re.search(sentence, said), said
    assert contents(case.run / "checkpoints") == before
    case.note(f"a full disk: {what}", said)


def test_a_folder_that_holds_another_run(case, contents):
    before = contents(case.run)
    said = case.refused(output=case.run)
    assert said == (
        f"{case.run} holds a run already: add --resume true to go on with it, or choose another output folder"
    )
    assert contents(case.run) == before
    case.note("a folder that holds another run", said)


@pytest.mark.parametrize("again", [False, True])
def test_two_runs_into_one_folder(case, contents, again):
    """The second one is told; when the first one is killed its lock is gone."""
    folder = case.run if again else case.fresh
    folder.mkdir(exist_ok=True)
    flags = ["--resume"] if again else []
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        before = contents(folder)
        said = case.refused(*flags, output=folder)
        assert contents(folder) == before
        other.kill()
    assert said == (f"another run is going on in {folder}: wait for it, stop it, or choose another output folder")
    case.goes_on(*flags, output=folder)
    if again:
        case.note("two runs into one folder", said)


def test_a_damaged_cache(case, contents):
    folder = case.folder / "cache"
    case.goes_on("--data.cache_dir", folder)
    (cache,) = folder.iterdir()
    whole = contents(cache)
    left = folder / ".corpus-0123456789abcdef.4194304"  # of a process that was killed
    left.mkdir()
    (left / "tokens.bin").write_bytes(b"0" * 99)
    left.with_name(f"{left.name}.lock").touch()
    for number, name in enumerate(("tokens.bin", "sentences.bin", "meta.json")):
        (cache / name).write_bytes(whole[name][:-8])
        printed = case.goes_on("--data.cache_dir", folder, output=case.folder / str(number))
        (said,) = [line for line in printed if line.startswith("the cache")]
        assert said == f"the cache {cache} is cut off or of an earlier version: it is made anew"
        assert contents(cache) == whole
        assert list(folder.iterdir()) == [cache]
    case.note("a cache cut off, or half-written by a killed process", said)


@pytest.mark.slow
def test_two_processes_say_it_once(case):
    """Through a launcher, whose own report of the failure follows."""
    script = Path(__file__).parents[2] / "scripts" / "pretrain.py"
    flags = ["--corpus", case.text, "--output", case.run, "--tokenizer", case.tokenizer]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", script, *flags],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert done.returncode == 1
    assert re.findall("^error: .*", done.stderr, re.MULTILINE) == [
        f"error: {case.run} holds a run already: add --resume true to go on with it, or choose another output folder"
    ]

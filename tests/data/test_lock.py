"""A lock is one process's, and nobody's once that process has ended."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from selfsup.data import lock
from selfsup.data.lock import hold

HOLD = """
import os, sys, time
from pathlib import Path
from selfsup.data.lock import hold
held = hold(Path(sys.argv[1]))
child = os.fork()  # as a loader's worker is
if child:
    print(child, flush=True)
time.sleep(60)
"""


@contextmanager
def held_elsewhere(file: Path) -> Iterator[None]:
    """Another process holds the lock; in the end it is killed, and what it forked lives on for a moment."""
    import os
    import signal

    with subprocess.Popen([sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE) as other:
        assert other.stdout
        forked = int(other.stdout.readline())
        try:
            yield
            other.kill()
            other.wait()
            hold(file).close()  # though the forked process still lives
            os.kill(forked, 0)
        finally:
            os.kill(forked, signal.SIGKILL)


def test_one_process_at_a_time(tmp_path):
    file = tmp_path / "lock"
    with held_elsewhere(file), pytest.raises(BlockingIOError):
        hold(file)
    with hold(file):
        assert file.exists()


def test_a_system_without_locks_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    with pytest.raises(OSError, match="this system has no record locks"):
        hold(tmp_path / "lock")
    monkeypatch.undo()

    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")  # what POSIX lets a system say instead of EAGAIN

    monkeypatch.setattr("fcntl.lockf", refuse)
    with pytest.raises(BlockingIOError):
        hold(tmp_path / "lock")


def test_what_a_living_process_writes_is_not_swept(tmp_path):
    from selfsup.data.corpus import _sweep

    for name in ("dead", "living"):
        (tmp_path / f".corpus-{name}.1").mkdir()
        (tmp_path / f".corpus-{name}.1.lock").touch()
    with held_elsewhere(tmp_path / ".corpus-living.1.lock"):
        _sweep(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [".corpus-living.1", ".corpus-living.1.lock"]
    _sweep(tmp_path)
    assert not list(tmp_path.iterdir())

"""Processes that take the steps of their own training loops in turn, so that all are timed under the same load."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

READY, STEP = b"r", b"s"
ENVIRONMENT = "SELFSUP_TURN"  # the two pipes of a contestant, as numbers


@dataclass
class Turn:
    """The side of a contestant: call `done` where a step ends; it returns where the next one may begin.

    Args:
        heard: file descriptor that says when it is our turn.
        told: file descriptor that says when a step is done.
    """

    heard: int
    told: int

    @classmethod
    def from_environment(cls) -> Self | None:
        """Of a process that `contest` started; None in any other."""
        pipes = os.environ.get(ENVIRONMENT)
        return cls(*map(int, pipes.split(","))) if pipes else None

    def done(self) -> None:
        """A step is done; wait for the next turn. Ends the process when there is none."""
        os.write(self.told, READY)
        if os.read(self.heard, 1) != STEP:
            os._exit(0)


@dataclass
class Contestant:
    """A command whose process takes turns.

    Args:
        command: of the process; it calls `Turn.done` at the end of every step.
        environment: variables besides ours.
        log: gets what it prints.
        seconds: of its steps, once they are taken.
        disturbed: for each, the share of the machine's time that other processes took.
        memory: the most it took, in bytes; 0 where the system does not tell.
    """

    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    disturbed: list[float] = field(default_factory=list)
    memory: int = 0


def contest(contestants: Mapping[str, Contestant], steps: int, *, warm_up: int) -> Iterator[int]:
    """Let all take a step, one after the other, and again.

    Args:
        contestants: by name; their `seconds` and `disturbed` are filled.
        steps: of each that are timed.
        warm_up: steps of each before, which are not.
    Yields:
        the number of rounds done, warm-up included.
    Raises:
        RuntimeError: a process ended before its last step; says the end of its log.
    """
    running = {}
    for name, one in contestants.items():
        (heard, say), (hear, told) = os.pipe(), os.pipe()
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive", **one.environment, ENVIRONMENT: f"{heard},{told}"}
        with one.log.open("wb") as log:
            process = subprocess.Popen(one.command, env=environment, pass_fds=(heard, told), stdout=log, stderr=log)
        os.close(heard)
        os.close(told)
        running[name] = process, say, hear
        _wait(name, one, hear)  # one after the other: start-up is not to disturb a step
    try:
        for round_ in range(warm_up + steps):
            for name, one in contestants.items():
                process, say, hear = running[name]
                before, began = _busy(process.pid), time.perf_counter()
                os.write(say, STEP)
                _wait(name, one, hear)
                seconds = time.perf_counter() - began
                if round_ >= warm_up:
                    one.seconds.append(seconds)
                    all_, own = (now - then for now, then in zip(_busy(process.pid), before, strict=True))
                    one.disturbed.append(max(0.0, all_ - own) / (seconds * (os.cpu_count() or 1)))
            yield round_ + 1
        for name, one in contestants.items():
            one.memory = _peak(running[name][0].pid)
    finally:
        for process, say, hear in running.values():
            os.close(say)
            os.close(hear)
            process.kill()
            process.wait()


def _wait(name: str, one: Contestant, hear: int) -> None:
    if os.read(hear, 1) != READY:
        last = one.log.read_text(errors="replace").strip().splitlines()[-3:]
        raise RuntimeError(f"{name} ended before its last step: {' '.join(last) or 'it printed nothing'}")


def _busy(pid: int) -> tuple[float, float]:
    """Seconds of CPU that the machine and one process have used; 0 where the system does not tell."""
    try:
        tick = os.sysconf("SC_CLK_TCK")
        user, nice, system, _, _, irq, soft = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:8])
        own = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (user + nice + system + irq + soft) / tick, (int(own[11]) + int(own[12])) / tick
    except (OSError, ValueError):
        return 0.0, 0.0


def _peak(pid: int) -> int:
    """The most memory that a process took so far, in bytes; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        return 0

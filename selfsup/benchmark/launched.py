"""Whole commands, as a user launches them, one after the other and again: seconds to start, tokens a second, memory."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from selfsup.benchmark.setting import Setting
from selfsup.benchmark.speed import HUGE_PAGES, OURS, ratio_of_medians
from selfsup.training.summary import table

GIB = 2**30
LAUNCHES = {  # how ours are launched: the file, flags, and among how many processes the threads are shared
    "ours, fp32": ("cpu.yaml", (), 1),
    "ours, bf16": ("cpu.yaml", ("--mixed_precision", "bf16"), 1),
    "ours, bf16, two processes": ("cpu_x2.yaml", ("--mixed_precision", "bf16"), 2),
    "ours, bf16, compiled": ("cpu_compiled.yaml", (), 1),
}


@dataclass
class Entrant:
    """A command that trains for some steps and ends.

    Args:
        command: for a number of steps and an empty folder that it may write to.
        folder: where that and what it prints lie.
        seconds: of whole runs, by their number of steps.
        memory: largest of any of its processes, in bytes, run by run.
    """

    command: Callable[[int, Path], Sequence[str]]
    folder: Path
    seconds: dict[int, list[float]] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)

    def run(self, steps: int) -> None:
        """Run it once.

        Raises:
            RuntimeError: it failed; says the end of what it printed.
        """
        output, log = self.folder / "run", self.folder / "log"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        with log.open("wb") as file:
            began = time.perf_counter()
            process = subprocess.Popen(
                self.command(steps, output), env={**os.environ, **HUGE_PAGES}, stdout=file, stderr=file
            )
            _, status, used = os.wait4(process.pid, 0)  # of its children too
            seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            last = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise RuntimeError(f"{process.args!r} failed: {' '.join(last) or 'it printed nothing'}")
        self.seconds.setdefault(steps, []).append(seconds)
        self.memory.append(used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def enter(setting: Setting, scripts: Path) -> dict[str, Entrant]:
    """run_mlm as shipped and in bf16, and pretrain.py in the ways of `LAUNCHES`.

    Args:
        setting: with the fields that all models share; outputs go to folders below its own.
        scripts: the folder of pretrain.py.
    """
    entrants = {}
    for number, (name, how) in enumerate({"run_mlm as shipped (fp32)": {}, "run_mlm, bf16": {"bf16": True}}.items()):
        entrants[name] = Entrant(_of_run_mlm(setting, how), Path(setting.output) / f"theirs-{number}")
    for number, (name, (file, flags, processes)) in enumerate(LAUNCHES.items()):
        threads = str(max(1, setting.threads // processes))
        launch = ["launch", "-q", "--config_file", str(scripts / "launch" / file)]
        launch += ["--num_cpu_threads_per_process", threads, *flags, str(scripts / "pretrain.py")]
        entrants[name] = Entrant(_of_ours(setting, launch), Path(setting.output) / f"ours-{number}")
    return entrants


def _of_run_mlm(setting: Setting, how: dict) -> Callable[[int, Path], list[str]]:
    def command(steps: int, output: Path) -> list[str]:
        own = replace(setting, output=str(output), how=how | {"max_steps": steps})
        return [sys.executable, "-m", "selfsup.benchmark.run_mlm", str(own.save())]

    return command


def _of_ours(setting: Setting, launch: list[str]) -> Callable[[int, Path], list[str]]:
    fields = {f"model.{name}": value for name, value in (setting.model | OURS).items()}
    fields |= {"data.stages": f"[{{block_size: {setting.block_size}, batch_size: {setting.batch_size}}}]"}
    fields |= {"corpus": setting.corpus, "data_root": setting.data_root or "null", "tokenizer": setting.tokenizer}
    fields |= {"objectives.tokens.num_segments": 1, "objectives.tokens.rate": 0.15, "train.max_minutes": "null"}
    fields |= {"train.eval_rows": setting.batch_size}  # a validation before the first step and one after the last

    def command(steps: int, output: Path) -> list[str]:
        own = fields | {"train.num_steps": steps, "output": output / "model"}
        flags = [f"--{name}={value}" for name, value in own.items()]
        return [sys.executable, "-m", "accelerate.commands.launch", *launch[1:], *flags]

    return command


def alternate(entrants: Mapping[str, Entrant], steps: int, rounds: int) -> Iterator[str]:
    """Let each run for one step and for many, one after the other, and again; a first round warms caches.

    Yields:
        the name of who has run.
    """
    for round_ in range(rounds + 1):
        for name, one in entrants.items():
            for length in (1, steps):
                one.run(length)
            if round_ == 0:
                one.seconds.clear()
            yield name


def report(entrants: Mapping[str, Entrant], steps: int, tokens: int) -> str:
    """The table.

    Args:
        entrants: that have run.
        steps: of the longer runs.
        tokens: of a step.
    """
    rows: list[tuple[str, ...]] = [("", "one step, s", "tokens/s beyond", "times the first (95 %)", "memory, GiB")]
    beyond = {name: np.subtract(one.seconds[steps], one.seconds[1]) for name, one in entrants.items()}
    first = next(iter(beyond.values()))
    for name, one in entrants.items():
        ratio, low, high = ratio_of_medians(first, beyond[name])
        rate = (steps - 1) * tokens / np.median(beyond[name])
        rows.append(
            (
                name,
                f"{np.median(one.seconds[1]):.1f}",
                f"{rate:,.0f}",
                f"{ratio:.2f} ({low:.2f} to {high:.2f})",
                f"{max(one.memory) / GIB:.2f}",
            )
        )
    return table(rows)

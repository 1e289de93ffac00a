"""What a run says of itself: a progress bar, metrics as JSON lines, curves as a picture."""

import json
import sys
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from accelerate import Accelerator
from tqdm import tqdm

ASKED_FILE = ".asked.yaml"  # arguments of a run that is to go on, until it is known that it may


class Report:
    """Bar, log and curves of one run; only the main process writes.

    Args:
        folder: of the run.
        accelerator: of the run; its trackers get the same numbers.
        first_step: where the run goes on; later lines of an earlier, killed attempt are dropped from the log.
        settled: how many steps the minutes asked for came to, where that is known already.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, first_step: int = 0, settled: int | None = None) -> None:
        self.file, self.picture, self.accelerator = folder / "metrics.jsonl", folder / "curves.png", accelerator
        self.main = accelerator.is_main_process
        self.first_step = first_step
        if self.main:
            folder.mkdir(parents=True, exist_ok=True)
            kept = [line for line in read_metrics(self.file) if line["step"] <= first_step] if first_step else []
            aside = self.file.with_suffix(".partial")
            aside.write_text("".join(json.dumps(line) + "\n" for line in kept))
            aside.replace(self.file)
            _renew(folder, settled)
        self.bar = tqdm(
            desc="training",
            unit="step",
            disable=not self.main,
            dynamic_ncols=True,
            initial=first_step,
            mininterval=0.5 if sys.stderr.isatty() else 30.0,  # a bar in a log file is noise
        )

    def set_length(self, num_steps: int) -> None:
        """Tell the bar how long the run is."""
        self.bar.total = num_steps
        self.bar.refresh()

    def settle(self, num_steps: int) -> None:
        """Write into run.yaml how many steps the minutes came to: so it replays the run, whatever the clock."""
        self.say(f"the minutes asked for are {num_steps} steps")
        record = self.file.with_name("run.yaml")
        if self.main and record.exists():
            record.write_text(_settled(record.read_text(), num_steps))

    def advance(self, loss: float, per_second: float, unit: str = "tokens") -> None:
        """One step was done, which read so many units a second."""
        self.bar.set_postfix_str(f"loss {loss:.3f}, {per_second:,.0f} {unit}/s", refresh=False)
        self.bar.update()

    def log(self, step: int, figures: dict[str, Any]) -> None:
        """Write one line of numbers."""
        if self.main:
            with self.file.open("a") as file:
                file.write(json.dumps({"step": step, **figures}) + "\n")
        self.accelerator.log(figures, step=step)

    def say(self, sentence: str) -> None:
        """Print above the bar, on the main process."""
        if self.main:
            self.bar.write(sentence)

    def close(self) -> None:
        """Finish the bar and draw the curves."""
        self.bar.close()
        if self.main and self.file.exists():
            from selfsup.pictures.curves import draw_curves  # here: matplotlib takes seconds, and --help draws nothing

            draw_curves(read_metrics(self.file), self.picture)


def _settled(text: str, num_steps: int) -> str:
    """A record with a number of steps in place of minutes."""
    arguments = yaml.safe_load(text)
    arguments["train"] |= {"num_steps": num_steps, "max_minutes": None}
    header = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    return header + yaml.safe_dump(arguments, sort_keys=False)


def _renew(folder: Path, settled: int | None) -> None:
    """Where a run goes on with other arguments, put them into run.yaml and keep the old ones as run.1.yaml.

    Args:
        folder: of the run; `claim` left the arguments there.
        settled: number of steps to write in place of minutes.
    """
    asked, record = folder / ASKED_FILE, folder / "run.yaml"
    if not asked.exists():
        return
    text = asked.read_text() if settled is None else _settled(asked.read_text(), settled)
    try:
        old = yaml.safe_load(record.read_text())
    except (OSError, ValueError, yaml.YAMLError):  # lost or broken
        old = None
    if old != yaml.safe_load(text):
        if record.exists():
            number = next(n for n in count(1) if not (folder / f"run.{n}.yaml").exists())
            record.rename(folder / f"run.{number}.yaml")
        asked.write_text(text)
        asked.replace(record)
    asked.unlink(missing_ok=True)


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last one that was cut off when a run was killed is left out."""
    lines = []
    for line in file.read_text(errors="replace").splitlines() if file.exists() else []:
        try:
            figures = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(figures, dict) or "step" not in figures:
            break
        lines.append(figures)
    return lines

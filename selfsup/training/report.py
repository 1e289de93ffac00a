"""What a run says of itself: a progress bar, metrics as JSON lines, curves as a picture."""

import json
import sys
from collections.abc import Iterable
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

    def advance(self, loss: float, tokens_per_second: float) -> None:
        """One step was done."""
        self.bar.set_postfix_str(f"loss {loss:.3f}, {tokens_per_second:,.0f} tokens/s", refresh=False)
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
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def draw_curves(lines: Iterable[dict[str, Any]], picture: Path) -> None:
    """Losses, accuracies, gradient norm and learning rate against steps, as PNG.

    Args:
        lines: of a log.
        picture: where it goes.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.axes import Axes

    lines = list(lines)
    names = sorted({key.removesuffix("_loss") for line in lines for key in line if key.endswith("_loss")})
    answers = [name for name in names if name != "validation" and not name.startswith("validation_")]
    if not answers:
        return

    def draw(axes: Axes, key: str, label: str, **style: Any) -> None:
        points = [(line["step"], line[key]) for line in lines if key in line]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **style)

    figure, grid = plt.subplots(2, max(2, len(answers)), figsize=(5 * max(2, len(answers)), 6.5), squeeze=False)
    for axes, name in zip(grid[0], answers, strict=False):
        draw(axes, f"{name}_loss", "training", color="tab:blue", alpha=0.4)
        draw(axes, f"validation_{name}_loss", "validation", color="tab:orange", marker="o", markersize=3)
        axes.set(title=f"{name}: loss (nats)", xlabel="step")
        axes.legend()
    for number, name in enumerate(answers):
        draw(grid[1][0], f"validation_{name}_accuracy", name, color=f"C{number + 2}", marker="o", markersize=3)
    grid[1][0].set(title="validation: share of right answers", xlabel="step", ylim=(0, 1))
    if grid[1][0].lines:
        grid[1][0].legend()
    draw(grid[1][1], "gradient_norm", "gradient norm", color="tab:gray", alpha=0.6)
    rates = grid[1][1].twinx()
    draw(rates, "learning_rate", "learning rate", color="tab:cyan")
    rates.set_ylim(bottom=0)
    grid[1][1].set(title="gradient norm (grey, log) and learning rate (blue)", xlabel="step", yscale="log")
    for axes in [*grid[0][len(answers) :], *grid[1][2:]]:
        axes.axis("off")
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    plt.close(figure)

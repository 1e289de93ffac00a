"""Draw the curves of several runs in the same axes: `show_curves.py --runs '[runs/a, runs/b]' --output curves.png`."""

from pathlib import Path

from selfsup.pictures.curves import Against, draw_runs
from selfsup.training.command import command
from selfsup.training.report import read_metrics


def main(runs: list[Path], output: Path = Path("curves.png"), against: Against = "tokens") -> None:
    """Draw training loss, validation loss and accuracy of runs beside each other.

    Args:
        runs: folders that hold a metrics.jsonl each; they are called after their folders.
        output: the picture: .png, .svg or .pdf.
        against: tokens or pictures read, seconds of training, or steps.
    """
    for run in runs:
        if not (run / "metrics.jsonl").is_file():
            raise ValueError(f"a folder of a run is wanted, but {run} holds no metrics.jsonl: give what --output was")
    paths = list(dict.fromkeys(run.resolve() for run in runs))
    alike = len({path.name for path in paths}) < len(paths)
    names = [str(Path(*path.parts[-2:])) if alike else path.name for path in paths]
    draw_runs({name: read_metrics(path / "metrics.jsonl") for name, path in zip(names, paths, strict=True)},
              output, against=against)  # fmt: skip
    print(f"curves   {output}")


if __name__ == "__main__":
    command(main)

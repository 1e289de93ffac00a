"""Say from its curves what a run suffers from: `diagnose.py --run runs/a --larger runs/b --longer runs/c`."""

from pathlib import Path

from selfsup.diagnosis import Curves, curves_of, diagnose
from selfsup.pictures.diagnosis import draw_diagnosis
from selfsup.training.command import command
from selfsup.training.report import read_metrics

FILES = ("curves.jsonl", "metrics.jsonl")  # of fine-tuning, of pretraining


def main(
    run: Path, larger: Path | None = None, longer: Path | None = None,
    floor: float | None = None, blind: float | None = None, output: Path | None = None,
) -> None:  # fmt: skip
    """Say which it is: too small a model, a stuck optimisation, overfitting, or a test split that differs from train.

    Args:
        run: its folder, with curves.jsonl or metrics.jsonl.
        larger: folder of a run of a larger model, trained alike on the same data.
        longer: folder of a run of the same model on the same data, trained longer or otherwise.
        floor: a loss that would be good.
        blind: loss of the best constant guess; of balanced labels the logarithm of their number.
        output: the picture: .png, .svg or .pdf; by default diagnosis.png in the folder of the run.
    """
    given = {"this run": run, "a larger model": larger, "longer or otherwise": longer}
    runs = {name: _read(folder, floor, blind) for name, folder in given.items() if folder}
    found = diagnose(runs["this run"], larger=runs.get("a larger model"), longer=runs.get("longer or otherwise"))
    for word, sentences in (("verdict", [found.verdict]), ("because", found.evidence), ("try", found.advice)):
        for number, sentence in enumerate(sentences):
            print(f"{'' if number else word:9}{sentence}")
    losses = {name: {"train": of.train, "slice": of.slice, "test": of.test} for name, of in runs.items()}
    units = {name: of.unit for name, of in runs.items()}
    picture, title = output or run / "diagnosis.png", f"{run.name}: {found.verdict}"
    draw_diagnosis(losses, picture, title=title, units=units, levels={"blind": blind, "floor": floor})
    print(f"picture  {picture}")


def _read(folder: Path, floor: float | None, blind: float | None) -> Curves:
    file = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if file is None:
        seeds = sorted(found.parent for found in folder.glob(f"seed-*/{FILES[0]}"))
        todo = f"name one seed, as {seeds[0]}" if seeds else "give its --output"
        raise ValueError(f"a folder of a run is wanted, but {folder} holds no {' or '.join(FILES)}: {todo}")
    try:
        return curves_of(read_metrics(file), floor=floor, blind=blind)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


if __name__ == "__main__":
    command(main)

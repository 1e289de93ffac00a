"""Draw what a model guesses of hidden patches: `show_reconstructions.py --model FOLDER --task clothes`."""

from pathlib import Path

from selfsup.examples import DataChoice
from selfsup.pictures.grid import draw_grid
from selfsup.task import load_task
from selfsup.training.command import command

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    model: str, task: str, output: Path = Path("reconstructions.png"), data: DataChoice = DataChoice(),
    number: int = 8, rate: float | None = None, block: int = 1, seed: int = 0,
    data_root: Path | None = None, trust_remote_code: bool = False,
) -> None:  # fmt: skip
    """Draw pictures, what a model saw of them, and what it put into the patches that were hidden.

    Args:
        model: a run, an exported folder or a Hub id of a model of masked patches: ours, or ViTMAE of transformers.
        task: whose pictures: a file in tasks/, a path to a .py file, or module:attribute; turns reads no labels.
        output: the picture: .png, .svg or .pdf.
        data: whose held-out split is shown, where that is not the task's own.
        number: of pictures.
        rate: share of the patches that is hidden; what the model was made for, or else 0.75, if absent.
        block: patches of a side of what is hidden together.
        seed: of the pictures, and of what is hidden.
        data_root: folder that mirrors the Hub; or the variable SELFSUP_DATA_ROOT.
        trust_remote_code: run Python files that come with the model; our own need none.
    """
    import torch
    from transformers.utils import logging

    from selfsup.predicting.picture_samples import sample_pictures
    from selfsup.predicting.reconstruction import open_masked, reconstruct_pictures

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    network, objective = open_masked(model, rate=rate, block=block, trust_remote_code=trust_remote_code)
    assert objective.picture_form, "it is bound"
    pictures = sample_pictures(load_task(task, TASKS), data, objective.picture_form, number=number, seed=seed,
                               data_root=data_root)  # fmt: skip
    found = reconstruct_pictures(network, objective, pictures, seed=seed)
    error = f"mean squared error of hidden pixels: {found.error:.4f}; with {found.told}: {found.blind:.4f}"
    draw_grid(
        torch.stack([pictures, found.masked, found.mended]),
        output,
        title=f"{'/'.join(Path(model).parts[-2:])}\n{error}",
        rows=["original", f"{objective.rate:.0%} hidden", "reconstructed"],
    )
    print(f"{error}\nreconstructions   {output}")


if __name__ == "__main__":
    command(main)

"""Draw what augmentation makes of pictures: `show_augmented.py --task clothes --augmentation.rotate 30`."""

from pathlib import Path

from selfsup.examples import DataChoice
from selfsup.objectives.augmentation import Augmentation
from selfsup.pictures.grid import draw_grid
from selfsup.task import load_task
from selfsup.training.command import command

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    task: str, augmentation: Augmentation = Augmentation(), output: Path = Path("augmented.png"),
    data: DataChoice = DataChoice(), number: int = 6, draws: int = 8, seed: int = 0, data_root: Path | None = None,
) -> None:  # fmt: skip
    """Draw pictures beside several draws of what they become in training, with the same chance as there.

    Args:
        task: whose pictures: a file in tasks/, a path to a .py file, or module:attribute; turns reads no labels.
        augmentation: how they are altered.
        output: the picture: .png, .svg or .pdf.
        data: whose held-out split is shown, where that is not the task's own.
        number: of pictures.
        draws: of each.
        seed: of the pictures and the draws.
        data_root: folder that mirrors the Hub; or the variable SELFSUP_DATA_ROOT.
    """
    from selfsup.predicting.picture_samples import altered_pictures, check_pictures, native_form, sample_pictures

    chosen = load_task(task, TASKS)
    check_pictures(chosen)
    form = native_form(chosen, data, data_root)
    pictures = sample_pictures(chosen, data, form, number=number, seed=seed, data_root=data_root)
    altered = altered_pictures(pictures, augmentation, draws=draws, seed=seed)
    said = ", ".join(f"{name} {value}" for name, value in vars(augmentation).items()
                     if value != getattr(Augmentation, name))  # fmt: skip
    draw_grid(altered, output, columns=["original", *[""] * draws], aside=1, title=f"{chosen.name}: {said}")
    print(f"augmented   {output}")


if __name__ == "__main__":
    command(main)

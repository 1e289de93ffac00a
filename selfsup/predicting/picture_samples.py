"""Some pictures of a task, to be looked at: as a model reads them, or as they come."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from selfsup.data.album import first_look
from selfsup.data.images import PictureForm
from selfsup.examples import DataChoice, read_held_out
from selfsup.objectives.augmentation import Augmentation
from selfsup.objectives.objective import text_rng
from selfsup.objectives.pictures import Sight
from selfsup.task import Task
from selfsup.training.processors import plain_processor


def check_pictures(task: Task) -> None:
    """Refuse a task that shows none.

    Raises:
        ValueError: says what was wanted.
    """
    if not isinstance(task.objective(), Sight):
        raise ValueError(f"a task of pictures is wanted, such as clothes or digits, but {task.name} has none")


def native_form(task: Task, choice: DataChoice, data_root: Path | None = None) -> PictureForm:
    """The size and the mode of the first picture that a task learns from, for all.

    Args:
        task: of pictures.
        choice: of the data.
        data_root: folder that mirrors the Hub.
    Raises:
        ValueError: there are no such data.
    """
    data = task.choose(choice.name, choice.columns, choice.labels)
    columns = {"image": data.columns.get("image", "image")}
    look = first_look(data.name, columns, split=choice.train or data.train, data_root=data_root)
    return PictureForm(plain_processor(look.height, look.width), look.channels)


def sample_pictures(
    task: Task, choice: DataChoice, form: PictureForm, *, number: int, seed: int = 0, data_root: Path | None = None
) -> Tensor:
    """Pictures drawn from what a task is scored on.

    Args:
        task: of pictures; labels are not read.
        choice: of the data.
        form: as they are wanted.
        number: how many; all where there are fewer.
        seed: of the draw.
        data_root: folder that mirrors the Hub.
    Returns:
        (pictures, channels, height, width) in 0-1.
    Raises:
        ValueError: there are none, or a number below 1.
    """
    check_pictures(task)
    if number < 1:
        raise ValueError(f"--number must be at least 1, but {number} came")
    table = read_held_out(task, choice, data_root, answers=False, form=form)
    drawn = np.random.default_rng(seed).permutation(len(table))[:number]
    if not len(drawn):
        raise ValueError(f"pictures were wanted, but {table.name} has none")
    pixels = np.stack([table.examples[place]["image"].pixels for place in drawn])
    return torch.from_numpy(pixels).float() / 255


def altered_pictures(pictures: Tensor, augmentation: Augmentation, *, draws: int, seed: int = 0) -> Tensor:
    """Pictures, and beside each of them several draws of what it becomes in training.

    Args:
        pictures: (pictures, channels, height, width) in 0-1.
        augmentation: how they are altered.
        draws: of each, as in so many epochs.
        seed: of the chance, which is keyed by seed, epoch and place as in training.
    Returns:
        (pictures, 1 + draws, channels, height, width); the pictures themselves come first.
    Raises:
        ValueError: nothing is altered, or there are no draws.
    """
    if augmentation == Augmentation():
        raise ValueError(
            "an augmentation that alters something is wanted, but nothing came: add for instance --augmentation.rotate "
            "30"
        )
    if draws < 1:
        raise ValueError(f"--draws must be at least 1, but {draws} came")
    chances = np.concatenate(
        [augmentation.draw(text_rng(seed, epoch, place)) for epoch in range(draws) for place in range(len(pictures))]
    )
    altered = augmentation.alter(pictures.repeat(draws, 1, 1, 1), torch.from_numpy(chances))
    of_draws = altered.reshape(draws, *pictures.shape)
    return torch.cat([pictures[:, None], of_draws.transpose(0, 1)], dim=1)

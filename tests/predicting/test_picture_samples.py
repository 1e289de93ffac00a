"""Pictures to look at are those of the held-out split, and draws are those of training."""

import numpy as np
import pytest
import torch
from PIL import Image

from selfsup.examples import DataChoice
from selfsup.metrics import Accuracy
from selfsup.objectives import Classification, Rotation
from selfsup.objectives.augmentation import Augmentation
from selfsup.objectives.objective import text_rng
from selfsup.predicting.picture_samples import altered_pictures, native_form, sample_pictures
from selfsup.task import DataSet, Task

TASK = Task(Rotation, (Accuracy,), (DataSet("none", {"image": "image"}, held_out="test"),), name="turns")


@pytest.fixture
def choice(tmp_path) -> DataChoice:
    for number in range(6):  # without folders of classes: nothing reads a label
        (tmp_path / "mine").mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), (40 * number, 0, 255), np.uint8)).save(tmp_path / "mine" / f"{number}.png")
    return DataChoice(str(tmp_path / "mine"))


def test_size_and_colours_are_those_of_the_first_and_the_draw_is_the_seed(choice):
    form = native_form(TASK, choice)
    assert (form.size, form.mode) == ((4, 6), "RGB")
    three, again, other = (sample_pictures(TASK, choice, form, number=3, seed=seed) for seed in (0, 0, 1))
    assert three.shape == (3, 3, 4, 6)
    assert torch.equal(three, again)
    assert not torch.equal(three, other)
    every = sample_pictures(TASK, choice, form, number=99)
    assert sorted((every[:, 0, 0, 0] * 255).round().int().tolist()) == [0, 40, 80, 120, 160, 200]
    assert (every[:, 2] == 1).all()


def test_draws_are_those_of_training():
    pictures, augmentation = torch.rand(3, 1, 6, 6), Augmentation(flip=0.5, brightness=0.2)
    altered = altered_pictures(pictures, augmentation, draws=4, seed=7)
    assert altered.shape == (3, 5, 1, 6, 6)
    assert torch.equal(altered[:, 0], pictures)
    for place, epoch in ((0, 0), (2, 1), (1, 3)):
        chance = torch.from_numpy(augmentation.draw(text_rng(7, epoch, place)))  # as `Sight.corrupt` draws it
        torch.testing.assert_close(altered[place, 1 + epoch], augmentation.alter(pictures[place][None], chance)[0])


def test_nothing_to_show_is_refused(choice, tmp_path):
    words = Task(Classification, (Accuracy,), (), name="words")
    form = native_form(TASK, choice)
    with pytest.raises(ValueError, match="a task of pictures is wanted, such as clothes or digits, but words has none"):
        sample_pictures(words, choice, form, number=3)
    with pytest.raises(ValueError, match="--number must be at least 1, but 0 came"):
        sample_pictures(TASK, choice, form, number=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"with pictures \(.*\), was wanted, but .*empty holds none"):
        sample_pictures(TASK, DataChoice(str(tmp_path / "empty")), form, number=3)
    with pytest.raises(ValueError, match="an augmentation that alters something is wanted"):
        altered_pictures(torch.rand(1, 1, 4, 4), Augmentation(), draws=3)
    with pytest.raises(ValueError, match="--draws must be at least 1, but 0 came"):
        altered_pictures(torch.rand(1, 1, 4, 4), Augmentation(flip=1.0), draws=0)

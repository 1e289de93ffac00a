"""What is taken for what is counted as the model says it, and the worst is named first."""

import numpy as np
import pytest
import torch
from PIL import Image

from selfsup.examples import DataChoice
from selfsup.metrics import Accuracy
from selfsup.objectives import Classification, ImageClassification, Rotation
from selfsup.predicting.confusion import confusion_of, worst_pairs
from selfsup.predicting.heads import PictureLabels, Tags
from selfsup.task import DataSet, Task
from selfsup.training.processors import plain_processor

DATA = (DataSet("none", {"image": "image", "label": "label"}, held_out="test"),)
TASK = Task(ImageClassification, (Accuracy,), DATA, name="shades")


class Brightness(torch.nn.Module):
    """Says `dark`, `grey` or `light` by the mean of a picture."""

    def forward(self, pixel_values):
        mean = pixel_values.mean(dim=(1, 2, 3))
        return {"logits": torch.stack([0.3 - mean, torch.zeros_like(mean) + 0.01, mean - 0.7], dim=1) * 10}


@pytest.fixture
def head(tiny_picture_config):
    names = ("dark", "grey", "light")
    tiny_picture_config.id2label = dict(enumerate(names))
    tiny_picture_config.label2id = {name: number for number, name in enumerate(names)}
    head = PictureLabels()
    head.bind(plain_processor(8, 8), tiny_picture_config)
    return head


@pytest.fixture
def folder(tmp_path):
    for label, levels in {"dark": (0, 20, 120), "grey": (125,), "light": (250, 10, 240, 255, 30)}.items():
        (tmp_path / "shades" / label).mkdir(parents=True)
        for number, level in enumerate(levels):
            Image.fromarray(np.full((8, 8), level, np.uint8)).save(tmp_path / "shades" / label / f"{number}.png")
    return tmp_path / "shades"


def test_counts_are_by_true_and_predicted_class(head, folder, accelerator):
    counts, names = confusion_of(Brightness(), head, TASK, DataChoice(str(folder)), accelerator=accelerator)
    assert names == ["dark", "grey", "light"]
    assert counts.tolist() == [[2, 1, 0], [0, 1, 0], [2, 0, 3]]
    assert worst_pairs(counts, names, 5) == [
        "light taken for dark: 2 of 5 (40.0 %)",
        "dark taken for grey: 1 of 3 (33.3 %)",
    ]
    assert worst_pairs(counts, names, 1) == ["light taken for dark: 2 of 5 (40.0 %)"]
    assert worst_pairs(np.eye(3, dtype=int), names, 5) == []


def test_what_cannot_be_counted_is_refused(head, folder, accelerator):
    def ask(head=head, task=TASK, choice=DataChoice(str(folder))):
        confusion_of(Brightness(), head, task, choice, accelerator=accelerator)

    with pytest.raises(ValueError, match="a model that tells one class for each example is wanted"):
        ask(head=Tags())
    for objective in (Classification, Rotation):
        with pytest.raises(ValueError, match="a task of image and label is wanted for this model, but other has"):
            ask(task=Task(objective, (Accuracy,), DATA, name="other"))
    (folder / "light").rename(folder / "bright")
    with pytest.raises(ValueError, match=r"labels that the model knows are wanted, dark, grey, light, but .* bright"):
        ask()
    for picture in folder.rglob("*.png"):
        picture.unlink()
    with pytest.raises(ValueError, match=r"with pictures \(.*\), was wanted, but .*shades holds none"):
        ask()

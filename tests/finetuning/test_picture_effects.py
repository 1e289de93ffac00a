"""Small networks of pictures that differ in one thing; statistics of the batch, altered pictures, rates that rise."""

import math
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from selfsup.data.images import Picture
from selfsup.examples import DataChoice
from selfsup.finetuning import picture_effects
from selfsup.finetuning.effects import run_effect
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.metrics import Accuracy
from selfsup.models.convnet import ConvNetForImageClassification
from selfsup.models.convnet_config import ConvNetConfig
from selfsup.objectives import ImageClassification
from selfsup.objectives.augmentation import Augmentation
from selfsup.task import DataSet, Task
from selfsup.training.processors import plain_processor

TASK = Task(ImageClassification, (Accuracy,), (DataSet("none", {"image": "image", "label": "label"}),), name="shades")
SMALL = ConvNetConfig(image_size=8, channels=[4], stage_depths=[1], num_labels=2)


@pytest.fixture
def shades(tmp_path) -> DataChoice:
    """Dark pictures and light ones."""
    chance = np.random.default_rng(0)
    for label, low in (("dark", 0), ("light", 128)):
        (tmp_path / "shades" / label).mkdir(parents=True)
        for number in range(24):
            pixels = chance.integers(low, low + 128, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "shades" / label / f"{number:02d}.png")
    return DataChoice(name=str(tmp_path / "shades"), held_out="0.25")


@pytest.fixture
def once(monkeypatch):
    monkeypatch.setattr(picture_effects, "FIELDS", {"channels": [4], "stage_depths": [1]})
    monkeypatch.setattr(picture_effects, "TUNE", FineTuneConfig(epochs=1, batch_size=16, slice_share=0.0))
    monkeypatch.setattr(picture_effects, "NORMALISATIONS", ("batch", "none"))


def test_by_the_batch_is_what_training_computes_and_leaves_the_averages():
    torch.manual_seed(0)
    model, batch = ConvNetForImageClassification(SMALL), {"pixel_values": torch.rand(6, 1, 8, 8)}
    model.train()(**batch)  # so that averages are no longer those of the beginning
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    pictures = {"pixel_values": (batch["pixel_values"] * 255).to(torch.uint8)}
    expected = model(pixel_values=pictures["pixel_values"].float() / 255).logits
    model.load_state_dict(before, strict=False)
    objective = picture_effects.ByTheBatch()
    objective.bind(plain_processor(8, 8), model.config)
    found = objective.forward({"model": model.eval()}, pictures, "model").logits
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(model(pixel_values=pictures["pixel_values"].float() / 255).logits, expected)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert not any(layer.training for layer in model.modules())


def test_a_picture_is_always_altered_alike_and_another_one_otherwise():
    objective = picture_effects.Altered(Augmentation(rotate=30))
    objective.bind(plain_processor(8, 8), SMALL)
    pictures = [Picture(np.full((1, 8, 8), shade, dtype=np.uint8)) for shade in (3, 3, 7)]
    chances = [objective.encode({"image": picture})["chances"] for picture in pictures]
    assert np.array_equal(chances[0], chances[1])
    assert not np.array_equal(chances[0], chances[2])


def test_ways_are_trained_measured_and_compared(shades, once, tmp_path, accelerator, capsys):
    whole = picture_effects.normalising(TASK, shades, None)
    arms = dict(list(whole.arms.items())[:2])
    found = run_effect(replace(whole, arms=arms), tmp_path / "effect", seeds=[0], accelerator=accelerator)
    assert set(found["figures"]) == {"accuracy", "by the batch"}
    assert all(0 <= figures[arm][0] <= 1 for figures in found["figures"].values() for arm in arms)
    assert "none, 0.001" in capsys.readouterr().out


def test_pictures_are_altered_for_learning_and_for_scoring_in_the_same_ways():
    effect = picture_effects.altering(TASK, DataChoice(), None)
    assert [name.removeprefix("learnt ") for name in effect.arms] == list(effect.measures)
    for arm, make in zip(effect.arms.values(), effect.measures.values(), strict=True):
        assert arm.objective
        assert vars(arm.objective())["augmentation"] == vars(make(1).objective())["augmentation"]


def test_rates_rise_until_little_is_right_or_a_loss_is_not_finite(shades, once, tmp_path, accelerator, monkeypatch):
    right = {("batch", 1e-3): 0.6, ("batch", 4e-3): 0.8, ("batch", 1.6e-2): 0.39}
    right |= {("none", 1e-3): 0.5, ("none", 4e-3): math.nan}
    asked = []

    def run_trial(learner, task, train, held_out, tune, folder, **options):
        key = (tune.model["normalisation"], tune.learning_rate)
        asked.append(key)
        if math.isnan(right[key]):
            raise ValueError("the loss is not finite")
        return type("Trial", (), {"figures": {"accuracy": right[key]}})

    monkeypatch.setattr(picture_effects, "run_trial", run_trial)
    found = picture_effects.largest_rates(TASK, shades, tmp_path / "rates", seeds=[0], accelerator=accelerator)
    assert found == {"batch": [4e-3], "none": [1e-3]}
    assert asked == list(right)  # and no rate above
    assert picture_effects.told(found)[1] == ("batch", "0.004", "0.004")


def test_the_command_trains_the_arms_that_are_named_for_the_epochs_that_are_named(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("selfsup.finetuning.effects.run_effect", lambda effect, *rest, **options: asked.append(effect))
    script = Path(__file__).parents[2] / "scripts" / "picture_effects.py"
    main = runpy.run_path(str(script))["main"]
    main("normalising", tmp_path / "some", arms=["none, 0.01", "batch, 0.01"], epochs=2)
    (effect,) = asked
    assert {name: arm.tune.epochs for name, arm in effect.arms.items()} == {"batch, 0.01": 2, "none, 0.01": 2}
    with pytest.raises(ValueError, match="leave out --arms"):
        main("largest_rates", tmp_path / "rates", arms=["none, 0.01"])

"""One label for a picture: its loss by hand, its values as the image processor wants them, and the law of layouts."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForImageClassification,
    EfficientNetImageProcessorPil,
    TextNetImageProcessorPil,
    ViTConfig,
    ViTImageProcessorPil,
)

from selfsup.data.collate import collate
from selfsup.data.images import Picture
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.objectives import Classification, ImageClassification
from selfsup.objectives.augmentation import Augmentation, Mixing
from selfsup.training.processors import plain_processor

LABELS = ("bag", "coat", "shirt")


@pytest.fixture
def config():
    return ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=8, patch_size=4,
        num_channels=1, id2label=dict(enumerate(LABELS)), label2id={name: n for n, name in enumerate(LABELS)},
    )  # fmt: skip


def examples(number: int = 4):
    chance = np.random.default_rng(0)
    return [
        {"image": Picture(chance.integers(0, 256, (1, 8, 8), dtype=np.uint8)), "label": LABELS[place % 3]}
        for place in range(number)
    ]


def batch_of(objective, some, corrupt: bool = False):
    rows = [objective.encode(example) for example in some]
    if corrupt:
        rows = [objective.corrupt(row, rng=np.random.default_rng(n), progress=0.0) for n, row in enumerate(rows)]
    return collate([[row] for row in rows], padding=objective.padding)


def test_by_hand(config):
    objective = ImageClassification(label_smoothing=0.3)
    assert objective.survey(examples()) == list(LABELS)
    objective.bind(plain_processor(8, 8), config)
    batch = batch_of(objective, examples())
    assert batch["labels"].tolist() == [0, 1, 2, 0]
    assert objective.counts(batch, "model") == {"label": 4}
    fields = objective.inputs(batch)
    assert fields.keys() == {"pixel_values"}
    np.testing.assert_allclose(fields["pixel_values"][0] * 255, examples()[0]["image"].pixels, rtol=1e-6)
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    wanted = torch.full((4, 3), 0.1)
    wanted[range(4), batch["labels"]] += 0.7
    loss = objective.loss({"logits": logits}, batch, "model")["label"]
    torch.testing.assert_close(loss, -(wanted * logits.log_softmax(-1)).sum())
    plain = ImageClassification()
    plain.bind(plain_processor(8, 8), config)
    loss = plain.loss({"logits": logits}, batch, "model")["label"]
    torch.testing.assert_close(loss, cross_entropy(logits, batch["labels"], reduction="sum"))


SQUARE: dict[str, Any] = {"size": {"height": 8, "width": 8}}


@pytest.mark.parametrize(
    "processor",
    [
        ViTImageProcessorPil(**SQUARE, image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.6, 0.7]),
        ViTImageProcessorPil(**SQUARE, rescale_factor=1 / 127.5, do_normalize=False),
        TextNetImageProcessorPil(size={"shortest_edge": 32}),  # as large as the picture makes it
    ],
    ids=["standardised", "rescaled", "free"],
)
def test_values_are_those_of_the_processor(processor, config):
    """A Hub model's processor makes of values what its model wants."""
    config.num_channels = 3
    objective = ImageClassification()
    objective.bind(processor, config)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (11, 9, 3), dtype=np.uint8))
    read = objective.form(processor, config).reader("image")
    fields = objective.inputs(batch_of(objective, [{"image": read(image, True), "label": "bag"}]))
    wanted = processor(image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(fields["pixel_values"], wanted, atol=1e-5, rtol=0)


def test_a_processor_that_does_more_is_refused(config):
    three = ViTImageProcessorPil(**SQUARE)
    with pytest.raises(ValueError, match=r"standardises pictures of 1 channel\(s\) is wanted, but ViTImage.* came \("):
        ImageClassification().form(three, config)
    config.num_channels = 3
    with pytest.raises(ValueError, match=r"but EfficientNetImage.* came \(it does more\)"):
        ImageClassification().form(EfficientNetImageProcessorPil(**SQUARE), config)  # standardises twice


def test_training_alters_and_scoring_does_not(config):
    objective = ImageClassification(augmentation=Augmentation(rotate=30, shift=0.2, erase=0.5))
    objective.bind(plain_processor(8, 8), config)
    still, altered = (
        objective.inputs(batch_of(objective, examples(), corrupt))["pixel_values"] for corrupt in (False, True)
    )
    again = objective.inputs(batch_of(objective, examples(), True))["pixel_values"]
    assert not torch.allclose(still, altered, atol=0.05)
    assert torch.equal(altered, again)


def test_the_loss_of_a_batch_is_that_of_its_parts(config):
    """So micro-batches and processes change nothing, altered pictures included."""
    objective = ImageClassification(augmentation=Augmentation(rotate=30, crop=0.7, flip=0.5, erase=0.5))
    objective.bind(plain_processor(8, 8), config)
    torch.manual_seed(0)
    model = AutoModelForImageClassification.from_config(config).eval()
    batch = batch_of(objective, examples(), corrupt=True)
    parts = [{name: value[place : place + 2] for name, value in batch.items()} for place in (0, 2)]
    losses = [objective.loss(objective.forward({"model": model}, some, "model"), some, "model")["label"]
              for some in (batch, *parts)]  # fmt: skip
    torch.testing.assert_close(losses[0], losses[1] + losses[2])


def mixer(config, **options):
    objective = ImageClassification(mixing=Mixing(**options), augmentation=Augmentation(flip=0.5))
    objective.bind(plain_processor(8, 8), config)
    objective.meet([objective.encode(example) for example in examples(7)])
    return objective


@pytest.mark.parametrize("options", [{"mixup": 0.8}, {"cutmix": 1.0}])
def test_pictures_and_labels_are_mixed_in_one_share(options, config):
    objective = mixer(config, **options)
    batch = batch_of(objective, examples(), corrupt=True)
    plain = ImageClassification(augmentation=objective.augmentation)
    plain.bind(plain_processor(8, 8), config)
    own = plain.inputs({name: batch[name] for name in ("pixel_values", "chances")})["pixel_values"]
    other = plain.inputs({name: batch[f"other_{name}"] for name in ("pixel_values", "chances")})["pixel_values"]
    kept = batch["kept"]
    torch.testing.assert_close(objective.inputs(batch)["pixel_values"], kept * own + (1 - kept) * other)
    shares = kept.mean(dim=(1, 2, 3))
    assert 0 < float(shares.min()) <= float(shares.max()) < 1
    assert (kept == kept[:, :, :1, :1]).all() if "mixup" in options else set(kept.unique().tolist()) == {0.0, 1.0}
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    wanted = (
        shares[:, None] * torch.eye(3)[batch["labels"]] + (1 - shares[:, None]) * torch.eye(3)[batch["other_labels"]]
    )
    loss = objective.loss({"logits": logits}, batch, "model")["label"]
    torch.testing.assert_close(loss, -(wanted * logits.log_softmax(-1)).sum())


def test_who_is_mixed_in_hangs_on_the_key_alone(config):
    objective = mixer(config, mixup=0.4, cutmix=1.0)
    rows = [objective.encode(example) for example in examples()]
    drawn = [objective.corrupt(rows[0], rng=np.random.default_rng((3, n)), progress=0.0) for n in (0, 0, 1)]
    assert all(np.array_equal(drawn[0][name], drawn[1][name]) for name in drawn[0])
    assert not np.array_equal(drawn[0]["kept"], drawn[2]["kept"])
    assert "kept" not in objective.corrupt(rows[0], rng=np.random.default_rng(0), progress=None)


def test_shares_are_those_of_the_beta_distribution():
    """Mean a half; where a rectangle is cut, what lies outside of the picture is not lost."""
    rng = np.random.default_rng(0)
    mixed, cut = (
        np.array([Mixing(**options).draw(10, 15, rng).mean() for _ in range(600)])
        for options in ({"mixup": 2.0}, {"cutmix": 2.0})
    )
    assert mixed.mean() == pytest.approx(0.5, abs=0.04)
    assert mixed.var() == pytest.approx(1 / 20, abs=0.01)  # of beta(2, 2)
    assert 0.5 < cut.mean() < 0.75


def test_a_model_of_text_is_refused():
    with pytest.raises(ValueError, match="AutoModelForImageClassification knows no model for a TextEncoderConfig"):
        ImageClassification().form(None, TextEncoderConfig())
    assert Classification().form(None, TextEncoderConfig()) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"mixing": Mixing(mixup=0.2), "multi_label": True},
        {"label_smoothing": 1.0},
        {"label_smoothing": 0.1, "multi_label": True},
        {"label_smoothing": -0.1},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="label_smoothing"):
        ImageClassification(**wrong)

"""Pictures cut into patches and put together, and what is to be guessed of them."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from selfsup.models.convnet import ConvNetForImageClassification
from selfsup.models.convnet_config import ConvNetConfig
from selfsup.models.pixels import Pixels, as_channels, patch_targets, reconstruct, to_patches, to_pixels
from selfsup.models.vit import PatchTransformerForMaskedImageModeling
from selfsup.models.vit_config import PatchTransformerConfig
from selfsup.training.processors import plain_processor


@pytest.fixture
def pictures():
    return torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def test_patches_by_hand():
    picture = torch.arange(16.0).view(1, 1, 4, 4)
    assert to_patches(picture, 2)[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_patches_are_those_of_unfold(pictures):
    wanted = torch.nn.functional.unfold(pictures, kernel_size=3, stride=3).transpose(1, 2)
    assert torch.equal(to_patches(pictures, 3), wanted)
    assert torch.equal(to_pixels(to_patches(pictures, 3), 3), pictures)


def test_targets_are_standardised(pictures):
    config = PatchTransformerConfig(
        image_size=6, patch_size=3, num_channels=3, pixel_mean=(0.1, 0.2, 0.3), pixel_std=(0.5, 1.0, 2.0)
    )
    targets = patch_targets(config, pictures)
    assert targets.shape == (2, 4, 27)
    assert targets[0, 1, 9].item() == pytest.approx((pictures[0, 1, 0, 3].item() - 0.2) / 1.0)
    torch.testing.assert_close(reconstruct(config, targets, pictures), pictures)


def test_targets_by_the_patch(pictures):
    config = PatchTransformerConfig(image_size=6, patch_size=3, num_channels=3)
    config.normalise_patches = True
    targets = patch_targets(config, pictures)
    torch.testing.assert_close(targets.mean(-1), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(targets.square().mean(-1), torch.ones(2, 4), atol=1e-3, rtol=0)
    torch.testing.assert_close(reconstruct(config, targets, pictures), pictures)
    flat = patch_targets(config, torch.full((1, 3, 6, 6), 0.25))  # a patch of one colour has no deviation of its own
    torch.testing.assert_close(flat, torch.zeros(1, 4, 27), atol=1e-3, rtol=0)


@pytest.mark.parametrize("wrong", [lambda right: right * 255, lambda right: (right - 0.5) / 0.5])
def test_values_outside_0_to_1_are_told_once(wrong, pictures):
    pixels = Pixels(PatchTransformerConfig(image_size=6, patch_size=3, num_channels=3))
    with pytest.warns(UserWarning, match=r"must lie in \[0, 1\], but they reach from .*: divide by 255, or leave mean"):
        pixels(wrong(pictures))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels(wrong(pictures))
        Pixels(PatchTransformerConfig(image_size=6, patch_size=3, num_channels=3))(pictures)


def test_colours_are_grey_to_a_model_of_grey_pictures(pictures):
    """As PIL makes them, but for its rounding; what is grey already stays."""
    bytes_ = (pictures[0] * 255).round().to(torch.uint8)
    wanted = np.asarray(Image.fromarray(bytes_.permute(1, 2, 0).numpy()).convert("L")) / 255
    found = as_channels(bytes_[None] / 255, 1)
    torch.testing.assert_close(found[0, 0].double(), torch.from_numpy(wanted), atol=0.6 / 255, rtol=0)
    torch.testing.assert_close(as_channels(found.expand(-1, 3, -1, -1), 1), found)
    assert as_channels(pictures, 3) is pictures
    config = PatchTransformerConfig(image_size=6, patch_size=3, hidden_size=8, num_attention_heads=2)
    model = PatchTransformerForMaskedImageModeling(config).eval()
    hidden = torch.tensor([[True, False, True, False]]).expand(2, -1)
    grey = as_channels(pictures, 1)
    torch.testing.assert_close(model(pictures, hidden=hidden).loss, model(grey, hidden=hidden).loss)


def test_a_pipeline_of_transformers_reads_grey_pictures(tmp_path):
    """It makes colours of them all."""
    model = ConvNetForImageClassification(ConvNetConfig(image_size=8, channels=(4,), stage_depths=(1,), num_labels=3))
    model.save_pretrained(tmp_path)
    plain_processor(8, 8).save_pretrained(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    told = pipeline("image-classification", model=str(tmp_path))(Image.fromarray(picture))
    wanted = model.eval()(torch.from_numpy(picture / 255).float()[None, None]).logits[0].softmax(-1)
    for answer in told:
        assert answer["score"] == pytest.approx(wanted[model.config.label2id[answer["label"]]].item(), abs=1e-5)

"""Pictures cut into patches and put together, and what is to be guessed of them."""

import pytest
import torch

from selfsup.models.pixels import patch_targets, reconstruct, to_patches, to_pixels
from selfsup.models.vit_config import PatchTransformerConfig


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

"""What is done to pictures, against flips, quarter turns and whole pixels, which can be had without interpolation."""

import numpy as np
import pytest
import torch

from selfsup.objectives.augmentation import DRAWN, Augmentation, affine_matrices, warp

PICTURES = torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def chances(number: int = 3, **given: float) -> torch.Tensor:
    """In the middle but for what is given: no turn, no shift."""
    table = torch.full((number, len(DRAWN)), 0.5)
    for name, value in given.items():
        table[:, DRAWN[name]] = value
    return table


def moved(degrees: float = 0.0, factor: float = 1.0, way=(0.0, 0.0), pictures=PICTURES) -> torch.Tensor:
    number, _, height, width = pictures.shape
    matrices = affine_matrices(torch.full((number,), degrees), torch.full((number,), factor),
                               torch.tensor([way] * number), height, width)  # fmt: skip
    return warp(pictures, matrices)


def test_nothing_asked_nothing_done():
    rng = np.random.default_rng(0)
    drawn = torch.from_numpy(np.concatenate([Augmentation().draw(rng) for _ in range(3)]))
    assert torch.equal(Augmentation().alter(PICTURES, drawn), PICTURES)
    torch.testing.assert_close(moved(), PICTURES)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns(turns):
    torch.testing.assert_close(moved(90.0 * turns), torch.rot90(PICTURES, turns, (2, 3)), atol=1e-5, rtol=0)


def test_whole_pixels_of_a_picture_that_is_not_square():
    pictures = torch.rand(2, 1, 5, 9)
    found = moved(way=(2.0, -1.0), pictures=pictures)
    wanted = torch.zeros_like(pictures)
    wanted[:, :, :-1, 2:] = pictures[:, :, 1:, :-2]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_twice_the_size_shows_the_middle():
    ramp = torch.arange(9.0).expand(1, 1, 9, 9)  # linear, so that interpolation is exact
    torch.testing.assert_close(moved(factor=2.0, pictures=ramp)[0, 0, 0], torch.linspace(2, 6, 9))


def test_flips_are_those_drawn():
    table = chances(flip=0.4)
    table[1, DRAWN["flip"]] = 0.6
    found = Augmentation(flip=0.5).alter(PICTURES, table)
    assert torch.equal(found[[0, 2]], PICTURES[[0, 2]].flip(-1))
    assert torch.equal(found[1], PICTURES[1])


def test_shift_goes_to_its_ends():
    found = Augmentation(shift=0.25).alter(PICTURES, chances(right=1.0))
    torch.testing.assert_close(found[..., 2:], PICTURES[..., :-2], atol=1e-5, rtol=0)
    assert not found[..., :2].any()


def test_a_crop_is_a_part_enlarged():
    """Half of each side, at its left end: columns 0-4 of a ramp, stretched over the picture."""
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    found = Augmentation(crop=0.5, border="border").alter(ramp, chances(1, side=0.0, left=0.0, top=0.5))
    wanted = (torch.arange(8) + 0.5) / 2 - 0.5
    torch.testing.assert_close(found[0, 0, 4], wanted.clamp(min=0))


def test_a_rectangle_is_painted_over():
    drawn = chances(erased_height=1.0, erased_width=1.0, erased_top=0.0, erased_left=1.0, erase=0.1)
    drawn[2, DRAWN["erase"]] = 0.9
    found = Augmentation(erase=0.5, erase_side=0.5).alter(PICTURES, drawn)
    gone = found[:2, :, :4, 4:]
    torch.testing.assert_close(gone, PICTURES[:2].mean(dim=(2, 3), keepdim=True).expand_as(gone))
    assert torch.equal(found[:2, :, 4:], PICTURES[:2, :, 4:])
    assert torch.equal(found[:2, :, :, :4], PICTURES[:2, :, :, :4])
    assert torch.equal(found[2], PICTURES[2])


@pytest.mark.parametrize("sides", [(8, 8), (3, 20)])
def test_a_rectangle_has_a_pixel_at_least(sides):
    """So the share that is painted over is the share that was asked for, in small pictures too."""
    pictures = torch.arange(1.0, 1 + sides[0] * sides[1]).pow(2).view(1, 1, *sides).expand(400, -1, -1, -1)
    drawn = torch.rand(400, len(DRAWN), generator=torch.Generator().manual_seed(0))
    found = Augmentation(erase=0.4, erase_side=0.3).alter(pictures, drawn)
    assert torch.equal((found != pictures).flatten(1).any(dim=1), drawn[:, DRAWN["erase"]] < 0.4)


def test_brightness_and_contrast():
    half = PICTURES / 4 + 0.3
    found = Augmentation(brightness=0.1).alter(half, chances(brightness=1.0))
    torch.testing.assert_close(found, half + 0.1)
    found = Augmentation(contrast=0.5).alter(half, chances(contrast=0.0))
    mean = half.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(found, mean + (half - mean) / 2)


def test_a_picture_is_altered_the_same_in_any_batch():
    """So a step is the same whatever micro-batches it is spread over."""
    everything = Augmentation(rotate=30, scale=(0.7, 1.3), crop=0.6, shift=0.2, flip=0.5, erase=0.5, contrast=0.3)
    drawn = torch.rand(3, len(DRAWN), generator=torch.Generator().manual_seed(1))
    whole = everything.alter(PICTURES, drawn)
    alone = torch.cat([everything.alter(PICTURES[n : n + 1], drawn[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(alone, whole)
    assert not torch.allclose(whole, PICTURES, atol=0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": (0.0, 1.0)},
        {"scale": (1.0,)},
        {"scale": (1.0, float("inf"))},
        {"scale": (1.2, 1.0)},
        {"flip": 1.5},
        {"crop": 0.0},
        {"rotate": 200.0},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="but"):
        Augmentation(**wrong)

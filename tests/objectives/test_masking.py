"""What is hidden: the engine that tokens and patches share. What it does to tokens is tested with `MaskedTokens`."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedImageModeling, AutoModelForPreTraining, ViTMAEConfig

from selfsup.data.collate import collate
from selfsup.data.images import Picture
from selfsup.objectives import MaskedAutoencoding, MaskedPatches
from selfsup.objectives.masking import choose_exactly, share_at, tiles
from selfsup.training.processors import plain_processor


def test_shares_go_in_a_straight_line():
    assert [share_at(0.4, 0.2, progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx([0.4, 0.3, 0.2])


def test_blocks_cut_the_grid_from_a_drawn_edge():
    seen = set()
    for seed in range(20):
        grid = tiles(4, 6, 2, np.random.default_rng(seed)).reshape(4, 6)
        assert set(grid.ravel()) == set(range(grid.max() + 1))
        for block in range(grid.max() + 1):
            rows, columns = np.nonzero(grid == block)
            assert np.ptp(rows) < 2
            assert np.ptp(columns) < 2
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # a whole rectangle
        seen.add(grid.max() + 1)
    assert seen == {6, 8, 9, 12}  # cut from an edge, or through blocks at two, or four, edges
    assert tiles(2, 3, 1, np.random.default_rng(0)).tolist() == [0, 1, 2, 3, 4, 5]


def test_exactly_as_many_are_hidden_and_blocks_stay_whole_but_one():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        units = tiles(6, 6, 3, rng)
        hidden = choose_exactly(units, 20, rng)
        assert hidden.sum() == 20
        shares = [hidden[units == unit].mean() for unit in range(units.max() + 1)]
        assert sum(0 < share < 1 for share in shares) <= 1


def test_every_patch_is_hidden_as_often_as_another():
    counts = np.zeros(16)
    for seed in range(400):
        rng = np.random.default_rng(seed)
        counts += choose_exactly(tiles(4, 4, 1, rng), 12, rng)
    np.testing.assert_allclose(counts / 400, 0.75, atol=0.09)


def pictures(number: int = 3):
    chance = np.random.default_rng(0)
    return [{"image": Picture(chance.integers(0, 256, (1, 8, 8), dtype=np.uint8))} for _ in range(number)]


def batch_of(objective, progress=0.0):
    rows = [
        objective.corrupt(objective.encode(one), rng=np.random.default_rng(n), progress=progress)
        for n, one in enumerate(pictures())
    ]
    return collate([[row] for row in rows], padding=objective.padding)


def test_the_loss_of_masked_image_modelling_by_hand(tiny_picture_config):
    tiny_picture_config.patch_size = tiny_picture_config.encoder_stride = 2
    objective = MaskedPatches(rate=0.5, final_rate=0.25)
    objective.bind(plain_processor(8, 8), tiny_picture_config)
    batch = batch_of(objective)
    assert batch["hidden"].sum(dim=1).tolist() == [8, 8, 8]
    assert batch_of(objective, 1.0)["hidden"].sum(dim=1).tolist() == [4, 4, 4]
    assert batch_of(objective, None)["hidden"].sum(dim=1).tolist() == [8, 8, 8]
    torch.manual_seed(0)
    model = AutoModelForMaskedImageModeling.from_config(tiny_picture_config).eval()
    outputs = objective.forward({"model": model}, batch, "model")
    error = (outputs.reconstruction - batch["pixel_values"] / 255).abs()
    of_patches = error.reshape(3, 4, 2, 4, 2).mean(dim=(2, 4)).reshape(3, 16)
    loss = objective.loss(outputs, batch, "model")["patches"]
    torch.testing.assert_close(loss, of_patches[batch["hidden"].bool()].sum(), rtol=1e-5, atol=0)


def test_a_masked_autoencoder_hides_what_we_say(tiny_picture_config):
    shared = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size")
    config = ViTMAEConfig(**{name: getattr(tiny_picture_config, name) for name in shared}, patch_size=2,
                          num_channels=1, decoder_hidden_size=16, decoder_num_hidden_layers=1,
                          decoder_num_attention_heads=2, decoder_intermediate_size=32)  # fmt: skip
    objective = MaskedAutoencoding(block=2)
    objective.bind(plain_processor(8, 8), config)
    batch = batch_of(objective)
    outputs = objective.forward({"model": AutoModelForPreTraining.from_config(config).eval()}, batch, "model")
    assert torch.equal(outputs.mask, batch["hidden"])
    with pytest.raises(ValueError, match=r"hides 0\.75 of the patches"):
        MaskedAutoencoding(rate=0.5).bind(plain_processor(8, 8), config)


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"rate": 0.5, "final_rate": 1.5}, {"block": 0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        MaskedPatches(**wrong)

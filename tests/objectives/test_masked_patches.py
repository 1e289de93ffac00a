"""Models hide the patches that the objective drew: ours, and the masked autoencoder of transformers."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForPreTraining, ViTMAEConfig

from selfsup.data.collate import collate
from selfsup.data.images import Picture
from selfsup.objectives import MaskedAutoencoding
from selfsup.training.processors import plain_processor

SHAPE: dict = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
               "image_size": 8, "patch_size": 2, "num_channels": 1}  # fmt: skip
DECODER = {f"decoder_{name}": SHAPE[name] for name in list(SHAPE)[:4]}


@pytest.mark.parametrize(("side", "rate", "number"), [(8, 0.75, 12), (6, 0.5, 5)])
def test_the_masked_autoencoder_of_transformers_hides_what_was_drawn(side, rate, number):
    """Of 16 patches, and of 9, where half is no whole number."""
    config = ViTMAEConfig(**SHAPE | {"image_size": side}, **DECODER, mask_ratio=rate)
    objective = MaskedAutoencoding(rate=rate)
    objective.bind(plain_processor(side, side), config)
    rng = np.random.default_rng(0)
    pictures = [Picture(rng.integers(256, size=(1, side, side), dtype=np.uint8)) for _ in range(3)]
    rows = [[objective.corrupt(objective.encode({"image": one}), rng=rng, progress=0.0)] for one in pictures]
    batch = collate(rows, padding=objective.padding)
    torch.manual_seed(0)
    outputs = objective.forward({"model": AutoModelForPreTraining.from_config(config).eval()}, batch, "model")
    assert torch.equal(outputs.mask, batch["hidden"])
    assert batch["hidden"].sum(dim=1).tolist() == [number] * 3
    assert objective.counts(batch, "model") == {"patches": 3 * number}
    torch.testing.assert_close(objective.loss(outputs, batch, "model")["patches"], 3 * number * outputs.loss)


def test_where_nothing_is_left_to_see_is_refused():
    with pytest.raises(ValueError, match="must be below 1, but 1 came"):
        MaskedAutoencoding(final_rate=1.0)
    with pytest.raises(ValueError, match="pictures of two patches or more are wanted, but they are of 8 pixels"):
        MaskedAutoencoding().bind(plain_processor(8, 8), ViTMAEConfig(**SHAPE | {"patch_size": 8}, **DECODER))


def test_a_share_that_the_model_does_not_hide_is_refused():
    with pytest.raises(ValueError, match=r"this model hides 0.75 of the patches \(mask_ratio\), but 0.5 to 0.5 came"):
        MaskedAutoencoding(rate=0.5).bind(plain_processor(8, 8), ViTMAEConfig(**SHAPE, **DECODER))

"""Hidden patches are mended by what the model guesses, and everything else stays as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    ViTConfig,
    ViTForImageClassification,
    ViTForMaskedImageModeling,
    ViTMAEConfig,
    ViTMAEForPreTraining,
)

from selfsup.models.masked_autoencoder import MaskedAutoencoderForPreTraining
from selfsup.models.masked_autoencoder_config import MaskedAutoencoderConfig
from selfsup.models.vit import PatchTransformerForMaskedImageModeling
from selfsup.models.vit_config import PatchTransformerConfig
from selfsup.objectives.masked_patches import MaskedAutoencoding, MaskedPatches
from selfsup.predicting.reconstruction import open_masked, reconstruct_pictures
from selfsup.training.export import export
from selfsup.training.processors import plain_processor

SHAPE = {"image_size": 8, "num_channels": 3, "patch_size": 2, "hidden_size": 16, "num_hidden_layers": 1,
         "num_attention_heads": 2, "intermediate_size": 16}  # fmt: skip
DECODER = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2,
           "decoder_intermediate_size": 16}  # fmt: skip


def processor(normalises: bool):
    made = plain_processor(8, 8)
    if normalises:
        made.do_normalize, made.image_mean, made.image_std = True, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    return made


def made(kind: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    if kind == "ours":
        return MaskedAutoencoderForPreTraining(MaskedAutoencoderConfig(**SHAPE, **DECODER)), processor(False)
    if kind == "ours, normalised patches":
        config = MaskedAutoencoderConfig(**SHAPE, **DECODER, normalise_patches=True)
        return MaskedAutoencoderForPreTraining(config), processor(False)
    if kind == "ours, seeing masks":
        return PatchTransformerForMaskedImageModeling(PatchTransformerConfig(**SHAPE)), processor(False)
    if kind == "theirs":
        return ViTMAEForPreTraining(ViTMAEConfig(**SHAPE, **DECODER)), processor(True)
    if kind == "theirs, normalised patches":
        return ViTMAEForPreTraining(ViTMAEConfig(**SHAPE, **DECODER, norm_pix_loss=True)), processor(True)
    return ViTForMaskedImageModeling(ViTConfig(**SHAPE, encoder_stride=2)), processor(True)


def keep(kind: str, folder: Path) -> None:
    model, reads = made(kind)
    export(model, reads, folder)


@pytest.mark.parametrize(
    "kind",
    ["ours", "ours, normalised patches", "ours, seeing masks", "theirs", "theirs, normalised patches", "theirs, masks"],
)
def test_what_is_mended_has_the_loss_of_the_model_in_its_own_units(kind, tmp_path):
    model, reads = made(kind)
    export(model, reads, tmp_path / "model")
    again, objective = open_masked(str(tmp_path / "model"))
    assert type(objective) is (MaskedPatches if "mask" in kind.split(", ")[-1] else MaskedAutoencoding)
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8)) / 255).float()
    found = reconstruct_pictures(again, objective, pictures, seed=4)
    assert found.hidden.sum(dim=(1, 2, 3)).tolist() == [48] * 3  # 12 of 16 patches of 4 pixels
    assert (found.masked[found.hidden.expand_as(pictures)] == 0.5).all()
    for shown in (found.masked, found.mended):
        assert torch.equal(torch.where(found.hidden, 0, shown), torch.where(found.hidden, 0, pictures))
    assert found.error == pytest.approx(
        float((found.mended - pictures)[found.hidden.expand_as(pictures)].square().mean())
    )

    # The same patches hidden in the model itself: its loss is the error of what was mended, in its own units.
    mean, deviation = (
        (torch.tensor(values)[:, None, None] for values in (reads.image_mean, reads.image_std))
        if reads.do_normalize
        else (torch.tensor(again.config.pixel_mean), torch.tensor(again.config.pixel_std))
    )
    error, true, where = (
        torch.nn.functional.unfold(values, 2, stride=2).transpose(1, 2)  # (pictures, patches, patch pixels)
        for values in ((found.mended - pictures) / deviation, (pictures - mean) / deviation, found.hidden.float())
    )
    where = where[..., 0]
    if "normalised" in kind:
        error = error / (true.var(dim=-1, keepdim=True, correction=int("theirs" in kind)) + 1e-6).sqrt()
    errors = error.abs() if "masks" in kind else error.square()
    values = (pictures - mean) / deviation if reads.do_normalize else pictures
    with torch.no_grad():
        name = str(objective.field)
        loss = again(values, **{name: where if name == "noise" else where.bool()}).loss
    wanted = float((errors.mean(dim=-1) * where).sum() / where.sum())
    assert float(loss) == pytest.approx(wanted, rel=1e-4)


def test_what_is_reached_without_looking(tmp_path):
    keep("ours", tmp_path / "mine")
    model, objective = open_masked(str(tmp_path / "mine"), rate=0.5)
    pictures = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pictures = (pictures * 255).round() / 255
    found = reconstruct_pictures(model, objective, pictures)
    seen = ~found.hidden
    wanted = [
        (picture[channel][hidden[0]] - picture[channel][shown[0]].mean()).square()
        for picture, hidden, shown in zip(pictures, found.hidden, seen, strict=True)
        for channel in range(3)
    ]
    assert found.blind == pytest.approx(float(torch.cat(wanted).mean()), rel=1e-5)
    assert found.told == "the mean of what is visible"
    other = reconstruct_pictures(model, objective, pictures, seed=1)
    assert not torch.equal(other.hidden, found.hidden)


def test_models_of_normalised_patches_are_told_their_means(tmp_path):
    keep("ours, normalised patches", tmp_path / "mine")
    model, objective = open_masked(str(tmp_path / "mine"))
    flat = torch.linspace(0.1, 0.9, 16).reshape(1, 1, 4, 4).repeat_interleave(2, 2).repeat_interleave(2, 3)
    found = reconstruct_pictures(model, objective, flat.expand(1, 3, 8, 8).contiguous())
    assert found.blind == pytest.approx(0, abs=1e-9)  # each patch has one colour
    assert "true mean of each patch" in found.told


def test_models_that_guess_no_patches_are_refused(tiny_config, tiny_tokenizer, pretrained, tmp_path):
    export(ViTForImageClassification(ViTConfig(**SHAPE)), plain_processor(8, 8), tmp_path / "tells")
    for name, kind in ((str(pretrained), "TextEncoderForMaskedLM"), (str(tmp_path / "tells"), "ViTForImageClass")):
        with pytest.raises(ValueError, match=f"guesses masked patches of pictures is wanted, but {name} is a {kind}"):
            open_masked(name)
    with pytest.raises(ValueError, match=r"a model of masked patches is wanted, but .*none did not open"):
        open_masked(str(tmp_path / "none"))
    keep("theirs", tmp_path / "theirs")
    with pytest.raises(ValueError, match=r"this model hides 0.75 of the patches \(mask_ratio\)"):
        open_masked(str(tmp_path / "theirs"), rate=0.5)

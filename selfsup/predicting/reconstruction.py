"""What a model of masked patches makes of pictures of which it sees a part."""

from typing import NamedTuple

import numpy as np
import torch
import transformers
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel

from selfsup.models.pixels import reconstruct, to_pixels
from selfsup.models.vit_config import PatchTransformerConfig
from selfsup.objectives.masked_patches import MaskedAutoencoding, MaskedPatches
from selfsup.objectives.objective import text_rng
from selfsup.training.export import exported, open_processor, opening
from selfsup.training.processors import sees

FILL = 0.5  # grey of what is hidden
USUAL_RATE = 0.75


class Reconstructed(NamedTuple):
    """Pictures, (pictures, channels, height, width) each.

    Args:
        masked: as the model saw them, hidden patches grey.
        mended: with what the model put into hidden patches; not cut off to 0-1.
        hidden: (pictures, 1, height, width) bool.
        error: mean square of its errors on the pixels of hidden patches.
        blind: the same without looking: of `told`.
        told: what `blind` puts there, in words: the mean of a picture's visible pixels; or the true mean of the patch,
            where the model guesses only what differs from it and so is told it too.
    """

    masked: Tensor
    mended: Tensor
    hidden: Tensor
    error: float
    blind: float
    told: str


def open_masked(
    name: str, *, rate: float | None = None, block: int = 1, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, MaskedPatches]:
    """A model of masked patches, ours or of transformers, and its objective, bound.

    Args:
        name: folder of a run, exported folder, checkpoint or Hub id.
        rate: share of the patches to hide; what the model was made for, or else 75 %, if None.
        block: patches of a side of what is hidden together.
        trust_remote_code: run Python files that come with the model; our own need none.
    Raises:
        ValueError: nothing opens under that name, or it guesses no patches.
    """
    start = exported(name)
    with opening("a model of masked patches is wanted", name):
        config = AutoConfig.from_pretrained(start, trust_remote_code=trust_remote_code)
    made = (config.architectures or ["model of an unknown kind"])[0]
    for kind in (MaskedAutoencoding, MaskedPatches) if sees(config) else ():
        auto = getattr(transformers, kind.auto_class)
        known = auto._model_mapping.get(type(config), ())
        if made not in [one.__name__ for one in (known if isinstance(known, tuple) else (known,))]:
            continue
        objective = kind(getattr(config, "mask_ratio", USUAL_RATE) if rate is None else rate, block=block)
        objective.bind(open_processor(start, trust_remote_code), config)
        with opening("a model of masked patches is wanted", name):
            model, info = auto.from_pretrained(
                start, dtype=torch.float32, output_loading_info=True, trust_remote_code=trust_remote_code
            )
        if not info["missing_keys"]:
            return model.eval(), objective
    raise ValueError(
        f"a model that guesses masked patches of pictures is wanted, but {name} is a {made} without such weights: "
        "name one that MaskedAutoencoding or MaskedPatches trained, or a ViTMAEForPreTraining of the Hub"
    )


def reconstruct_pictures(
    model: PreTrainedModel, objective: MaskedPatches, pictures: Tensor, *, seed: int = 0
) -> Reconstructed:
    """Hide patches of pictures and let a model guess them.

    Args:
        model: of masked patches, in evaluation mode.
        objective: bound to it.
        pictures: (pictures, channels, height, width) in 0-1.
        seed: of what is hidden.
    """
    rows = [
        objective.corrupt({"pixel_values": picture}, rng=text_rng(seed, 0, place), progress=None)
        for place, picture in enumerate((pictures * 255).round().to(torch.uint8).numpy())
    ]
    hidden = torch.from_numpy(np.concatenate([row["hidden"] for row in rows]))
    batch = {"pixel_values": torch.from_numpy(np.stack([row["pixel_values"] for row in rows])), "hidden": hidden}
    inputs = objective.inputs(batch)
    with torch.no_grad():
        outputs = model(**inputs)
    guesses = _as_pictures(model, outputs, inputs["pixel_values"])
    guesses = (guesses - objective.black) / (objective.white - objective.black)  # see `Sight.scaled`
    where = to_pixels(hidden[..., None].repeat(1, 1, objective.patch_size**2), 1).bool()
    if _normalises(model):
        blind, told = _patch_means(pictures, objective.patch_size), "the true mean of each patch, which it is told"
    else:
        blind = (pictures * ~where).sum(dim=(2, 3), keepdim=True) / (~where).sum(dim=(2, 3), keepdim=True)
        told = "the mean of what is visible"
    error, without = (
        float((guess - pictures)[where.expand_as(pictures)].square().mean()) for guess in (guesses, blind)
    )
    masked, mended = (torch.where(where, filling, pictures) for filling in (FILL, guesses))
    return Reconstructed(masked, mended, where, error, without, told)


def _normalises(model: PreTrainedModel) -> bool:
    """Are pixels guessed as they differ from the mean of their patch?"""
    return bool(getattr(model.config, "normalise_patches", False) or getattr(model.config, "norm_pix_loss", False))


def _patch_means(pictures: Tensor, size: int) -> Tensor:
    """Pictures of which every patch has one colour, its mean."""
    means = torch.nn.functional.avg_pool2d(pictures, size)
    return means.repeat_interleave(size, dim=2).repeat_interleave(size, dim=3)


def _as_pictures(model: PreTrainedModel, outputs, pixel_values: Tensor) -> Tensor:
    """What a model guesses, in the values that it reads."""
    if isinstance(model.config, PatchTransformerConfig):
        return reconstruct(model.config, outputs.logits, pixel_values)
    if "reconstruction" in outputs:  # masked image modelling of transformers
        return outputs.reconstruction
    patches = outputs.logits
    if model.config.norm_pix_loss:  # its masked autoencoder guessed how pixels differ from the mean of their patch
        true = model.patchify(pixel_values)
        patches = patches * (true.var(dim=-1, keepdim=True) + 1e-6).sqrt() + true.mean(dim=-1, keepdim=True)
    return model.unpatchify(patches)

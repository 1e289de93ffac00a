"""Optimizers by name, and which weights they may shrink."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import ViTConfig, ViTModel

from selfsup.models.convnet import ConvNetModel
from selfsup.models.convnet_config import ConvNetConfig
from selfsup.models.text_encoder import TextEncoderForPreTraining
from selfsup.optim.optimizers import OptimConfig, build_optimizer, decay_groups

CONFIG = OptimConfig(learning_rate=0.03, weight_decay=0.07, betas=(0.8, 0.95), momentum=0.6)


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("AdamW", torch.optim.AdamW, {"betas": (0.8, 0.95), "eps": 1e-8}),
        ("Adam", torch.optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-8}),
        ("SGD", torch.optim.SGD, {"momentum": 0.6, "nesterov": False}),
        ("Adagrad", torch.optim.Adagrad, {}),
        ("RMSProp", torch.optim.RMSprop, {"alpha": 0.95, "momentum": 0.6}),
    ],
)
def test_names_are_those_of_torch(name, kind, settings):
    optimizer = build_optimizer(nn.Linear(2, 2), replace(CONFIG, name=name))
    assert type(optimizer) is kind
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.07, 0.0]
    for group in optimizer.param_groups:
        assert group["lr"] == 0.03
        assert {key: group[key] for key in settings} == settings


@pytest.mark.parametrize("name", ["AdamW", "Adam", "SGD", "Adagrad", "RMSProp"])
def test_each_goes_downhill(name):
    layer = nn.Linear(3, 1)
    optimizer = build_optimizer(layer, replace(CONFIG, name=name))
    x, losses = torch.eye(3), []
    for _ in range(50):
        optimizer.zero_grad()
        losses.append((layer(x) - torch.tensor([[1.0], [2.0], [3.0]])).square().mean())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_decay_shrinks_matrices_alone():
    """With no gradient, one step of AdamW multiplies what decays by 1 - lr * decay, and nothing else."""
    model = nn.Sequential(nn.Embedding(3, 2), nn.LayerNorm(2), nn.Linear(2, 2))
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    build_optimizer(model, CONFIG).step()
    for name, parameter in model.named_parameters():
        wanted = 1 - 0.03 * 0.07 if name == "2.weight" else 1.0
        assert parameter.flatten().tolist() == pytest.approx([wanted] * parameter.numel()), name


def test_of_pictures_convolutions_decay_and_lengths_and_places_do_not():
    net = ConvNetModel(ConvNetConfig(num_channels=3, channels=(4, 8), stage_depths=(1, 1), normalisation="weight"))
    vit = ViTModel(ViTConfig(image_size=8, patch_size=4, hidden_size=8, num_hidden_layers=0, num_attention_heads=1))
    for model, kept in ((net, ("original0", "bias")), (vit, ("bias", "norm", "cls_token", "position_embeddings"))):
        decays = {id(weight) for weight in decay_groups(model, 0.1)[0]["params"]}
        for name, weight in model.named_parameters():
            assert (id(weight) in decays) != any(part in name for part in kept), name


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("position_type", ["rotary", "learned"])
def test_every_parameter_is_in_exactly_one_group(tiny_config, tied, position_type):
    tiny_config.tie_word_embeddings, tiny_config.position_type = tied, position_type
    model = TextEncoderForPreTraining(tiny_config)
    decaying, others = decay_groups(model, 0.1)
    members = [id(parameter) for group in (decaying, others) for parameter in group["params"]]
    assert len(members) == len(set(members))
    assert set(members) == {id(parameter) for parameter in model.parameters()}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    kept = {names[id(parameter)] for parameter in others["params"]}
    wanted = {name for name in names.values() if "norm" in name or name.endswith("bias") or ".embeddings." in name}
    assert kept == wanted
    assert ("predictions.decoder.weight" in {names[id(p)] for p in decaying["params"]}) is not tied
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)


def test_frozen_weights_are_left_out():
    layer = nn.Linear(2, 2)
    layer.weight.requires_grad_(False)
    (group,) = decay_groups(layer, 0.1)
    assert group["params"] == [layer.bias]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be above 0 and finite, but 0.0 came"),
        ({"warmup_steps": -1}, "warmup_steps, clip_norm and weight_decay must not be negative"),
        ({"cooldown_share": 1.5}, "cooldown_share must lie between 0 and 1, but 1.5 came"),
    ],
)
def test_refuses_what_makes_no_sense(options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        OptimConfig(**options)

"""The convolutional network: its receptive fields, its parts by hand, its backbone, and what it refuses."""

import copy
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from selfsup.models.convnet import ConvNetBackbone, ConvNetForImageClassification, ConvNetModel, Stage
from selfsup.models.convnet_config import ConvNetConfig
from selfsup.models.receptive_field import receptive_field

SMALL: dict[str, Any] = {"image_size": 12, "channels": (4, 8), "stage_depths": (1, 1)}


def rows(fields):
    return [(field.units, field.size, field.jump, field.offset) for field in fields]


def test_receptive_field_by_hand():
    """LeNet: 5 x 5, halved, 5 x 5, halved."""
    lenet = ConvNetConfig(
        image_size=32, channels=(6, 16, 120), stage_depths=(1, 1, 1), kernel_sizes=5, paddings=0, residual=False
    )
    wanted = [(28, 5, 1, 0), (14, 6, 2, 0), (10, 14, 2, 0), (5, 16, 4, 0), (1, 32, 4, 0)]
    assert rows(receptive_field(lenet)) == wanted


def test_padding_moves_the_field():
    """Of 3 x 3 in steps of 2 with one zero on each side, unit i sees pixels 2i - 1 to 2i + 1."""
    net = ConvNetConfig(**SMALL, pooling="none", strides=2)
    assert rows(receptive_field(net)) == [(6, 3, 2, -1), (3, 7, 4, -3)]


@pytest.mark.parametrize(
    "shape",
    [
        {"pooling": "max"},
        {"pooling": "stride", "separable": True},
        {"pooling": "none", "strides": (2, 1, 3, 1), "kernel_sizes": (5, 1, 3, 3)},
        {"pooling": "max", "residual": False, "paddings": (0, 1, 2, 0), "kernel_sizes": (4, 2, 3, 5)},
    ],
    ids=lambda shape: shape["pooling"] + str(len(shape)),
)
def test_receptive_field_is_what_gradients_say(shape):
    """Positive weights and pixels, and means in place of maxima, so that no gradient dies on its way."""
    config = ConvNetConfig(
        image_size=25, channels=(2, 3, 2, 2), stage_depths=(2, 2), normalisation="none", pixel_mean=0.0, pixel_std=1.0,
        **shape,
    )  # fmt: skip
    model = ConvNetModel(config).double()
    for stage in model.stages:
        if isinstance(stage.pool, nn.MaxPool2d):
            stage.pool = nn.AvgPool2d(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    seen = {}
    for field in receptive_field(config):
        model.get_submodule(field.name).register_forward_hook(
            lambda _, __, out, name=field.name: seen.update({name: out})
        )
    pixels = (torch.rand(1, 1, 25, 25) * 0.9 + 0.1).double().requires_grad_()
    model(pixels)
    for field in receptive_field(config):
        assert seen[field.name].shape[-1] == field.units
        for unit in {0, field.units // 2, field.units - 1}:
            (gradient,) = torch.autograd.grad(seen[field.name][0, :, unit, unit].sum(), pixels, retain_graph=True)
            start = field.offset + unit * field.jump
            wanted = torch.zeros(25, 25, dtype=torch.bool)
            wanted[max(start, 0) : start + field.size, max(start, 0) : start + field.size] = True
            assert torch.equal(gradient[0, 0] != 0, wanted), (field, unit)


def test_the_default_is_small():
    model = ConvNetForImageClassification(ConvNetConfig(num_labels=10))
    assert model.num_parameters() == 90_058


def test_a_plain_network_is_what_torch_makes_of_the_same_layers():
    config = ConvNetConfig(**SMALL, residual=False, head="flatten", pixel_mean=0.2, pixel_std=0.4, num_labels=3)
    model = ConvNetForImageClassification(config)
    torchs = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3),
    )  # fmt: skip
    torchs.load_state_dict(dict(zip(torchs.state_dict(), model.state_dict().values(), strict=True)))
    pictures, labels = torch.rand(5, 1, 12, 12), torch.tensor([0, 1, 2, 2, 1])
    out = model(pictures, labels=labels)
    wanted = torchs((pictures - 0.2) / 0.4)
    torch.testing.assert_close(out.logits, wanted)
    torch.testing.assert_close(out.loss, nn.functional.cross_entropy(wanted, labels))


def test_a_residual_stage_adds_what_entered_it():
    """With weights of 0 only the shortcut is left: nothing done to it, or a convolution of 1 x 1."""
    same = ConvNetConfig(num_channels=4, channels=(4, 4), stage_depths=(2,), normalisation="none")
    wider = ConvNetConfig(num_channels=4, channels=(4, 6), stage_depths=(2,), normalisation="none", strides=(1, 2))
    entered = torch.rand(2, 4, 9, 9)
    for config in (same, wider):
        stage: Any = Stage(config, 0)
        nn.init.zeros_(stage.layers[1].convolution.weight)
        nn.init.zeros_(stage.layers[1].convolution.bias)
        around = entered if config is same else stage.shortcut.convolution(entered)
        torch.testing.assert_close(stage(entered), around.relu())
    assert stage(entered).shape == (2, 6, 5, 5)


def test_separable_layers_mix_places_channel_by_channel():
    """One channel that changes moves a depthwise map of its own alone; weights fall from 9 x 8 x 8 to 9 x 8 + 8 x 8."""
    dense, separable = (ConvNetConfig(**SMALL, separable=flag, residual=False) for flag in (False, True))
    counts = [ConvNetModel(config).num_parameters() for config in (dense, separable)]
    assert counts[0] - counts[1] == 9 * 4 * 8 - (9 * 4 + 4 * 8)
    model: Any = ConvNetModel(separable)
    layer = model.stages[1].layers[0]
    maps = torch.rand(1, 4, 6, 6)
    other = maps.clone()
    other[:, 2] += 1
    changed = (layer.depthwise(maps) != layer.depthwise(other)).flatten(2).any(-1)
    assert changed.tolist() == [[False, False, True, False]]


def test_statistics_of_pixels_live_in_the_model(tmp_path):
    """They come back with the configuration, even in another type, and never from a checkpoint's weights."""
    config = ConvNetConfig(**SMALL, num_channels=3, pixel_mean=(0.1, 0.2, 0.3), pixel_std=(0.5, 0.25, 1.0))
    ConvNetModel(config).save_pretrained(tmp_path)
    for dtype in (torch.float32, torch.bfloat16):
        model = ConvNetModel.from_pretrained(tmp_path, dtype=dtype)
        assert not any("pixels" in key for key in model.state_dict())
        out = model.pixels(torch.full((1, 3, 12, 12), 0.6))
        assert out.dtype == dtype
        torch.testing.assert_close(out[0, :, 0, 0], torch.tensor([1.0, 1.6, 0.3]), check_dtype=False, atol=5e-3, rtol=0)
        assert model(torch.rand(1, 3, 12, 12)).last_hidden_state.dtype == dtype


class TestBackbone:
    def test_feature_maps_are_those_of_the_body(self, tmp_path):
        torch.manual_seed(0)
        model = ConvNetForImageClassification(ConvNetConfig(**SMALL, out_features=["stage1", "stage2"])).eval()
        model.save_pretrained(tmp_path)
        backbone = ConvNetBackbone.from_pretrained(tmp_path).eval()
        pictures = torch.rand(2, 1, 12, 12)
        states = model.encoder(pictures, output_hidden_states=True).hidden_states
        out = backbone(pictures)
        assert backbone.channels == [4, 8]
        assert list(out.keys()) == ["feature_maps"]
        for one, other in zip(out.feature_maps, states[1:], strict=True):
            assert torch.equal(one, other)
        (maps,) = backbone(pictures, return_dict=False)
        assert torch.equal(maps[0], states[1])

    def test_of_other_models(self):
        config = ConvNetConfig(**SMALL, out_indices=[0])
        backbone = transformers.AutoBackbone.from_config(config)
        assert type(backbone) is ConvNetBackbone
        assert backbone.out_features == ["stage1"]
        assert backbone.forward_with_filtered_kwargs(torch.rand(1, 1, 12, 12)).feature_maps[0].shape == (1, 4, 12, 12)
        backbone.out_features = ["stage2"]
        assert backbone(torch.rand(1, 1, 20, 16)).feature_maps[0].shape == (1, 8, 10, 8)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stage_depths": (1, 2)}, r"stage_depths must sum to the number of channels.*\[1, 2\] came for 2"),
        ({"channels": ()}, "need numbers of at least 1"),
        ({"kernel_sizes": (3, 3, 3)}, "kernel_sizes must have 2 values, but 3 came"),
        ({"residual": (True, True, False)}, "residual must have 2 values"),
        ({"kernel_sizes": 4}, 'paddings="same" needs odd kernel_sizes, but 4 came'),
        ({"kernel_sizes": 0}, "must be at least 1"),
        ({"paddings": -1}, "must not be negative"),
        ({"paddings": 0}, 'residual stages need paddings="same", but 0 came'),
        ({"image_size": 1}, r"nothing is left of a picture of 1 x 1 pixels at stages.1.pool"),
        ({"image_size": 0}, "image_size and num_channels must be at least 1"),
        ({"pixel_mean": (0.1, 0.2)}, "pixel_mean must be one number, or one for each of 1 channels, but 2 came"),
        ({"pixel_std": 0.0}, "pixel_std must be above 0"),
        ({"norm_groups": 0}, "norm_groups must be at least 1 .* but 0 and"),
        ({"norm_momentum": 2.0}, "norm_momentum above 0 and at most 1, but 4 and 2.0 came"),
        ({"normalisation": "instance", "image_size": 2}, r'"instance" needs two places .* stages.1.layers.0 has one'),
        ({"normalisation": "group", "norm_groups": 3}, r"norm_groups must divide .* 3 does not divide all of \[4, 8\]"),
    ],
)
def test_shapes_that_cannot_be_are_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        ConvNetConfig(**SMALL | fields)


@pytest.mark.parametrize("fields", [{"channels": "many"}, {"normalisation": "bacth"}, {"head": 3}])
def test_wrong_types_are_refused(fields):
    with pytest.raises(Exception, match=r"channels|normalisation|head"):
        ConvNetConfig(**SMALL | fields)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (torch.rand(12, 12), r"must be \(batch, 1, 12, 12\), but \(12, 12\) came"),
        (torch.rand(2, 2, 12, 12), r"\(2, 2, 12, 12\) came: convert the pictures, or .* num_channels=2"),
        (torch.rand(2, 1, 10, 12), r"resize the pictures to 12 x 12"),
        (torch.zeros(2, 1, 12, 12, dtype=torch.uint8), r"floating-point numbers in \[0, 1\], but torch.uint8 came"),
    ],
)
def test_other_pictures_are_refused(pixels, said):
    with pytest.raises(ValueError, match=said):
        ConvNetModel(ConvNetConfig(**SMALL, head="flatten"))(pixels)


def test_a_configuration_survives_its_json():
    config = ConvNetConfig(**SMALL, strides=(1, 2), pooling="none", out_features=["stage1"], num_labels=7)
    again = ConvNetConfig.from_dict(copy.deepcopy(config.to_dict()))
    assert again.to_dict() == config.to_dict()
    assert again.out_features == ["stage1"]
    assert again.num_labels == 7


def test_as_it_stands_it_has_the_weights_that_its_docstring_says():
    model = ConvNetForImageClassification(ConvNetConfig(num_labels=10))
    number = sum(weight.numel() for weight in model.parameters())
    assert f"{number:,} weights" in (ConvNetConfig.__doc__ or "")
    assert number < 100_000

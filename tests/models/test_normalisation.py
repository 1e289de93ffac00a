"""Normalisations: by hand, beside torch's batch normalisation, and through saving and loading."""

from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from selfsup.models.convnet import ConvNetForImageClassification, ConvNetModel
from selfsup.models.convnet_config import ConvNetConfig
from selfsup.models.normalisation import BatchRenorm2d, normalise

NAMES = ["batch", "batch_renorm", "layer", "instance", "group", "weight", "spectral", "none"]


def tiny(name):
    return ConvNetConfig(image_size=8, channels=(4, 8), stage_depths=(1, 1), norm_groups=2, normalisation=name)


@pytest.fixture
def maps():
    """(batch, channels, height, width) whose channels differ in mean and spread."""
    chance = torch.Generator().manual_seed(0)
    spread = torch.tensor([0.5, 1.0, 2.0, 3.0])[:, None, None]
    return torch.randn(3, 4, 5, 5, generator=chance) * spread + torch.tensor([1.0, -2.0, 0.0, 4.0])[:, None, None]


@pytest.mark.parametrize(
    ("name", "shape", "axes"),
    [
        ("batch", (3, 4, 25), (0, 2)),
        ("layer", (3, 100), (1,)),
        ("instance", (3, 4, 25), (2,)),
        ("group", (3, 2, 50), (2,)),
    ],
)
def test_mean_and_deviation_over_the_axes_of_the_name(name, shape, axes, maps):
    norm: Any = normalise(tiny(name), 4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        norm.bias.copy_(torch.tensor([0.5, 0.0, 0.0, -1.0]))
    parts = maps.double().reshape(shape)
    mean = parts.mean(axes, keepdim=True)
    wanted = (parts - mean) / ((parts - mean).square().mean(axes, keepdim=True) + 1e-5).sqrt()
    wanted = wanted.view_as(maps) * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(maps), wanted.float(), atol=1e-5, rtol=1e-5)


class TestBatchRenorm:
    def test_without_room_is_batch_normalisation(self, maps):
        """r = 1 and d = 0 until the limits grow: the same outputs, gradients and averages as torch's."""
        ours, theirs = BatchRenorm2d(4, steps=(10, 20)), nn.BatchNorm2d(4)
        for number in range(3):
            ins = [(maps * (number + 1)).requires_grad_() for _ in range(2)]
            outs = [norm(each) for norm, each in zip((ours, theirs), ins, strict=True)]
            torch.testing.assert_close(*outs, atol=1e-5, rtol=1e-5)
            for each in outs:
                (each**3).sum().backward()
            torch.testing.assert_close(ins[0].grad, ins[1].grad, atol=1e-3, rtol=1e-4)
            torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, atol=1e-3, rtol=1e-4)
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value)

    def test_within_its_limits_trains_with_what_it_evaluates_with(self, maps):
        norm = BatchRenorm2d(4, steps=(0, 0), limits=(100.0, 100.0))
        norm(maps * 1.3 + 0.2)  # averages of another batch
        with torch.no_grad():
            evaluated = norm.eval()(maps)
        torch.testing.assert_close(norm.train()(maps), evaluated, atol=1e-5, rtol=1e-5)
        plain = nn.BatchNorm2d(4)
        plain(maps * 1.3 + 0.2)
        assert (plain(maps) - evaluated).abs().max() > 0.1  # which batch normalisation does not

    def test_by_hand_at_its_limits(self):
        """A batch of 0 and 8 has mean 4 and deviation 4; averages 1 and 2 would give r = 2 and d = 1.5."""
        norm = BatchRenorm2d(1, eps=0.0, steps=(0, 0), limits=(1.5, 1.0))
        norm.running_mean.fill_(1.0)
        norm.running_var.fill_(4.0)
        out = norm(torch.tensor([0.0, 8.0]).view(2, 1, 1, 1)).flatten().tolist()
        assert out == pytest.approx([-1 * 1.5 + 1.0, 1 * 1.5 + 1.0])
        assert norm.running_mean.item() == pytest.approx(1 + 0.1 * 3)
        assert norm.running_var.item() == pytest.approx(4 + 0.1 * (32 - 4))  # 32 is the unbiased variance

    def test_limits_grow_between_their_steps(self):
        """Half way from step 10 to 30, r may be 2 of 3 at most and d 2.5 of 5."""
        norm = BatchRenorm2d(1, eps=0.0, steps=(10, 30), limits=(3.0, 5.0))
        norm.num_batches_tracked.fill_(20)
        scale, shift = norm._corrections(torch.tensor([100.0]), torch.tensor([50.0]))
        assert (scale.item(), shift.item()) == (2.0, 2.5)
        scale, shift = norm._corrections(torch.tensor([-100.0]), torch.tensor([0.01]))
        assert (scale.item(), shift.item()) == (0.5, -2.5)

    def test_no_gradient_goes_through_its_corrections(self, maps):
        """Else it would be the constant map of evaluation, and the mean of a batch could drift for ever."""
        norm = BatchRenorm2d(4, steps=(0, 0), limits=(100.0, 100.0)).double()
        batch = maps.double().requires_grad_()
        norm(batch).pow(3).sum().backward()
        assert batch.grad is not None
        torch.testing.assert_close(batch.grad.sum((0, 2, 3)), torch.zeros(4).double(), atol=1e-8, rtol=0)

    @pytest.mark.parametrize(("steps", "limits"), [((5, 2), (3.0, 5.0)), ((0, 1), (0.5, 5.0)), ((0, 1), (3.0, -1.0))])
    def test_limits_that_cannot_be_are_refused(self, steps, limits):
        with pytest.raises(ValueError, match=r"batch renormalisation|at least 1 and 0"):
            BatchRenorm2d(4, steps=steps, limits=limits)


def convolutions(model) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def test_weight_normalisation_keeps_lengths_apart_from_directions():
    for layer in convolutions(ConvNetModel(tiny("weight"))):
        parts = layer.parametrizations.weight
        fresh = layer.weight.detach().clone()
        torch.testing.assert_close(fresh, parts.original1)  # the length is that of the direction's numbers at first
        with torch.no_grad():
            parts.original1.mul_(3)
        torch.testing.assert_close(layer.weight, fresh)
        with torch.no_grad():
            parts.original0.mul_(2)
        torch.testing.assert_close(layer.weight, 2 * fresh)


def test_spectral_normalisation_holds_the_largest_singular_value_at_1():
    for layer in convolutions(ConvNetModel(tiny("spectral"))):  # from the start, not after some steps
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
        assert largest.item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_learnt_survives_saving(name, tmp_path):
    model = ConvNetForImageClassification(tiny(name))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pictures = torch.rand(4, 1, 8, 8)
    model(pictures, labels=torch.tensor([0, 1, 1, 0])).loss.backward()
    optimizer.step()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.save_pretrained(tmp_path)
    opened, info = ConvNetForImageClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    for key, value in model.state_dict().items():
        assert torch.equal(opened.state_dict()[key], value), key
    assert torch.equal(opened.eval()(pictures).logits, model.eval()(pictures).logits)


@pytest.mark.parametrize("name", ["batch", "weight", "spectral"])
def test_what_a_checkpoint_lacks_starts_fresh(name, tmp_path):
    ConvNetModel(tiny(name)).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {key: value for key, value in weights.items() if "stages.1" not in key}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    opened: Any = ConvNetModel.from_pretrained(tmp_path)
    for key, value in opened.state_dict().items():
        assert torch.equal(value, weights[key]) if key in kept else value.isfinite().all()
    layer = opened.stages[1].layers[0].convolution
    if name == "spectral":
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.02)
    else:
        assert layer.weight.std().item() == pytest.approx((2 / 36) ** 0.5, rel=0.2)

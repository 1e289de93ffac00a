"""Attention that is a convolution, and attention on a picture beside sums written out."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from selfsup.models.attention_2d import SHARPNESS, RelativeAttention2d, as_convolution


def convolution_of(**fields: Any) -> Any:
    """A convolution with fresh weights."""
    torch.manual_seed(0)
    usual: dict[str, Any] = {"in_channels": 3, "out_channels": 5, "kernel_size": 3, "padding": "same"}
    return nn.Conv2d(**usual | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"padding": 1, "bias": False},
        {"in_channels": 5, "out_channels": 2},
        {"kernel_size": 5, "in_channels": 1},
        {"kernel_size": (1, 3)},
        {"kernel_size": 1, "padding": 0},
        {"dilation": 2},
        {"padding": 1, "padding_mode": "replicate"},
        {"kernel_size": (5, 3), "padding": (2, 1), "padding_mode": "replicate"},
    ],
    ids=str,
)
def test_attention_equals_the_convolution(fields):
    """Everywhere, at the border too, for zeros around the picture and for a border that is repeated."""
    convolution = convolution_of(**fields)
    maps = torch.randn(2, convolution.in_channels, 7, 6)
    attention = as_convolution(convolution)
    assert len(attention.centre) == convolution.kernel_size[0] * convolution.kernel_size[1]
    torch.testing.assert_close(attention(maps), convolution(maps), atol=1e-5, rtol=1e-5)


def test_without_a_frame_it_equals_zero_padding_in_the_interior_alone():
    convolution = convolution_of(kernel_size=5)
    attention = as_convolution(convolution)
    attention.frame = 0
    maps = torch.randn(2, 3, 9, 9)
    found, wanted = attention(maps), convolution(maps)
    torch.testing.assert_close(found[..., 2:-2, 2:-2], wanted[..., 2:-2, 2:-2], atol=1e-5, rtol=1e-5)
    assert (found - wanted)[..., 0, :].abs().max() > 0.1


def test_less_sharp_heads_look_at_neighbours_too():
    """With sharpness a the difference falls as exp(-a), the weight of the four nearest neighbours."""
    convolution, maps = convolution_of(), torch.randn(1, 3, 8, 8)
    attention = as_convolution(convolution)
    errors = []
    for sharpness in (3.0, 6.0, 9.0):
        nn.init.constant_(attention.sharpness, sharpness)
        errors.append((attention(maps) - convolution(maps)).abs().mean().item())
    assert errors[0] / errors[1] == pytest.approx(20.1, rel=0.2)  # exp(3)
    assert errors[1] / errors[2] == pytest.approx(20.1, rel=0.2)
    assert SHARPNESS > 9


@torch.no_grad()
def test_scores_are_the_quadratic_encoding_of_the_paper():
    """v = -a (1, -2 c1, -2 c2), r = (|d|^2, d1, d2): the same weights once softmax has taken the rest away."""
    torch.manual_seed(0)
    layer = RelativeAttention2d(2, 2, num_heads=3, head_size=2)
    maps = torch.randn(1, 2, 3, 4)
    scores = layer.scores(maps, maps)[0]
    for head in range(3):
        a, (c1, c2) = layer.sharpness[head], layer.centre[head]
        rows = [[-a * (d1 * d1 + d2 * d2 - 2 * c1 * d1 - 2 * c2 * d2)
                 for d1, d2 in ((key // 4 - query // 4, key % 4 - query % 4) for key in range(12))]
                for query in range(12)]  # fmt: skip
        torch.testing.assert_close(scores[head].softmax(-1), torch.tensor(rows).softmax(-1))


def test_content_beside_position_by_hand():
    torch.manual_seed(0)
    layer: Any = RelativeAttention2d(2, 3, num_heads=2, head_size=4, content=True, frame=1)
    maps = torch.randn(1, 2, 2, 3)
    out = layer(maps)
    framed = nn.functional.pad(maps, [1] * 4)[0].flatten(1).T
    inner = [row * 5 + column for row in (1, 2) for column in (1, 2, 3)]
    projected = layer.query_key(framed).view(20, 2, 8)
    query, key, value = projected[inner, :, :4], projected[..., 4:], layer.value(framed).view(20, 2, 4)
    for number, place in enumerate(inner):
        parts = []
        for head in range(2):
            step = torch.tensor([[k // 5 - place // 5, k % 5 - place % 5] for k in range(20)])
            far = (step - layer.centre[head]).square().sum(-1)
            score = key[:, head] @ query[number, head] / 2 - layer.sharpness[head] * far
            parts.append(score.softmax(0) @ value[:, head])
        wanted = layer.output(torch.cat(parts))
        torch.testing.assert_close(out[0, :, number // 3, number % 3], wanted, atol=1e-5, rtol=1e-5)


def test_the_weights_are_copies_in_the_type_of_the_convolution():
    convolution = convolution_of().double()
    attention = as_convolution(convolution)
    before = copy.deepcopy(convolution.state_dict())
    assert {parameter.dtype for parameter in attention.parameters()} == {torch.float64}
    maps = torch.randn(1, 3, 5, 5).double()
    torch.testing.assert_close(attention(maps), convolution(maps), atol=1e-12, rtol=1e-9)
    attention(maps).square().sum().backward()
    with torch.no_grad():
        for parameter in attention.parameters():
            assert parameter.grad is not None
            parameter.sub_(parameter.grad)
    assert all(torch.equal(value, before[name]) for name, value in convolution.state_dict().items())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stride": 2, "padding": 1}, r"a stride of 1, but \(2, 2\) came"),
        ({"out_channels": 3, "groups": 3}, "one group, but 3 came"),
        ({"kernel_size": 4}, r"a kernel with a middle, but \(4, 4\) came"),
        ({"padding": 0}, r"a padding of \(1, 1\), which keeps the size, but \(0, 0\) came"),
        ({"padding": 1, "padding_mode": "circular"}, 'zeros or replicate, but "circular" came'),
    ],
)
def test_other_convolutions_are_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        as_convolution(convolution_of(**fields))

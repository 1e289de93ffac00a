"""Feed-forward halves and positions, against values worked out by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from transformers.models.bloom.modeling_bloom import build_alibi_tensor

from selfsup.models.blocks import FeedForward
from selfsup.models.positions import alibi, alibi_slopes, angles, rotate, rotation, sinusoids


def gelu(x: float) -> float:
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))


@pytest.mark.parametrize(
    ("activation", "weights", "wanted"),
    [
        # Input (1, 2), inner (1 - 2, 2 * 2), summed.
        ("gelu", [[1, -1], [0, 2]], gelu(-1) + gelu(4)),
        ("relu2", [[1, -1], [0, 2]], 0 + 16),
        # The first half is activated, the second gates it: GELU(-1) * 3 + GELU(4) * 2.
        ("geglu", [[1, -1], [0, 2], [1, 1], [2, 0]], gelu(-1) * 3 + gelu(4) * 2),
    ],
)
def test_feed_forward_by_hand(activation, weights, wanted):
    layer = FeedForward(SimpleNamespace(hidden_size=2, intermediate_size=2, activation=activation, use_bias=False))
    with torch.no_grad():
        layer.input.weight.copy_(torch.tensor(weights, dtype=torch.float))
        layer.output.weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    torch.testing.assert_close(layer(torch.tensor([1.0, 2.0])), torch.tensor([wanted, 0.0]))


def test_sinusoids_are_those_of_the_paper():
    table = sinusoids(torch.tensor([[0, 1, 7]]), 6)
    for row, position in enumerate((0, 1, 7)):
        for i in range(3):  # "PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i+1) = cos(...)"
            angle = position / 10_000 ** (2 * i / 6)
            assert table[0, row, i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[0, row, 3 + i].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_angles_by_hand():
    torch.testing.assert_close(angles(torch.tensor([[3]]), 4, base=100.0), torch.tensor([[[3.0, 0.3]]]))


def test_rotation_turns_pairs_of_axes():
    """At position 1 the first pair turns by 1 radian, the second by 1 / base ** 0.5."""
    cosine, sine = rotation(torch.tensor([[1]]), 4, base=100.0)
    x = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]])  # the pairs are (1, 3) and (2, 4)
    turned = rotate(x, cosine, sine).flatten().tolist()
    for (a, b), angle, place in (((1, 3), 1.0, 0), ((2, 4), 0.1, 1)):
        assert turned[place] == pytest.approx(a * math.cos(angle) - b * math.sin(angle), abs=1e-5)
        assert turned[place + 2] == pytest.approx(a * math.sin(angle) + b * math.cos(angle), abs=1e-5)


def test_rotation_keeps_lengths_and_types():
    x = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0))
    cosine, sine = rotation(torch.arange(5)[None], 8)
    torch.testing.assert_close(rotate(x, cosine, sine).norm(dim=-1), x.norm(dim=-1))
    assert rotate(x.bfloat16(), cosine, sine).dtype == torch.bfloat16
    torch.testing.assert_close(rotate(x, cosine, sine)[:, :, 0], x[:, :, 0])  # nothing turns at position 0


def test_slopes_of_the_paper():
    """ "For 8 heads the slopes are 1/2, 1/4 … 1/256"; for 12, four more from the 16 of 16 heads."""
    assert alibi_slopes(8) == [2**-exponent for exponent in range(1, 9)]
    assert alibi_slopes(12) == pytest.approx(alibi_slopes(8) + [2**-exponent for exponent in (0.5, 1.5, 2.5, 3.5)])


@pytest.mark.parametrize("num_heads", [1, 2, 3, 4, 6, 7, 8, 12, 16, 20])
def test_slopes_are_those_of_bloom(num_heads):
    theirs = build_alibi_tensor(torch.ones(1, 2, dtype=torch.long), num_heads, torch.float32)[:, 0, 1]
    torch.testing.assert_close(torch.tensor(alibi_slopes(num_heads)), theirs)


def test_alibi_by_hand():
    """Slopes of two heads: 2 ** -4 and 2 ** -8; the second row is a packed one, whose positions start anew."""
    distances = torch.tensor([[[0, 2, 3], [2, 0, 1], [3, 1, 0]], [[0, 1, 0], [1, 0, 1], [0, 1, 0]]])
    wanted = torch.stack((distances * -(2.0**-4), distances * -(2.0**-8)), dim=1)
    torch.testing.assert_close(alibi(torch.tensor([[0, 2, 3], [0, 1, 0]]), 2), wanted)

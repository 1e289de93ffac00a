"""Dropout: its share, its mean, its gradient, its chance; torch's own outside of a CPU's training."""

import pytest
import torch

from selfsup.models.dropout import Dropout, drop


@pytest.mark.parametrize("share", [0.003, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_share_and_mean(share, dtype):
    torch.manual_seed(0)
    left = drop(torch.ones(1001, 199, dtype=dtype), share, training=True).double()
    error = 4 * (share * (1 - share) / left.numel()) ** 0.5
    assert float((left == 0).double().mean()) == pytest.approx(share, abs=error)
    assert left.unique().numel() == 2
    assert float(left.max()) == pytest.approx(1 / (1 - share), rel=1e-3 if dtype != torch.bfloat16 else 5e-3)


def test_every_place_is_drawn_on_its_own():
    """Four numbers share a draw: none tells another, nor does a place within the draw matter."""
    torch.manual_seed(0)
    kept = (drop(torch.ones(200_000, 4), 0.3, training=True) != 0).double()
    torch.testing.assert_close(kept.mean(dim=0), torch.full((4,), 0.7).double(), atol=0.005, rtol=0)
    assert (torch.corrcoef(kept.T) - torch.eye(4)).abs().max() < 0.01
    assert torch.corrcoef(torch.stack([kept.flatten()[:-4], kept.flatten()[4:]]))[0, 1].abs() < 0.01


def test_the_gradient_goes_where_the_number_went():
    torch.manual_seed(0)
    numbers = torch.randn(7, 5, 3, dtype=torch.float64, requires_grad=True)  # 105: the last draw is not used up
    left = drop(numbers, 0.4, training=True)
    (gradient,) = torch.autograd.grad(left.sum(), numbers)
    torch.testing.assert_close(gradient, (left / numbers).detach())


def test_a_seed_gives_the_same_again_and_the_next_call_other_places():
    layer = Dropout(0.5)
    torch.manual_seed(3)
    first, second = layer(torch.ones(64)), layer(torch.ones(64))
    torch.manual_seed(3)
    assert torch.equal(layer(torch.ones(64)), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        drop(torch.ones(9), share, training=True)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_none_and_all(share):
    assert torch.equal(drop(torch.ones(9), share, training=True), torch.full((9,), 1 - share))


def test_nothing_is_dropped_outside_of_training_or_of_nothing():
    numbers = torch.randn(9)
    assert Dropout(0.5).eval()(numbers) is numbers
    assert drop(torch.ones(0, 4), 0.5, training=True).shape == (0, 4)
    assert repr(Dropout(0.1)) == "Dropout(p=0.1, inplace=False)"

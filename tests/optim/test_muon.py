"""Muon against torch's, and what it makes of matrices."""

import copy

import pytest
import torch
from torch import nn

from selfsup.models.text_encoder import TextEncoderForMaskedLM
from selfsup.optim.muon import STEP, Muon, orthogonalise
from selfsup.optim.optimizers import OptimConfig, build_optimizer, muon_groups


def test_matrices_move_as_with_torchs_muon_and_the_rest_as_with_adamw():
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(*shape)) for shape in ((6, 4), (4, 9), (5,), (7, 3))]
    theirs = [nn.Parameter(weight.detach().clone()) for weight in ours]
    groups = [
        {"params": ours[:2], "parts": 1, "weight_decay": 0.1},
        {"params": ours[2:], "parts": 0, "weight_decay": 0.3},
    ]
    more = STEP / 0.2  # torch scales as the source does
    optimizers = [
        Muon(groups, lr=0.02, betas=(0.9, 0.95), momentum=0.9),
        torch.optim.Muon(
            theirs[:2], lr=0.02 * more, weight_decay=0.1 / more, momentum=0.9, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(theirs[2:], lr=0.02, betas=(0.9, 0.95), weight_decay=0.3),
    ]
    for _ in range(5):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other in zip(ours, theirs, strict=True):
        # Both iterate in bfloat16, in another order: 5 steps of a length of 0.02 * 0.5 * 3 at most.
        torch.testing.assert_close(mine, other, rtol=0, atol=2.5e-3 if mine.ndim == 2 else 1e-6)


def test_singular_values_come_near_one():
    torch.manual_seed(1)
    for shape in ((8, 8), (16, 4), (4, 16)):
        u, s, v = torch.linalg.svd(torch.randn(*shape, dtype=torch.float64), full_matrices=False)
        found = torch.linalg.svdvals(orthogonalise(((u * s.clamp(min=0.05)) @ v)[None]))
        assert found.min() > 0.6
        assert found.max() < 1.3
    assert not orthogonalise(torch.zeros(1, 3, 2)).any()


def test_a_convolution_moves_as_the_matrix_of_its_outputs():
    torch.manual_seed(0)
    start, gradients = torch.randn(4, 3, 2, 2), torch.randn(3, 4, 3, 2, 2)
    kernel, matrix = nn.Parameter(start.clone()), nn.Parameter(start.flatten(1).clone())
    kernel.data = kernel.data.to(memory_format=torch.channels_last)
    optimizers = [Muon([{"params": [weight], "parts": 1}], lr=0.1) for weight in (kernel, matrix)]
    for gradient in gradients:
        kernel.grad, matrix.grad = gradient.clone(), gradient.flatten(1).clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(kernel.flatten(1), matrix)


def test_many_matrices_at_once_move_as_each_alone(monkeypatch):
    torch.manual_seed(0)
    shapes = [(4, 6), (6, 4), (4, 6), (12, 6), (4, 6), (4, 2, 3)]
    alone = [nn.Parameter(torch.randn(*shape)) for shape in shapes]
    together = [nn.Parameter(weight.detach().clone()) for weight in alone]
    for one, other in zip(alone, together, strict=True):
        one.grad = torch.randn_like(one)
        other.grad = one.grad.clone()
    parts = [3 if shape[0] == 12 else 1 for shape in shapes]
    for weight, count in zip(alone, parts, strict=True):
        Muon([{"params": [weight], "parts": count}], lr=0.1).step()
    monkeypatch.setattr("selfsup.optim.muon.TOGETHER", 3 * 24)  # of six matrices alike, first three and then the others
    threes = [weight for weight, count in zip(together, parts, strict=True) if count == 3]
    ones = [weight for weight, count in zip(together, parts, strict=True) if count == 1]
    Muon([{"params": threes, "parts": 3}, {"params": ones, "parts": 1}], lr=0.1).step()
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one, other)


def test_parts_move_apart():
    """A part whose gradient is a thousand times longer takes no room from the others."""
    weight = nn.Parameter(torch.zeros(6, 2, dtype=torch.float64))
    weight.grad = torch.cat([torch.eye(2), 1000 * torch.eye(2), torch.zeros(2, 2)]).double()
    Muon([{"params": [weight], "parts": 3}], lr=1.0).step()
    first, second, third = weight.detach().chunk(3)
    torch.testing.assert_close(first, second)
    assert first.diagonal().max() < -0.1
    assert not third.any()


def test_blocks_go_by_muon_and_embeddings_and_heads_do_not(tiny_config):
    model = TextEncoderForMaskedLM(tiny_config)
    names = {id(weight): name for name, weight in model.named_parameters()}
    parts = {names[id(w)]: group["parts"] for group in muon_groups(model, 0.1) for w in group["params"]}
    assert len(parts) == len(names)
    for name, count in parts.items():
        inside = "blocks" in name and "norm" not in name and name.endswith("weight")
        assert count == (3 if "query_key_value" in name else 1 if inside else 0), name


def test_what_is_no_matrix_is_refused():
    for shape, parts in (((4,), 1), ((4, 2), 3)):
        with pytest.raises(ValueError, match="Muon moves matrices"):
            Muon([{"params": [nn.Parameter(torch.zeros(shape))], "parts": parts}], lr=1.0)


def test_it_goes_downhill_in_a_model(tiny_config):
    model = TextEncoderForMaskedLM(tiny_config)
    optimizer = build_optimizer(model, OptimConfig(name="Muon", learning_rate=5e-3))
    ids = torch.randint(5, tiny_config.vocab_size, (4, 16), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        losses.append(model(input_ids=ids, labels=ids).loss)
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_a_state_can_be_loaded_and_copied():
    weight = nn.Parameter(torch.eye(2))
    weight.grad = torch.ones(2, 2)
    before = Muon([{"params": [weight], "parts": 1}], lr=1.0)
    before.step()
    for after in (Muon([{"params": [weight], "parts": 1}], lr=1.0), copy.deepcopy(before)):
        after.load_state_dict(before.state_dict())
        (state,) = after.state.values()
        torch.testing.assert_close(state["momentum"], before.state[weight]["momentum"])


def test_a_closure_makes_the_gradients_and_what_has_none_stays():
    torch.manual_seed(0)
    matrix, bias, idle = (nn.Parameter(torch.randn(*shape)) for shape in ((3, 2), (3,), (2, 2)))
    before, twins = idle.detach().clone(), [nn.Parameter(weight.detach().clone()) for weight in (matrix, bias)]

    def squares(weights: list[nn.Parameter]) -> torch.Tensor:
        loss = torch.stack([weight.square().sum() for weight in weights]).sum()
        loss.backward()
        return loss

    asked = Muon([{"params": [matrix, idle], "parts": 1}, {"params": [bias], "parts": 0}], lr=0.1)
    plain = Muon([{"params": twins[:1], "parts": 1}, {"params": twins[1:], "parts": 0}], lr=0.1)
    expected = squares(twins)
    plain.step()
    assert torch.equal(asked.step(lambda: squares([matrix, bias])), expected)
    assert torch.equal(matrix, twins[0])
    assert torch.equal(bias, twins[1])
    assert torch.equal(idle, before)

"""Packing, padding and the two ways of attending: none may change what a sequence means."""

import pytest
import torch

from selfsup.models.attention import eager_attention
from selfsup.models.masks import as_sequences, sequence_mask
from selfsup.models.positions import rotate, rotation
from selfsup.models.text_encoder import TextEncoderModel

POSITIONS = ("rotary", "learned", "sinusoidal")
LENGTHS = ((5, 9, 3), (12, 4))  # sequences of two rows, the second with one token of padding


@pytest.fixture(params=POSITIONS)
def body(request, tiny_config):
    tiny_config.position_type = request.param
    return spread(TextEncoderModel(tiny_config))


def spread(model, seed: int = 0):
    """Weights large enough that attention and positions matter, in float64."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.double().eval()


def sequences() -> list[list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [[torch.randint(5, 300, (length,), generator=generator) for length in row] for row in LENGTHS]


def packed() -> dict[str, torch.Tensor]:
    width = max(map(sum, LENGTHS))
    fields = {name: torch.zeros(2, width, dtype=torch.long) for name in ("input_ids", "sequence_ids", "position_ids")}
    for number, row in enumerate(sequences()):
        place = 0
        for sequence, ids in enumerate(row, start=1):
            where = slice(place, place + len(ids))
            fields["input_ids"][number, where] = ids
            fields["sequence_ids"][number, where] = sequence
            fields["position_ids"][number, where] = torch.arange(len(ids))
            place += len(ids)
    return fields


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("masked", [True, False])
def test_packed_sequences_read_as_each_alone(body, implementation, masked):
    body.set_attn_implementation(implementation)
    fields = packed()
    if masked:
        fields["attention_mask"] = (fields["sequence_ids"] > 0).long()
    together = body(**fields).last_hidden_state
    for number, row in enumerate(sequences()):
        place = 0
        for ids in row:
            alone = body(input_ids=ids[None]).last_hidden_state[0]
            torch.testing.assert_close(together[number, place : place + len(ids)], alone, atol=1e-10, rtol=0)
            place += len(ids)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_padding_changes_nothing(body, implementation):
    body.set_attn_implementation(implementation)
    ids = sequences()[0][1][None]
    alone = body(input_ids=ids).last_hidden_state
    for filling in (0, 77):
        padded = torch.cat((ids, torch.full((1, 4), filling)), dim=1)
        mask = (torch.arange(13) < 9).long()[None]
        there = body(input_ids=padded, attention_mask=mask).last_hidden_state[:, :9]
        torch.testing.assert_close(there, alone, atol=1e-10, rtol=0)


def test_without_a_mask_padding_would_change_something(body):
    """Or the two tests before could not fail."""
    ids = sequences()[0][1][None]
    padded = torch.cat((ids, torch.full((1, 4), 77)), dim=1)
    assert (body(input_ids=padded).last_hidden_state[:, :9] - body(input_ids=ids).last_hidden_state).abs().max() > 0.01
    fields = packed()
    del fields["sequence_ids"]
    alone = body(input_ids=sequences()[0][1][None]).last_hidden_state[0]
    assert (body(**fields).last_hidden_state[0, 5:14] - alone).abs().max() > 0.01


def test_eager_equals_sdpa(body):
    fields = packed()
    results = []
    for implementation in ("sdpa", "eager"):
        body.set_attn_implementation(implementation)
        results.append(body(**fields).last_hidden_state)
    real = fields["sequence_ids"] > 0
    torch.testing.assert_close(results[0][real], results[1][real], atol=1e-10, rtol=0)


def test_the_written_out_weights_are_shares_of_one_sequence(body):
    body.set_attn_implementation("eager")
    fields = packed()
    for weights in body(**fields, output_attentions=True).attentions:
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]).double())
        others = fields["sequence_ids"][:, None, :, None] != fields["sequence_ids"][:, None, None, :]
        assert (weights * others).max() == 0


def test_rotary_outputs_depend_on_distances_alone(tiny_config):
    body = spread(TextEncoderModel(tiny_config))
    ids, places = sequences()[0][1][None], torch.arange(9)[None]
    here = body(input_ids=ids, position_ids=places).last_hidden_state
    torch.testing.assert_close(body(input_ids=ids, position_ids=places + 40).last_hidden_state, here, atol=1e-5, rtol=0)
    assert (body(input_ids=ids, position_ids=places * 2).last_hidden_state - here).abs().max() > 0.01


def test_rotary_scores_depend_on_distances_alone():
    query, key = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def score(m: int, n: int) -> float:
        turned = [rotate(v, *rotation(torch.tensor([[p]]), 8)) for v, p in ((query, m), (key, n))]
        return float((turned[0] * turned[1]).sum())

    assert score(3, 7) == pytest.approx(score(20, 24), abs=1e-5)
    assert score(3, 7) == pytest.approx(score(0, 4), abs=1e-5)
    assert abs(score(3, 7) - score(3, 8)) > 0.01
    assert score(5, 5) == pytest.approx(float((query * key).sum()), abs=1e-5)


def test_attention_by_hand():
    """Two tokens, scores ln 3 and 0: the first value counts three quarters."""
    query, key = torch.tensor([[[[1.0]]]]), torch.tensor([[[[3.0]], [[1.0]]]]).log().reshape(1, 1, 2, 1)
    value = torch.tensor([[[[8.0], [4.0]]]])
    layer = torch.nn.Module().eval()
    mixed, weights = eager_attention(layer, query, key, value, None, scaling=1.0)
    torch.testing.assert_close(weights.flatten(), torch.tensor([0.75, 0.25]))
    assert mixed.item() == pytest.approx(7.0)
    hidden = torch.tensor([[[[0.0, -torch.inf]]]])
    assert eager_attention(layer, query, key, value, hidden, scaling=1.0)[0].item() == pytest.approx(8.0)


def test_padding_is_a_sequence_of_its_own():
    sequence_ids = torch.tensor([[1, 1, 2, 2]])
    assert as_sequences(torch.tensor([[1, 1, 1, 0]]), sequence_ids)[1].tolist() == [[1, 1, 2, 0]]  # type: ignore[union-attr]
    assert as_sequences(torch.tensor([[1, 1, 1, 0]]), sequence_ids)[0] is None
    mask = torch.tensor([[1, 0]])
    assert as_sequences(mask, None) == (mask, None)
    same = sequence_mask(sequence_ids)
    zero, places = torch.tensor(0), torch.arange(4)
    assert same(zero, zero, places[:, None], places[None]).tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [False, False, True, True],
        [False, False, True, True],
    ]

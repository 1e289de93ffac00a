"""Packing, padding and the two ways of attending: none may change what a sequence means, whatever the options."""

import itertools
import math

import pytest
import torch

from selfsup.models.attention import LONGEST_WRITTEN_OUT, eager_attention, sdpa_is_slow
from selfsup.models.masks import add_mask, as_sequences, block_masks, sequence_mask, visible, windowed
from selfsup.models.positions import rotate, rotation
from selfsup.models.text_encoder import TextEncoderModel

WINDOWS: tuple[dict, ...] = ({}, {"sliding_window": 2}, {"sliding_window": 2, "sliding_layers": "alternating"})
OPTIONS = [
    {"position_type": "learned"},
    {"position_type": "sinusoidal", "norm_position": "post", "use_bias": True},
    *(
        {"position_type": position, "attention_activation": activation, **window}
        for position, activation, window in itertools.product(
            ("rotary", "alibi"), ("softmax", "relu", "sigmoid"), WINDOWS
        )
    ),
]
LENGTHS = ((5, 9, 3), (12, 4))  # sequences of two rows, the second with one token of padding


def called(options: dict) -> str:
    return " ".join(str(value) for value in options.values()) or "default"


def chosen(config, options: dict):
    for name, value in options.items():
        setattr(config, name, value)
    return config


@pytest.fixture(params=OPTIONS, ids=called)
def body(request, tiny_config):
    return spread(TextEncoderModel(chosen(tiny_config, request.param)))


def spread(model, seed: int = 0):
    """Weights large enough that attention and positions matter, in float64."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 or name.endswith("bias"):
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


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_weights_for_pictures(body, implementation):
    """Shares of the tokens that may be seen; without a word to sdpa they would be an empty tuple."""
    body.set_attn_implementation(implementation)
    fields, config = packed(), body.config
    output = body(**fields, output_attentions=True)
    real = fields["sequence_ids"] > 0
    plain = body(**fields).last_hidden_state
    torch.testing.assert_close(output.last_hidden_state[real], plain[real], atol=1e-10, rtol=0)
    assert len(output.attentions) == 2
    places = torch.arange(17)
    for number, weights in enumerate(output.attentions):
        hidden = fields["sequence_ids"][:, None, :, None] != fields["sequence_ids"][:, None, None, :]
        if config.sliding_window and (number == 0 or config.sliding_layers == "all"):
            hidden = hidden | ((places[:, None] - places[None]).abs() > 2)
        assert weights.shape == (2, 2, 17, 17)
        assert (weights * hidden).abs().max() == 0
        assert (weights >= 0).all()
        if config.attention_activation == "softmax":
            torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 2, 17).double())
        if config.attention_activation != "relu":
            assert (weights[~hidden.expand_as(weights)] > 0).all()


def test_weights_may_be_asked_for_by_the_configuration(tiny_config):
    tiny_config._attn_implementation, tiny_config.output_attentions = "eager", True
    model = TextEncoderModel(tiny_config)
    model.set_attn_implementation("sdpa")
    assert len(model(input_ids=torch.tensor([[5, 6]])).attentions) == 2


@pytest.mark.parametrize(("window", "reach"), [(1, 1), (3, 3), (100, 8)])
def test_a_window_is_what_is_seen_on_each_side(tiny_config, window, reach):
    """One block: a token feels a change of another exactly when it is at most `window` tokens away."""
    tiny_config.num_hidden_layers, tiny_config.sliding_window = 1, window
    body = spread(TextEncoderModel(tiny_config))
    ids = sequences()[0][1][None]
    before = body(input_ids=ids).last_hidden_state
    for place in range(9):
        other = ids.clone()
        other[0, place] += 1
        moved = (body(input_ids=other).last_hidden_state - before).abs().amax(dim=-1)[0] > 1e-12
        assert moved.tolist() == [abs(place - seen) <= reach for seen in range(9)]


def test_every_second_block_sees_everything(tiny_config):
    tiny_config.num_hidden_layers, tiny_config.sliding_window = 5, 2
    assert windowed(tiny_config) == [True] * 5
    tiny_config.sliding_layers = "alternating"
    assert windowed(tiny_config) == [True, False, True, False, True]
    tiny_config.sliding_window = None
    assert windowed(tiny_config) == [False] * 5


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_no_row_of_a_mask_is_empty(tiny_config, implementation):
    """Padding far from every word sees padding: some kernels make nan of a row without any key, and nan spreads."""
    tiny_config.sliding_window, tiny_config._attn_implementation = 2, implementation
    padding = (torch.arange(17) < torch.tensor([[17], [5]])).long()
    full, again = block_masks(tiny_config, torch.zeros(2, 17, 16), torch.arange(17)[None], padding, None)
    assert full is again
    seen = visible(full)[:, 0]
    assert seen.diagonal(dim1=1, dim2=2).all()
    assert seen[1, 4].nonzero().flatten().tolist() == [2, 3, 4]
    assert seen[1, 16].nonzero().flatten().tolist() == [14, 15, 16]


def test_hidden_and_biased_scores_by_hand():
    bias, lowest = torch.tensor([[[[0.0, -0.5]]]]), torch.finfo(torch.float32).min
    assert add_mask(bias, None) is bias
    for mask in (torch.tensor([[[[True, False]]]]), torch.tensor([[[[0.0, lowest]]]])):
        both = add_mask(bias, mask)
        assert both.flatten().tolist() == [0.0, lowest / 2]
        assert visible(both).flatten().tolist() == visible(mask).flatten().tolist() == [True, False]
        assert both.bfloat16().isfinite().all()  # what autocast makes of it


def test_alibi_weights_by_hand(tiny_config):
    """Queries of zero leave the penalties: 2 ** -4 a token in the first of two heads, 2 ** -8 in the second."""
    tiny_config.position_type = "alibi"
    body = spread(TextEncoderModel(tiny_config))
    torch.nn.init.zeros_(body.blocks[0].attention.query_key_value.weight)
    places = torch.tensor([[0, 1, 5]])
    weights = body(input_ids=torch.tensor([[7, 8, 9]]), position_ids=places, output_attentions=True).attentions[0]
    for head, slope in enumerate((2**-4, 2**-8)):
        penalties = -slope * torch.tensor([[0, 1, 5], [1, 0, 4], [5, 4, 0]], dtype=torch.float64)
        torch.testing.assert_close(weights[0, head], penalties.softmax(dim=-1))


@pytest.mark.parametrize("position_type", ["rotary", "alibi"])
@pytest.mark.parametrize("activation", ["softmax", "relu", "sigmoid"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_bfloat16_is_near(tiny_config, position_type, activation, implementation):
    """As weights or under autocast, with a window, packed; a row of nothing but padding stays finite."""
    tiny_config.position_type, tiny_config.attention_activation, tiny_config.sliding_window = (
        position_type,
        activation,
        4,
    )
    body = spread(TextEncoderModel(tiny_config)).float()
    body.set_attn_implementation(implementation)
    fields = packed()
    real = fields["sequence_ids"] > 0
    exact = body(**fields).last_hidden_state
    empty = {"input_ids": fields["input_ids"], "attention_mask": torch.stack((torch.ones(17), torch.zeros(17))).long()}
    with torch.autocast("cpu", torch.bfloat16):
        mixed = body(**fields).last_hidden_state
        assert mixed.dtype == torch.bfloat16  # the stream too: wide sums cost time and memory
        assert body(**empty).last_hidden_state.isfinite().all()
    low = body.bfloat16()(**fields).last_hidden_state
    assert low.dtype == torch.bfloat16
    for near in (mixed, low):
        assert (near.float() - exact)[real].abs().mean() < 0.03


@pytest.mark.parametrize("slow", [True, False])
def test_rows_whose_gradient_is_slow_with_sdpa_are_written_out(tiny_config, slow):
    """Then the numbers are those of eager attention to the last bit, and its gradient reaches the first weights."""
    tokens = 8 if slow else LONGEST_WRITTEN_OUT + 1
    tiny_config.max_position_embeddings = LONGEST_WRITTEN_OUT + 1
    fields = {"input_ids": torch.randint(5, 60, (3, tokens), generator=torch.Generator().manual_seed(0))}
    body = TextEncoderModel(tiny_config).bfloat16()
    found = {}
    for implementation in ("sdpa", "eager"):
        body.zero_grad()
        body.set_attn_implementation(implementation)
        body(**fields).last_hidden_state.float().square().sum().backward()
        found[implementation] = body.blocks[0].attention.query_key_value.weight.grad.clone()
    assert found["sdpa"].any()
    assert torch.equal(found["sdpa"], found["eager"]) == slow


def test_sdpa_is_slow_in_one_case_alone():
    query = torch.zeros(1, 1, LONGEST_WRITTEN_OUT, 4, dtype=torch.bfloat16)
    assert sdpa_is_slow(query)
    assert not sdpa_is_slow(torch.cat((query, query), dim=2))
    assert not sdpa_is_slow(query.float())
    assert not sdpa_is_slow(query.to("meta"))
    with torch.no_grad():
        assert not sdpa_is_slow(query)


@pytest.mark.parametrize(
    ("options", "given", "what"),
    [
        ({"position_type": "alibi"}, {}, 'position_type="alibi"'),
        ({"attention_activation": "relu"}, {}, 'attention_activation="relu"'),
        ({}, {"output_attentions": True}, "output_attentions=True"),
    ],
)
def test_flex_attention_says_what_it_cannot_do(tiny_config, options, given, what):
    model = TextEncoderModel(chosen(tiny_config, options))
    model.set_attn_implementation("flex_attention")
    wanted = f'{what} needs attn_implementation="sdpa" or "eager", but it is "flex_attention": call model.set_attn'
    with pytest.raises(ValueError, match=wanted):
        model(input_ids=torch.tensor([[5, 6]]), **given)


@pytest.mark.parametrize("position_type", ["rotary", "alibi"])
def test_outputs_depend_on_distances_alone(tiny_config, position_type):
    tiny_config.position_type = position_type
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
    for mask in SECOND_HIDDEN:
        assert eager_attention(layer, query, key, value, mask, scaling=1.0)[0].item() == pytest.approx(8.0)


SECOND_HIDDEN = [  # additive with -inf, additive as transformers makes it, and bool
    torch.tensor([[[[0.0, -torch.inf]]]]),
    torch.tensor([[[[0.0, torch.finfo(torch.float32).min]]]]),
    torch.tensor([[[[True, False]]]]),
]


@pytest.mark.parametrize(
    ("activation", "both", "first"),
    [
        ("softmax", (0.75, 0.25), 1.0),
        # relu(ln 3) / 2 and relu(0) / 2; one visible key: relu(ln 3) / 1.
        ("relu", (math.log(3) / 2, 0.0), math.log(3)),
        # sigmoid(ln 3 - ln 2) = 1.5 / 2.5, sigmoid(-ln 2) = 0.5 / 1.5; one visible key: sigmoid(ln 3) = 3 / 4.
        ("sigmoid", (0.6, 1 / 3), 0.75),
    ],
)
def test_weights_of_each_activation_by_hand(activation, both, first):
    """Scores ln 3 and 0, and no less than all keys or the first alone visible."""
    query, key = torch.ones(1, 1, 1, 1), torch.tensor([[[[math.log(3)], [0.0]]]])
    value, layer = torch.tensor([[[[8.0], [4.0]]]]), torch.nn.Module().eval()
    for mask in (None, torch.tensor([[[[True, True]]]])):
        mixed, weights = eager_attention(layer, query, key, value, mask, scaling=1.0, activation=activation)
        assert weights.flatten().tolist() == pytest.approx(both)
        assert mixed.item() == pytest.approx(8 * both[0] + 4 * both[1])
    for mask in SECOND_HIDDEN:
        weights = eager_attention(layer, query, key, value, mask, scaling=1.0, activation=activation)[1]
        assert weights.flatten().tolist() == pytest.approx([first, 0.0])


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

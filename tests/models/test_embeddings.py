"""Marks of the tokens that both segments of a pair hold."""

import copy

import pytest
import torch

from selfsup.models.embeddings import shared_tokens
from selfsup.models.text_encoder import TextEncoderForMaskedLM, TextEncoderModel


@pytest.fixture
def marking(tiny_config):
    tiny_config.mark_shared = True
    return tiny_config


@pytest.fixture
def pairs() -> dict[str, torch.Tensor]:
    """Few kinds of tokens, so that many are shared; two sequences a row, of two segments each."""
    ids = torch.randint(5, 15, (3, 16), generator=torch.Generator().manual_seed(0))
    row = torch.arange(16)
    fields = {"token_type_ids": (row % 8 >= 3).long(), "sequence_ids": 1 + row // 8, "position_ids": row % 8}
    return {"input_ids": ids} | {name: value.expand(3, -1) for name, value in fields.items()}


def test_marked_is_what_stands_in_both_by_hand(pairs):
    embeds = torch.nn.Embedding(20, 8)(pairs["input_ids"])
    found = shared_tokens(embeds, pairs["token_type_ids"], pairs["sequence_ids"])
    for ids, marks in zip(pairs["input_ids"].tolist(), found.tolist(), strict=True):
        wanted = []
        for start in (0, 8):
            first, second = ids[start : start + 3], ids[start + 3 : start + 8]
            wanted += [token in second for token in first] + [token in first for token in second]
        assert marks == wanted
    assert found.any()
    assert not found.all()
    alone = shared_tokens(embeds, torch.zeros_like(pairs["token_type_ids"]))
    assert not alone.any()


def test_a_packed_row_is_read_as_its_pairs_alone(marking, pairs):
    model = TextEncoderModel(marking).eval()
    packed = model(**pairs).last_hidden_state
    for part in (slice(0, 8), slice(8, 16)):
        alone = {name: pairs[name][:, part] for name in ("input_ids", "token_type_ids")}
        torch.testing.assert_close(packed[:, part], model(**alone).last_hidden_state)


def test_embeddings_and_ids_say_the_same(marking, pairs):
    model = TextEncoderModel(marking).eval()
    embeds = model.get_input_embeddings()(pairs["input_ids"])
    others = {name: value for name, value in pairs.items() if name != "input_ids"}
    by_embeds = model(inputs_embeds=embeds, **others).last_hidden_state
    assert torch.equal(model(**pairs).last_hidden_state, by_embeds)
    for dtype in (torch.bfloat16, torch.float64):
        marks = shared_tokens(embeds.to(dtype), pairs["token_type_ids"], pairs["sequence_ids"])
        assert torch.equal(marks, shared_tokens(embeds, pairs["token_type_ids"], pairs["sequence_ids"]))


def test_no_token_of_a_large_vocabulary_is_taken_for_another():
    torch.manual_seed(0)
    embeds = (0.02 * torch.randn(1, 8192, 8)).bfloat16()
    types = (torch.arange(8192) >= 64).long()[None]
    assert not shared_tokens(embeds, types).any()


def test_the_marks_are_what_tells_the_model(marking, pairs):
    """Blind attention, so that nothing else could."""
    model = TextEncoderModel(marking).eval()
    for block in model.blocks:
        torch.nn.init.zeros_(block.attention.output.weight)
    ids, types = pairs["input_ids"][:, :8], pairs["token_type_ids"][:, :8]
    changed = ids.clone()
    changed[:, 0] = 99  # in the first segment
    before, after = (model(input_ids=some, token_type_ids=types).last_hidden_state for some in (ids, changed))
    differs = (before != after).any(dim=-1)[:, 3:]
    others = torch.stack([(ids[:, 3:] == ids[:, other, None]) for other in (1, 2)]).any(dim=0)
    assert torch.equal(differs, (ids[:, 3:] == ids[:, :1]) & ~others)
    assert differs.any()


def test_without_it_no_weight_is_added(tiny_config):
    names = {name for name, _ in TextEncoderForMaskedLM(copy.deepcopy(tiny_config)).named_parameters()}
    tiny_config.mark_shared = True
    marking = {name for name, _ in TextEncoderForMaskedLM(tiny_config).named_parameters()}
    assert marking - names == {"encoder.embeddings.marks.weight"}

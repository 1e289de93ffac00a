"""Whatever beams do, the next tokens are scored as the model itself scores them behind the same texts."""

import pytest
import torch

from selfsup.generation import steps as module
from selfsup.generation.beam import BeamConfig, beam_search, padded
from selfsup.generation.steps import PairSteps, closed_ranks
from selfsup.models.encoder_decoder import TextEncoderDecoderForSeq2SeqLM
from selfsup.models.encoder_decoder_config import TextEncoderDecoderConfig

VOCAB, BEAMS, START = 24, 3, 1
KINDS = {
    "plain": {},
    "by content": {"rotary_cross_attention": False},
    "layerwise": {"cross_attention": "layerwise"},
    "copy": {"copy_gate": True},
    "layerwise, copy, no norms": {"cross_attention": "layerwise", "copy_gate": True, "qk_norm": False},
}
SOURCES = [[5, 9, 5, 7], [11, 3], [4, 8, 15, 16, 23], [20], [6, 6, 7]]
DROPPED = {2: [0, 3], 4: [2]}  # places that have ended before a step: the first leaves holes, the last is in the end


def model_of(**fields) -> TextEncoderDecoderForSeq2SeqLM:
    torch.manual_seed(1)
    size = {"vocab_size": VOCAB, "hidden_size": 16, "num_encoder_layers": 2, "num_decoder_layers": 2}
    size |= {"num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}
    ids = {"decoder_start_token_id": START, "eos_token_id": 2}
    config = TextEncoderDecoderConfig(**size, **ids, **fields, zero_init_output=False, initializer_range=0.4)
    return TextEncoderDecoderForSeq2SeqLM(config).eval()


def of_forward(model, source: list[int], texts: list[list[int]]) -> torch.Tensor:
    """(texts, vocab): what follows each text, for the source alone."""
    return model(input_ids=torch.tensor([source] * len(texts)), decoder_input_ids=torch.tensor(texts)).logits[:, -1]


@pytest.mark.parametrize(
    ("fields", "prefix"),
    [*((fields, [7, 12]) for fields in KINDS.values()), ({}, [])],
    ids=[*KINDS, "no prefix"],
)
def test_scores_are_those_of_the_forward_pass(fields, prefix, monkeypatch):
    monkeypatch.setattr(module, "FIRST_ROOM", 2)  # so that it grows on the way
    model, chance = model_of(**fields), torch.Generator().manual_seed(0)
    ids, mask = padded(SOURCES, 0)
    begin = [START, *prefix]
    steps = PairSteps(model, ids, mask, torch.tensor([begin] * len(SOURCES)), beams=BEAMS, room=8)
    texts = {number: [begin] * BEAMS for number in range(len(SOURCES))}
    alive = torch.arange(len(SOURCES))  # which source stands where
    with torch.inference_mode():
        wanted = torch.cat([of_forward(model, source, [begin]) for source in SOURCES])
        torch.testing.assert_close(steps.first(), wanted, atol=1e-5, rtol=1e-5)
        for step in range(6):
            if ended := DROPPED.get(step):
                order = closed_ranks(~torch.isin(torch.arange(len(alive)), torch.tensor(ended)))
                steps.keep(order)
                alive = alive[order]
            tokens, parents = (torch.randint(high, (len(alive), BEAMS), generator=chance) for high in (VOCAB, BEAMS))
            for number, new, olds in zip(alive.tolist(), tokens.tolist(), parents.tolist(), strict=True):
                texts[number] = [[*texts[number][old], token] for old, token in zip(olds, new, strict=True)]
            wanted = torch.cat([of_forward(model, SOURCES[number], texts[number]) for number in alive.tolist()])
            torch.testing.assert_close(steps.next(tokens, parents), wanted, atol=1e-5, rtol=1e-5)
    assert alive.tolist() == [4, 1]


def test_room_grows_and_changes_nothing(monkeypatch):
    model, config = model_of(), BeamConfig(BEAMS, max_new_tokens=40, num_returned=BEAMS)
    at_once = beam_search(model, SOURCES, config, prefix=[7])
    assert max(len(one.ids) for some in at_once for one in some) > 20  # it grew, and more than once
    monkeypatch.setattr(module, "FIRST_ROOM", 3)
    grown = beam_search(model, SOURCES, config, prefix=[7])
    for some, others in zip(grown, at_once, strict=True):
        assert [one.ids for one in some] == [one.ids for one in others]
        assert [one.score for one in some] == pytest.approx([one.score for one in others], abs=1e-6)


def test_memory_is_that_of_what_is_written(monkeypatch):
    """Columns by hand: the beginning, and one for each beam of each token that is read: 3, then 6, 12 and all 19."""
    monkeypatch.setattr(module, "FIRST_ROOM", 3)
    steps = PairSteps(model_of(), torch.tensor([[5, 9]]), None, torch.tensor([[START]]), beams=BEAMS, room=20)
    parents, columns = torch.zeros(1, BEAMS, dtype=torch.int64), []
    with torch.inference_mode():
        steps.first()
        for _ in range(19):
            columns.append(steps.kept[0][0].shape[2])
            steps.next(parents + 5, parents)
    assert sorted(set(columns)) == [1 + BEAMS * room for room in (3, 6, 12, 19)]
    assert steps.visible.shape[-1] == steps.columns == 1 + BEAMS * 19

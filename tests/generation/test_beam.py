"""Beam search finds what transformers finds for one sentence, whatever the batch, and refuses what cannot be."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration, GPT2Config, GPT2LMHeadModel

from selfsup.generation.beam import BeamConfig, beam_search, greedy, largest
from selfsup.models.encoder_decoder import TextEncoderDecoderForSeq2SeqLM
from selfsup.models.encoder_decoder_config import TextEncoderDecoderConfig
from selfsup.models.text_decoder import TextDecoderForCausalLM
from selfsup.models.text_decoder_config import TextDecoderConfig

VOCAB, END = 24, 2
KINDS = {
    "plain": {},
    "layerwise, by content": {"cross_attention": "layerwise", "rotary_cross_attention": False},
    "copy": {"copy_gate": True},
    "no norms": {"qk_norm": False},
}
CONFIGS = {
    "five beams": BeamConfig(beams=5, max_new_tokens=9, num_returned=5),
    "short ones": BeamConfig(beams=4, max_new_tokens=9, length_penalty=-1.0, num_returned=2),
    "long ones, never too early": BeamConfig(beams=3, max_new_tokens=9, length_penalty=2.0, early_stopping="never"),
    "as soon as enough have ended": BeamConfig(beams=3, max_new_tokens=9, early_stopping=True, num_returned=3),
    "no bigram twice, four or more": BeamConfig(beams=3, max_new_tokens=9, min_new_tokens=4, no_repeat_ngram=2),
    "a sum of log-probabilities": BeamConfig(beams=4, max_new_tokens=9, length_penalty=0.0, num_returned=4),
}


def that_ends(model):
    """Texts of a random model hardly end: here the end is as likely as several other tokens."""
    with torch.no_grad():
        model.get_output_embeddings().weight[END] *= 5
    return model.eval()


def ours(**fields):
    torch.manual_seed(1)
    size = {"vocab_size": VOCAB, "hidden_size": 16, "num_encoder_layers": 2, "num_decoder_layers": 2}
    size |= {"num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 40}
    ids = {"bos_token_id": 1, "decoder_start_token_id": 1, "eos_token_id": END}
    config = TextEncoderDecoderConfig(**size, **ids, **fields, zero_init_output=False, initializer_range=0.4)
    model = TextEncoderDecoderForSeq2SeqLM(config)
    if config.copy_gate:
        torch.nn.init.constant_(model.copy.gate.bias, 2.0)  # who copies as often as not hardly ends
        torch.nn.init.constant_(model.copy.behind.bias, 2.0)
    return that_ends(model)


def bart():
    torch.manual_seed(0)
    size = {"vocab_size": VOCAB, "d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 32}
    size |= {"decoder_ffn_dim": 32, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": END, "decoder_start_token_id": END}
    ids |= {"forced_eos_token_id": END}
    return that_ends(BartForConditionalGeneration(BartConfig(**size, **ids, max_position_embeddings=40, init_std=0.4)))


def gpt2():
    torch.manual_seed(0)
    ids = {"bos_token_id": 1, "eos_token_id": END, "pad_token_id": 0}
    config = GPT2Config(
        vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=2, n_positions=40, initializer_range=0.4, **ids
    )  # fmt: skip
    return that_ends(GPT2LMHeadModel(config))


def decoder():
    torch.manual_seed(0)
    size = {"vocab_size": VOCAB, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    size |= {"intermediate_size": 32, "max_position_embeddings": 40, "bos_token_id": 1, "eos_token_id": END}
    return that_ends(TextDecoderForCausalLM(TextDecoderConfig(**size, zero_init_output=False, initializer_range=0.4)))


MODELS: dict[str, Callable] = {name: partial(ours, **fields) for name, fields in KINDS.items()}  # type: ignore[arg-type]
MODELS |= {"bart": bart, "gpt2": gpt2, "decoder": decoder}


def sources(number=6):
    chance = torch.Generator().manual_seed(0)
    return [torch.randint(3, VOCAB, (3 + size * 5 % 8,), generator=chance).tolist() for size in range(number)]


def of_transformers(model, source, config: BeamConfig):
    """Sequences and scores of `generate` on one sentence."""
    found = model.generate(
        input_ids=torch.tensor([source]), attention_mask=torch.ones(1, len(source), dtype=torch.long),
        num_beams=config.beams, num_return_sequences=config.num_returned, max_new_tokens=config.max_new_tokens,
        min_new_tokens=config.min_new_tokens or None, length_penalty=config.length_penalty, do_sample=False,
        early_stopping=config.early_stopping, no_repeat_ngram_size=config.no_repeat_ngram or None,
        return_dict_in_generate=True, output_scores=True, pad_token_id=0,
    )  # fmt: skip
    begun = 1 if model.config.is_encoder_decoder else len(source)
    written = [ids[begun:] for ids in found.sequences.tolist()]
    ended = [ids[: ids.index(END) + 1] if END in ids else ids for ids in written]
    return ended, found.sequences_scores.tolist()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_it_finds_what_transformers_finds_for_one_sentence(model, config):
    model = model()
    for source in sources(3):
        (found,) = beam_search(model, [source], config)
        expected, scores = of_transformers(model, source, config)
        assert [one.ids for one in found] == expected
        assert [one.score for one in found] == pytest.approx(scores, abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_neither_batch_nor_padding_changes_anything(model):
    model, given = model(), sources()
    for config in (CONFIGS["five beams"], CONFIGS["as soon as enough have ended"]):
        alone = [beam_search(model, [source], config)[0] for source in given]
        for batch_size in (6, 4):
            together = beam_search(model, given, config, batch_size=batch_size)
            assert [[one.ids for one in some] for some in together] == [[one.ids for one in some] for some in alone]
            for some, others in zip(together, alone, strict=True):
                assert [one.score for one in some] == pytest.approx([one.score for one in others], abs=1e-5, rel=1e-5)
        assert len({len(one.ids) for some in alone for one in some}) > 1  # they end at different times


@pytest.mark.parametrize("fields", KINDS.values(), ids=KINDS)
def test_a_score_is_the_log_probability_by_its_length(fields):
    model = ours(**fields)
    for source, (best,) in zip(
        sources(), beam_search(model, sources(), BeamConfig(beams=3, max_new_tokens=7)), strict=True
    ):
        read = torch.tensor([[1, *best.ids[:-1]]])
        logits = model(input_ids=torch.tensor([source]), decoder_input_ids=read).logits[0].log_softmax(dim=-1)
        expected = float(logits.gather(1, torch.tensor(best.ids)[:, None]).detach().sum())
        assert best.log_prob == pytest.approx(expected, abs=1e-4)
        assert best.score == pytest.approx(expected / len(best.ids), abs=1e-4)


def test_beams_that_hold_everything_find_the_best_of_all():
    """With as many beams as there are texts of three tokens nothing is lost: compared with trying them all."""
    torch.manual_seed(0)
    config = ours().config
    config.vocab_size = 5
    model = TextEncoderDecoderForSeq2SeqLM(config).eval()
    source = [3, 4, 3]
    ((best,),) = beam_search(model, [source], BeamConfig(beams=5, max_new_tokens=2, length_penalty=0.0))
    tried = {}
    for ids in [(END,), *((one, two) for one, two in itertools.product(range(5), repeat=2) if one != END)]:
        read = torch.tensor([[1, *ids[:-1]]])
        logits = model(input_ids=torch.tensor([source]), decoder_input_ids=read).logits[0].log_softmax(dim=-1)
        tried[ids] = float(logits.gather(1, torch.tensor(ids)[:, None]).detach().sum())
    assert tuple(best.ids) == max(tried, key=tried.__getitem__)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_one_beam_is_greedy(model):
    model = model()
    for source in sources(4):
        found = model.generate(
            input_ids=torch.tensor([source]), attention_mask=torch.ones(1, len(source), dtype=torch.long),
            max_new_tokens=8, do_sample=False, num_beams=1, pad_token_id=0,
        )  # fmt: skip
        written = found[0].tolist()[1 if model.config.is_encoder_decoder else len(source) :]
        assert greedy(model, [source], max_new_tokens=8) == [written]


def test_a_prefix_begins_every_target():
    model, config = ours(), BeamConfig(beams=3, max_new_tokens=6)
    found = beam_search(model, sources(), config, prefix=[7, 11])
    assert all(some[0].ids[:2] == [7, 11] for some in found)
    for source, (best,) in zip(sources(), found, strict=True):
        expected = model.generate(
            input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[1, 7, 11]]), num_beams=3,
            max_new_tokens=6, do_sample=False,
        )[0].tolist()[1:]  # fmt: skip
        assert best.ids == (expected[: expected.index(END) + 1] if END in expected else expected)
    mixed = beam_search(model, sources(3), config, prefix=[[7], [7, 11], []])
    alone = [
        beam_search(model, [source], config, prefix=before)[0]
        for source, before in zip(sources(3), ([7], [7, 11], []), strict=True)
    ]
    assert [some[0].ids for some in mixed] == [some[0].ids for some in alone]


def test_the_largest_are_those_of_topk():
    scores = torch.randn(7, 64 * 40, generator=torch.Generator().manual_seed(0))
    for number in (1, 10, 20):
        values, places = largest(scores, number)
        expected = scores.topk(number)
        assert torch.equal(values, expected.values)
        assert torch.equal(places, expected.indices)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"beams": 0}, "beams must be at least 1, but 0 came"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ({"max_new_tokens": 3, "min_new_tokens": 4}, "min_new_tokens must be at most max_new_tokens, but 4 and 3"),
        ({"beams": 2, "num_returned": 3}, "set beams=3, or lower num_returned"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram must be at least 0"),
    ],
)
def test_refuses_settings(fields, said):
    with pytest.raises(ValueError, match=said):
        BeamConfig(**fields)


def test_refuses_what_does_not_fit_the_model():
    model, config = ours(), BeamConfig(beams=3, max_new_tokens=6)
    cases: list[tuple[list[list[int]], dict[str, Any], str]] = [
        ([[3, 4]], {"config": BeamConfig(beams=25, max_new_tokens=6)}, "at most 24 beams are possible"),
        ([[3], []], {}, r"source 1 \(the first is 0\) is empty"),
        ([[3] * 41], {}, "at most 40 tokens, but source 0 .* has 41"),
        ([[3, 24]], {}, "source 0 .* has 24"),
        ([[3, 4]], {"prefix": [5, 99]}, "prefix 0 .* has 99"),
        ([[3, 4]], {"config": BeamConfig(max_new_tokens=99)}, "max_new_tokens=99 came: set it to 40 or fewer"),
        ([[3, 4]], {"prefix": [5] * 40}, "shorten it to 39 or fewer"),
        ([[3, 4]], {"batch_size": 0}, "a batch_size of 0"),
        ([[3, 4]], {"prefix": [[5], [6]]}, "one for each of 1 sources is wanted, but 2 came"),
    ]
    for given, options, said in cases:
        with pytest.raises(ValueError, match=said):
            beam_search(model, given, options.pop("config", config), **options)
    with torch.no_grad():
        model.model.decoder.norm.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"for source 0 .* the model gave nan at new token 1"):
        beam_search(model, [[3, 4]], config)
    assert beam_search(ours(), [], config) == []

"""Sources, targets and models of pairs that cannot be learnt from or written with: one sentence, with the place."""

import json
import math
from functools import partial

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration

from selfsup.data.collate import collate
from selfsup.examples import DataChoice
from selfsup.finetuning.learner import Learner
from selfsup.finetuning.material import open_material
from selfsup.generation.beam import BeamConfig, beam_search
from selfsup.models.encoder_decoder import TextEncoderDecoderForMaskedLM, TextEncoderDecoderForSeq2SeqLM
from selfsup.objectives import SequenceReward, SequenceToSequence
from selfsup.predicting.translating import Translator
from selfsup.task import DataSet, Task

GOOD = [{"source": "The miller sang.", "target": "Der Müller sang."}] * 4
SETTINGS = {
    "forced_bos_token_id": (384, "forced_bos_token_id of the model's settings has 384"),
    "forced_eos_token_id": (999, "forced_eos_token_id of the model's settings has 999"),
    "bad_words_ids": ([[-1]], "bad_words_ids or suppress_tokens of the model's settings has -1"),
}


@pytest.fixture
def read(tiny_pair_config, tiny_tokenizer, tmp_path):
    """Reads pairs, of which the third is another; what is said meanwhile."""

    def made(pair: dict) -> list[str]:
        rows = [*GOOD[:2], pair, *GOOD[2:]]
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "held_out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in GOOD))
        task = Task(SequenceToSequence, (), (DataSet("pairs", {"source": "source", "target": "target"}),), name="pairs")
        choice = DataChoice(train=str(tmp_path / "train.jsonl"), held_out=str(tmp_path / "held_out.jsonl"))
        said: list[str] = []
        open_material(task, choice, Learner(tiny_pair_config, tiny_tokenizer), say=said.append)
        return said

    return made


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("nothing", ["", " \n"])
def test_an_empty_side_is_refused_with_its_row(read, side, nothing):
    with pytest.raises(ValueError, match=f"line 3 of train.jsonl: text was wanted in '{side}', but it is empty"):
        read({"source": "A song.", "target": "Ein Lied."} | {side: nothing})


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_side_that_is_too_long_is_cut_and_said(read, side):
    said = read({"source": "A song.", "target": "Ein Lied."} | {side: "Lied " * 90})
    assert any(
        f"not read as they came: 1, first line 3 of train.jsonl: a {side} of " in line and "was cut to 64" in line
        for line in said
    ), said


def test_unknown_characters_of_a_target_are_said(read, tiny_tokenizer, monkeypatch):
    (byte,) = tiny_tokenizer("Ж", add_special_tokens=False)["input_ids"][-1:]  # made of bytes: ours know all
    monkeypatch.setattr(type(tiny_tokenizer), "unk_token_id", property(lambda self: byte), raising=False)
    said = read({"source": "A song.", "target": "Ж Ж"})
    assert any(
        "first line 3 of train.jsonl: a target has 2 token(s) that the tokenizer does not know" in line for line in said
    ), said


def bart(tokenizer) -> BartForConditionalGeneration:
    config = BartConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16,
        decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2, max_position_embeddings=32,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.cls_token_id, eos_token_id=tokenizer.sep_token_id,
        decoder_start_token_id=tokenizer.cls_token_id, forced_eos_token_id=None,
    )  # fmt: skip
    return BartForConditionalGeneration(config).eval()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_outside_the_vocabulary_is_refused(tiny_tokenizer, name):
    model = bart(tiny_tokenizer)
    value, said = SETTINGS[name]
    setattr(model.generation_config, name, value)
    translate = partial(Translator(model, tiny_tokenizer), "A song.", beams=2, max_new_tokens=3)
    for write in (translate, partial(beam_search, model, [[5, 6]], BeamConfig(beams=2, max_new_tokens=3))):
        with pytest.raises(ValueError, match=f"token ids of 0 to 383 are wanted, but {said}: correct it"):
            write()


def test_bad_words_of_several_tokens_are_for_generate_alone(tiny_tokenizer):
    model = bart(tiny_tokenizer)
    model.generation_config.bad_words_ids = [[5], [7, 8]]
    assert Translator(model, tiny_tokenizer)("A song.", beams=2, max_new_tokens=3) is not None
    objective = SequenceReward(max_new_tokens=3)
    objective.bind(tiny_tokenizer, model.config)
    batch = collate([[objective.encode(GOOD[0])]], padding=objective.padding) | {"noise_key": torch.tensor([1])}
    for write in (partial(beam_search, model, [[5, 6]]), partial(objective.write, model, batch)):
        with pytest.raises(ValueError, match=r"bad words of one token each are wanted, but .* has \[7, 8\]"):
            write()


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("kind", ["ours", "parallel", "Hub"])
def test_weights_that_are_no_numbers_are_named(tiny_tokenizer, tiny_pair_config, kind, beams):
    tiny_pair_config.parallel = kind == "parallel"
    makers = {
        "ours": partial(TextEncoderDecoderForSeq2SeqLM, tiny_pair_config),
        "parallel": partial(TextEncoderDecoderForMaskedLM, tiny_pair_config),
        "Hub": partial(bart, tiny_tokenizer),
    }
    model = makers[kind]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
    with pytest.raises(ValueError, match="its weights are broken"):
        Translator(model, tiny_tokenizer)("A song.", beams=beams, max_new_tokens=3)

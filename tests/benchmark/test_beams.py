"""Both searches write the same, and the table says what was timed."""

import importlib.util
from functools import partial
from pathlib import Path

import pytest
import torch

from selfsup.benchmark import beams
from selfsup.benchmark.beams import Lap, contest, fresh_model, opened, report, some_sources, sources_of
from selfsup.generation.beam import BeamConfig
from selfsup.models.encoder_decoder import (
    TextEncoderDecoderConfig,
    TextEncoderDecoderForMaskedLM,
    TextEncoderDecoderForSeq2SeqLM,
)


def tiny(**fields) -> TextEncoderDecoderForSeq2SeqLM:
    torch.manual_seed(0)
    size = {"vocab_size": 64, "hidden_size": 16, "num_encoder_layers": 1, "num_decoder_layers": 1}
    ids = {"num_attention_heads": 2, "intermediate_size": 32, "bos_token_id": 2, "decoder_start_token_id": 2}
    config = TextEncoderDecoderConfig(
        **size | ids | {"eos_token_id": 3} | fields, zero_init_output=False, initializer_range=0.3
    )
    return TextEncoderDecoderForSeq2SeqLM(config)


def test_both_write_the_same_in_float32():
    laps = list(
        contest(tiny(), some_sources(8, 64), BeamConfig(3, max_new_tokens=6), ("float32", "float32"), batch_size=4,
                rounds=3)
    )  # fmt: skip
    assert [(lap.sentences, lap.same) for lap in laps] == [(4, 4)] * 3


def test_each_goes_first_in_every_other_round(monkeypatch):
    order = []

    def written(name, model, batch, config):
        order.append(name)
        return list(batch)

    for name in ("by_ours", "by_transformers"):
        monkeypatch.setattr(beams, name, partial(written, name))
    laps = list(contest(tiny(), some_sources(8, 64), BeamConfig(), ("float32", "float32"), batch_size=4, rounds=3))
    assert len(laps) == 3
    ours, theirs = "by_ours", "by_transformers"
    assert order == [theirs, ours, ours, theirs, theirs, ours, ours, theirs]


def test_the_table_by_hand():
    laps = [Lap(ours=0.5, theirs=1.0, sentences=4, same=4), Lap(ours=0.5, theirs=1.0, sentences=4, same=3)]
    printed = report({("float32", "float32"): laps}, BeamConfig(), 4)
    columns = ("float32, float32", "8.0", "4.0", "0.500", "1.000", "2.00 (2.00 to 2.00)", "87.5%")
    assert " ".join(printed.splitlines()[-1].split()) == " ".join(columns)


def test_a_fresh_model_has_the_shape_that_is_said():
    config = fresh_model().config
    assert (config.num_encoder_layers, config.num_decoder_layers, config.hidden_size) == (3, 3, 256)
    assert config.vocab_size == 8192


def test_sources_of_a_file_are_named_by_their_lines(tiny_tokenizer, tmp_path):
    model, file = tiny(vocab_size=len(tiny_tokenizer), max_position_embeddings=12), tmp_path / "sources.txt"
    file.write_text("A miller.\nThe song.\n")
    assert [
        tiny_tokenizer.decode(ids, skip_special_tokens=True) for ids in sources_of(file, model, tiny_tokenizer)
    ] == [
        "A miller.",
        "The song.",
    ]
    for text, said in (
        ("A miller.\n\n", "line 2 of .*sources.txt: a text was wanted, but it is empty"),
        ("A miller.\n" + "So " * 20, r"line 2 of .*: the model reads at most 12 tokens, but the text has \d+: cut it"),
        ("", "sources are wanted, one a line, but .*sources.txt has none"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=said):
            sources_of(file, model, tiny_tokenizer)
    file = file.rename(tmp_path / "sources.jsonl")
    with pytest.raises(ValueError, match=r"a .txt or .txt.gz file of sources is wanted, one a line, but .*jsonl came"):
        sources_of(file, model, tiny_tokenizer)


def test_other_models_are_refused(tiny_tokenizer, tmp_path, pretrained):
    config = tiny(vocab_size=len(tiny_tokenizer)).config
    config.parallel = True
    TextEncoderDecoderForMaskedLM(config).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    said = "a model of ours that writes token by token is wanted, but .* is a TextEncoderDecoderForMaskedLM: name"
    with pytest.raises(ValueError, match=said):
        opened(str(tmp_path))
    with pytest.raises(ValueError, match=r"a model that writes a text for a text is wanted, but .* is a TextEncoder"):
        opened(str(pretrained))


def test_a_file_wants_a_model(tmp_path):
    spec = importlib.util.spec_from_file_location("bench", Path(__file__).parents[2] / "scripts" / "bench_beams.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with pytest.raises(ValueError, match=r"a model that reads .*gone.txt is wanted, but none came: give --model"):
        script.main(file=tmp_path / "gone.txt")

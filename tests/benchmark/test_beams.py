"""Both searches write the same, and the table says what was timed."""

import torch

from selfsup.benchmark.beams import Lap, contest, fresh_model, report, some_sources
from selfsup.generation.beam import BeamConfig
from selfsup.models.encoder_decoder import TextEncoderDecoderConfig, TextEncoderDecoderForSeq2SeqLM


def test_both_write_the_same_in_float32():
    torch.manual_seed(0)
    size = {"vocab_size": 64, "hidden_size": 16, "num_encoder_layers": 1, "num_decoder_layers": 1}
    ids = {"num_attention_heads": 2, "intermediate_size": 32, "bos_token_id": 2, "decoder_start_token_id": 2}
    config = TextEncoderDecoderConfig(**size, **ids, eos_token_id=3, zero_init_output=False, initializer_range=0.3)
    model = TextEncoderDecoderForSeq2SeqLM(config)
    laps = list(
        contest(model, some_sources(8, 64), BeamConfig(3, max_new_tokens=6), ("float32", "float32"), batch_size=4,
                rounds=3)
    )  # fmt: skip
    assert [(lap.sentences, lap.same) for lap in laps] == [(4, 4)] * 3


def test_the_table_by_hand():
    laps = [Lap(ours=0.5, theirs=1.0, sentences=4, same=4), Lap(ours=0.5, theirs=1.0, sentences=4, same=3)]
    printed = report({("float32", "float32"): laps}, BeamConfig(), 4)
    assert "float32, float32    8.0                4.0           2.00 (2.00 to 2.00)  87.5%" in printed


def test_a_fresh_model_has_the_shape_that_is_said():
    config = fresh_model().config
    assert (config.num_encoder_layers, config.num_decoder_layers, config.hidden_size) == (3, 3, 256)
    assert config.vocab_size == 8192

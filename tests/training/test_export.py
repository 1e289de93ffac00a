"""Models by name, by shape, and into a folder."""

import copy

import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from selfsup.models.text_encoder import TextEncoderForMaskedLM, TextEncoderForPreTraining
from selfsup.tokenization.encode import batch_encoder, fingerprint
from selfsup.training.export import build_model, export, open_tokenizer


def test_a_shape_becomes_a_fresh_model(tiny_config, tiny_tokenizer):
    tiny_config.pad_token_id = 3
    torch.manual_seed(0)
    model = build_model("AutoModelForPreTraining", tiny_config, tiny_tokenizer)
    assert type(model) is TextEncoderForPreTraining
    assert model.config.pad_token_id == tiny_tokenizer.pad_token_id == 0
    torch.manual_seed(0)
    assert torch.equal(
        model.encoder.embeddings.tokens.weight, TextEncoderForPreTraining(tiny_config).encoder.embeddings.tokens.weight
    )


def test_too_small_a_vocabulary_names_the_flag(tiny_config, tiny_tokenizer):
    tiny_config.vocab_size = 100
    with pytest.raises(
        ValueError, match=r"^the tokenizer has 384 pieces, but the model has room for 100: set --model\.vocab_size 384$"
    ):
        build_model("AutoModelForMaskedLM", tiny_config, tiny_tokenizer)


def test_an_exported_model_is_where_another_run_goes_on(tiny_config, tiny_tokenizer, tmp_path):
    model = build_model("AutoModelForPreTraining", tiny_config, tiny_tokenizer)
    export(model, tiny_tokenizer, tmp_path)
    again = build_model("AutoModelForMaskedLM", tiny_config, tiny_tokenizer, str(tmp_path))
    assert type(again) is TextEncoderForMaskedLM
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, dict(model.named_parameters())[name]), name
    words = open_tokenizer(str(tmp_path))
    assert fingerprint(words) == fingerprint(tiny_tokenizer)
    assert (tmp_path / "tokenizer.model").is_file()  # so that it encodes as fast as before
    texts = ["Nobody knew why the miller sold the clock.", "Naïve [MASK] ▁."]
    assert batch_encoder(words)(texts) == batch_encoder(tiny_tokenizer)(texts)


def test_a_tokenizer_knows_how_much_its_model_reads(tiny_config, tiny_tokenizer, tmp_path):
    export(build_model("AutoModelForMaskedLM", tiny_config, tiny_tokenizer), tiny_tokenizer, tmp_path)
    words, model = AutoTokenizer.from_pretrained(tmp_path), AutoModelForMaskedLM.from_pretrained(tmp_path)
    batch = words(["the miller " * 500], truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape == (1, 64)
    assert model(**batch).logits.shape == (1, 64, 384)


def test_exporting_twice_changes_nothing(tiny_config, tiny_tokenizer, tmp_path):
    model = build_model("AutoModelForMaskedLM", tiny_config, tiny_tokenizer)
    contents = []
    for _ in range(2):
        export(model, tiny_tokenizer, tmp_path)
        contents.append({file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()})
    assert contents[0] == contents[1]


def test_a_model_of_transformers_opens_too(tiny_tokenizer, tmp_path):
    config = BertConfig(vocab_size=384, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertForMaskedLM(config).save_pretrained(tmp_path)
    assert type(build_model("AutoModelForMaskedLM", config, tiny_tokenizer, str(tmp_path))) is BertForMaskedLM


def test_a_model_without_a_limit_is_exported_too(tiny_tokenizer, tmp_path):
    """T5 counts distances and reads any number of tokens."""
    config = T5Config(vocab_size=384, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0)
    tokenizer = copy.deepcopy(tiny_tokenizer)
    export(T5ForConditionalGeneration(config), tokenizer, tmp_path)
    assert open_tokenizer(str(tmp_path)).model_max_length == tiny_tokenizer.model_max_length


def test_what_does_not_open_is_named(tiny_config, tiny_tokenizer, tmp_path):
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(
        ValueError,
        match=r"^init_from must name a checkpoint, .* for AutoModelForMaskedLM, but .*nowhere did not open: ",
    ):
        build_model("AutoModelForMaskedLM", tiny_config, tiny_tokenizer, nowhere)
    with pytest.raises(
        ValueError, match=r"^a folder or Hub id with a tokenizer is wanted, but .*nowhere did not open: "
    ):
        open_tokenizer(nowhere)

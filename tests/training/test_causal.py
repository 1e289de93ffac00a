"""What goes on with a text is told by its configuration, and by what it answers."""

import pytest
import torch
from transformers import (
    BartConfig,
    BertConfig,
    BertForMaskedLM,
    BertLMHeadModel,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
)

from selfsup.training.causal import is_causal, open_causal, says_causal

SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def bert(**fields) -> BertConfig:
    return BertConfig(vocab_size=384, max_position_embeddings=32, **SIZE, **fields)


def test_models_that_read_both_ways_are_refused(tiny_tokenizer, pretrained, tmp_path):
    torch.manual_seed(0)
    both_ways = BertLMHeadModel(bert()).eval()
    assert not is_causal(both_ways)
    assert is_causal(BertLMHeadModel(bert(is_decoder=True)).eval())
    size = {"vocab_size": 384, "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2}
    decoder = GPT2LMHeadModel(GPT2Config(**size)).to(torch.bfloat16)
    classifier = GPT2ForSequenceClassification(GPT2Config(**size))
    for folder, model in {
        "masked": BertForMaskedLM(bert()),
        "both": both_ways,
        "gpt2": decoder,
        "c": classifier,
    }.items():
        model.save_pretrained(tmp_path / folder)
        tiny_tokenizer.save_pretrained(tmp_path / folder)
    opened, _ = open_causal(str(tmp_path / "gpt2"))
    assert isinstance(opened, GPT2LMHeadModel)
    assert opened.dtype == torch.float32
    for folder, kind in {"masked": "BertForMaskedLM", "both": "BertLMHeadModel", "c": "GPT2ForSeq.*"}.items():
        with pytest.raises(ValueError, match=f"{folder} is a {kind}, which is none: choose a decoder"):
            open_causal(str(tmp_path / folder))
    with pytest.raises(ValueError, match="is a TextEncoderForMaskedLM, which is none"):
        open_causal(str(pretrained))


def test_what_a_configuration_says():
    assert says_causal(GPT2Config())
    assert says_causal(GPT2Config(architectures=["GPT2LMHeadModel"]))
    assert not says_causal(GPT2Config(architectures=["GPT2ForTokenClassification"]))
    assert not says_causal(bert(architectures=["BertForMaskedLM"]))
    assert not says_causal(BartConfig(architectures=["BartForCausalLM"]))  # an encoder stands before it

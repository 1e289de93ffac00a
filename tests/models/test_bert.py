"""The classical BERT is one choice of options: equal to transformers' on copied weights."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel

from selfsup.models.text_encoder import (
    TextEncoderConfig,
    TextEncoderForMaskedLM,
    TextEncoderForPreTraining,
    TextEncoderModel,
)

SHAPE = {
    "vocab_size": 96,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
}
CLASSICAL = {
    "norm_position": "post",
    "use_bias": True,
    "position_type": "learned",
    "activation": "gelu",
    "norm_eps": 1e-12,
}
BODY = {
    "embeddings.tokens": "embeddings.word_embeddings",
    "embeddings.segments": "embeddings.token_type_embeddings",
    "embeddings.positions": "embeddings.position_embeddings",
    "embeddings.norm": "embeddings.LayerNorm",
}
BLOCK = {
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.input": "intermediate.dense",
    "feed_forward.output": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
HEADS = {
    "predictions.dense": "cls.predictions.transform.dense",
    "predictions.norm": "cls.predictions.transform.LayerNorm",
    "predictions.decoder": "cls.predictions.decoder",
    "pooler.dense": "bert.pooler.dense",
    "relation": "cls.seq_relationship",
}


def copied(bert, model):
    """Our model with the weights of a BERT, every one of which must find its place."""
    theirs = dict(bert.state_dict())
    names = dict(BODY)
    for number in range(SHAPE["num_hidden_layers"]):
        names |= {f"blocks.{number}.{ours}": f"encoder.layer.{number}.{their}" for ours, their in BLOCK.items()}
    alone = isinstance(model, TextEncoderModel)
    if not alone:
        names = {f"encoder.{ours}": f"bert.{their}" for ours, their in names.items()}
        names |= {ours: their for ours, their in HEADS.items() if hasattr(model, ours.split(".")[0])}
    weights = {
        f"{ours}.{kind}": theirs[f"{their}.{kind}"]
        for ours, their in names.items()
        for kind in ("weight", "bias")
        if f"{their}.{kind}" in theirs
    }
    before, root = ("", "") if alone else ("encoder.", "bert.")
    for number in range(SHAPE["num_hidden_layers"]):
        for kind in ("weight", "bias"):
            parts = [
                theirs[f"{root}encoder.layer.{number}.attention.self.{part}.{kind}"]
                for part in ("query", "key", "value")
            ]
            weights[f"{before}blocks.{number}.attention.query_key_value.{kind}"] = torch.cat(parts)
    model.load_state_dict(weights, strict=True)
    return model.eval()


def pair(theirs, ours, implementation: str):
    torch.manual_seed(0)
    bert = theirs(BertConfig(**SHAPE, hidden_act="gelu", attn_implementation=implementation)).eval()
    with torch.no_grad():
        for parameter in bert.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    return bert, copied(bert, ours(TextEncoderConfig(**SHAPE, **CLASSICAL, attn_implementation=implementation)))


@pytest.fixture
def batch():
    """Three pairs of segments, two of them padded."""
    generator = torch.Generator().manual_seed(1)
    places, lengths = torch.arange(20), torch.tensor([[20], [7], [13]])
    return {
        "input_ids": torch.randint(5, 96, (3, 20), generator=generator),
        "attention_mask": (places < lengths).long(),
        "token_type_ids": ((places >= lengths // 2) & (places < lengths)).long(),
    }


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_hidden_states(batch, implementation):
    bert, ours = pair(lambda config: BertModel(config, add_pooling_layer=False), TextEncoderModel, implementation)
    wanted = bert(**batch, output_hidden_states=True, output_attentions=implementation == "eager")
    output = ours(**batch, output_hidden_states=True, output_attentions=implementation == "eager")
    assert len(output.hidden_states) == 4
    for one, other in zip(output.hidden_states, wanted.hidden_states, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.last_hidden_state, wanted.last_hidden_state, atol=1e-5, rtol=0)
    for one, other in zip(output.attentions or (), wanted.attentions or (), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_both_answers_of_pretraining(batch, implementation):
    bert, ours = pair(BertForPreTraining, TextEncoderForPreTraining, implementation)
    asked = {"labels": torch.where(batch["attention_mask"] == 1, batch["input_ids"], -100)}
    asked["next_sentence_label"] = torch.tensor([0, 1, 1])
    wanted, output = bert(**batch, **asked), ours(**batch, **asked)
    for name in ("prediction_logits", "seq_relationship_logits", "loss"):
        torch.testing.assert_close(output[name], wanted[name], atol=1e-5, rtol=0)


def test_masked_tokens(batch):
    bert, ours = pair(BertForMaskedLM, TextEncoderForMaskedLM, "sdpa")
    torch.testing.assert_close(ours(**batch).logits, bert(**batch).logits, atol=1e-5, rtol=0)

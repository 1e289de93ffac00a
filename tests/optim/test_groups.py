"""Shares of the learning rate by depth, worked out by hand."""

import pytest
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from selfsup.models.text_encoder import TextEncoderForSequenceClassification
from selfsup.optim.groups import layer_depths, layer_groups
from selfsup.optim.optimizers import decay_groups


def bert():
    return BertForSequenceClassification(
        BertConfig(vocab_size=32, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    )


def shares(model, **options) -> dict[str, tuple[float, float]]:
    """(share of the rate, decay) of every weight by name; no weight comes twice."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    groups = layer_groups(model, model.base_model_prefix, **options)
    found = [(names[id(w)], (group["scale"], group["weight_decay"])) for group in groups for w in group["params"]]
    assert len(found) == len(dict(found))
    return dict(found)


def test_our_encoder_by_hand(tiny_config):
    found = shares(TextEncoderForSequenceClassification(tiny_config), weight_decay=0.1, layer_decay=0.5)
    decaying = {"query_key_value", "output", "input", "dense", "classifier"}
    assert found.pop("encoder.norm.weight") == (1.0, 0.0)
    for name, (share, decay) in found.items():
        if name.startswith("encoder.embeddings."):
            assert (share, decay) == (0.125, 0.0), name
            continue
        part = name.split(".")[-2]
        assert decay == (0.1 if part in decaying and name.endswith("weight") else 0.0), name
        depth = {"encoder.blocks.0": 0.25, "encoder.blocks.1": 0.5}
        assert share == next((value for start, value in depth.items() if name.startswith(start)), 1.0), name
    assert {"classifier.weight", "pooler.dense.bias"} < found.keys()


def test_bert_by_hand():
    found = shares(bert(), weight_decay=0.01, layer_decay=0.9)
    wanted = {
        "bert.embeddings.word_embeddings.weight": (0.9**3, 0.0),
        "bert.embeddings.LayerNorm.bias": (0.9**3, 0.0),
        "bert.encoder.layer.0.attention.self.query.weight": (0.9**2, 0.01),
        "bert.encoder.layer.0.output.LayerNorm.weight": (0.9**2, 0.0),
        "bert.encoder.layer.1.attention.self.query.weight": (0.9, 0.01),
        "bert.encoder.layer.1.intermediate.dense.bias": (0.9, 0.0),
        "bert.pooler.dense.weight": (1.0, 0.01),
        "classifier.weight": (1.0, 0.01),
        "classifier.bias": (1.0, 0.0),
    }
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value), name
    assert found.keys() == {name for name, _ in bert().named_parameters()}


def test_without_decay_of_layers_there_is_one_rate():
    model = bert()
    groups = layer_groups(model, "bert", weight_decay=0.01, layer_decay=1.0)
    assert {group["scale"] for group in groups} == {1.0}
    plain = decay_groups(model, 0.01)
    for decay in (0.01, 0.0):
        of = [{id(w) for g in some if g["weight_decay"] == decay for w in g["params"]} for some in (groups, plain)]
        assert of[0] == of[1]


def test_of_a_frozen_body_the_head_remains_at_the_full_rate():
    model = bert()
    model.bert.requires_grad_(False)
    assert shares(model, weight_decay=0.01, layer_decay=0.5) == {
        "classifier.weight": (1.0, 0.01),
        "classifier.bias": (1.0, 0.0),
    }


def test_a_body_without_numbers_is_below_the_head():
    model = nn.ModuleDict({"body": nn.ModuleDict({"embed": nn.Linear(2, 2), "top": nn.Linear(2, 2)}),
                           "head": nn.Linear(2, 2)})  # fmt: skip
    depths = {id(weight): depth for weight, depth in layer_depths(model, "body")}
    found = {name: depths[id(weight)] for name, weight in model.named_parameters()}
    assert {name.rsplit(".", 1)[0]: depth for name, depth in found.items()} == {
        "body.embed": 0, "body.top": 1, "head": 1,
    }  # fmt: skip

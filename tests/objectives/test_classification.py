"""One label for a sequence or a pair, cut to what the model reads."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from selfsup.data.collate import collate
from selfsup.objectives import Classification
from selfsup.objectives.texts import cut


@pytest.fixture
def objective(wordpiece, tiny_config):
    made = Classification()
    names = made.survey([{"text": "ann", "label": "yes"}, {"text": "bob", "label": "no"}])
    tiny_config.label2id, tiny_config.id2label = {"no": 0, "yes": 1}, dict(enumerate(names))
    made.bind(wordpiece, tiny_config)
    return made


def test_by_hand(objective):
    example = objective.encode({"text": "ann met", "text_pair": "bob", "label": "yes"})
    assert example["input_ids"].tolist() == [2, 14, 16, 3, 15, 3]
    assert example["token_type_ids"].tolist() == [0, 0, 0, 0, 1, 1]
    one = objective.encode({"text": "ann", "label": "no"})
    batch = collate([[example], [one]], padding=objective.padding)
    assert batch["labels"].tolist() == [1, 0]
    assert "labels" not in objective.inputs(batch)
    assert objective.counts(batch, "model") == {"label": 2}
    logits = torch.tensor([[0.0, 2.0], [1.0, 3.0]])
    wanted = cross_entropy(logits, torch.tensor([1, 0]), reduction="sum")
    torch.testing.assert_close(objective.loss({"logits": logits}, batch, "model")["label"], wanted)
    assert objective.hits({"logits": logits}, batch, "model")["label"] == 1


def test_long_pairs_fit_the_model(objective):
    example = objective.encode({"text": "ann " * 80, "text_pair": "bob " * 80, "label": "no"})
    assert len(example["input_ids"]) == 64
    assert example["token_type_ids"].sum() == 32  # of 61 tokens the second keeps 31, and its [SEP]


@pytest.mark.parametrize(
    ("lengths", "room", "kept"),
    [
        ((3, 4), 9, [3, 4]),
        ((9, 3), 8, [5, 3]),
        ((9, 9), 8, [4, 4]),
        ((2, 9), 3, [1, 2]),
        ((30,), 8, [8]),
        ((5, 7), 0, [0, 0]),
    ],
)
def test_the_longer_segment_gives_way(lengths, room, kept):
    parts = cut([np.arange(length) for length in lengths], room)
    assert [len(part) for part in parts] == kept
    assert all(part.tolist() == list(range(len(part))) for part in parts)


def test_labels_of_an_example_are_a_set(wordpiece, tiny_config):
    """Neither their order in the data nor one that stands there twice counts."""
    objective = Classification(multi_label=True, class_weights="balanced")
    labels = (["b", "a", "b"], ["a", "c"], ["a"], ["a", "c", "c"])
    names = objective.survey([{"text": "ann", "label": some} for some in labels])
    assert objective.class_weights == {"a": 1.0, "b": 3.0, "c": 1.0}  # noes for each yes; of "a" there is no no
    tiny_config.label2id, tiny_config.id2label = {"c": 0, "a": 1, "b": 2}, {0: "c", 1: "a", 2: "b"}
    objective.bind(wordpiece, tiny_config)
    assert names == ["a", "b", "c"]
    assert (
        objective.conclude({}, [[True, True, False]]) == ["a", "c"] == objective.reference({"label": ["c", "a", "c"]})
    )


def test_examples_without_any_label_are_refused():
    with pytest.raises(ValueError, match="labels were wanted, but none of the 2 examples has any"):
        Classification(multi_label=True, class_weights="balanced").survey([{"text": "ann", "label": []}] * 2)

"""One number for a text, learnt in deviations and given back in its own unit."""

import numpy as np
import pytest
import torch

from selfsup.data.collate import collate
from selfsup.objectives import Regression

EXAMPLES = [{"text": "ann met bob", "number": 10}, {"text": "bob", "text_pair": "in rome", "number": 30.0}]


@pytest.fixture
def objective(wordpiece, tiny_config):
    made = Regression()
    assert made.survey(EXAMPLES) == ["number"]
    made.bind(wordpiece, tiny_config)
    return made


def test_by_hand(objective):
    rows = [objective.encode(example) for example in EXAMPLES]
    assert rows[1]["input_ids"].tolist() == [2, 15, 3, 17, 18, 3]
    assert rows[1]["token_type_ids"].tolist() == [0, 0, 0, 1, 1, 1]
    batch = collate([[row] for row in rows], padding=objective.padding)
    assert batch["labels"].tolist() == [-1.0, 1.0]  # mean 20, deviation 10
    outputs = {"logits": torch.tensor([[0.5], [1.0]])}
    assert objective.loss(outputs, batch, "model")["number"].item() == pytest.approx(1.5**2)
    assert objective.counts(batch, "model") == {"number": 2}
    predictions = objective.predict(outputs, batch)
    concluded = [objective.conclude(example, [one]) for example, one in zip(EXAMPLES, predictions, strict=True)]
    assert concluded == [25.0, 30.0]
    assert [objective.reference(example) for example in EXAMPLES] == [10.0, 30.0]


def test_an_exported_configuration_knows_the_unit(objective, wordpiece, tiny_config):
    tiny_config.update(objective.findings())
    stranger = Regression()
    stranger.bind(wordpiece, tiny_config)
    assert stranger.conclude(EXAMPLES[0], [2.0]) == 40.0


def test_equal_numbers_do_not_divide_by_zero(wordpiece, tiny_config):
    objective = Regression()
    objective.survey([EXAMPLES[0]] * 3)
    objective.bind(wordpiece, tiny_config)
    assert objective.encode(EXAMPLES[0])["labels"] == 0.0


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"text": " ", "number": 1.0}, "a text was wanted, but it is empty"),
        ({"text": "ann", "number": "3"}, "a number was wanted, but '3' came"),
        ({"text": "ann", "number": True}, "a number was wanted, but True came"),
        ({"text": "ann", "number": float("nan")}, "a number was wanted, but nan came"),
    ],
)
def test_bad_examples_are_refused(objective, example, message):
    with pytest.raises(ValueError, match=message):
        objective.check(example)


def test_numpy_numbers_are_numbers(objective):
    objective.check({"text": "ann", "number": np.float64(3.5)})
    assert objective.encode({"text": "ann", "number": np.float64(30)})["labels"] == 1.0

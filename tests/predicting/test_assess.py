"""Conclusions on examples: each exactly once, in order, whatever the batches; and the mean loss."""

import random

import numpy as np
import pytest
import torch

from selfsup.data.collate import collate
from selfsup.objectives import AnswerSpan, Classification, Tagging
from selfsup.predicting.assess import assess, by_length

NUMBER = 13  # no batch divides it


def sentences(number: int) -> list[str]:
    chance = random.Random(0)
    words = ["the", "miller", "hid", "a", "wooden", "box", "near", "church", "queen", "sold", "it", "twice"]
    return [" ".join(chance.choices(words, k=chance.randint(2, 25))) for _ in range(number)]


def examples_for(objective) -> list[dict]:
    texts = sentences(NUMBER)
    if isinstance(objective, Classification):
        return [{"text": text, "label": str(len(text) % 5)} for text in texts]
    if isinstance(objective, Tagging):
        return [{"words": text.split(), "tags": [str(len(word) % 5) for word in text.split()]} for text in texts]
    return [
        {
            "question": "who sold the box",
            "context": text,
            "answers": {"text": [text.split()[-1]], "answer_start": [text.rindex(text.split()[-1])]},
        }
        for text in texts
    ]


@pytest.fixture(params=[Classification, Tagging, lambda: AnswerSpan(window=32, stride=8, max_answer_length=5)],
                ids=["classification", "tagging", "answer_span"])  # fmt: skip
def ready(request, network):
    """A model whose weights are large enough to have opinions, the objective and its examples."""
    model, objective = network(request.param(), labels=tuple("01234"), dtype=torch.float64, dropout=0.3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, dtype=weight.dtype) * 0.3)
    return model, objective, examples_for(objective)


def one_by_one(model, objective, examples):
    """Conclusions, summed loss and number of answers, row after row; nothing is padded."""
    conclusions, loss, count = [], 0.0, 0
    for example in examples:
        predictions = []
        for part in objective.parts(example):
            batch = collate([[objective.encode(part)]], padding=objective.padding)
            with torch.no_grad():
                outputs = model(**objective.inputs(batch))
            predictions += objective.predict(outputs, batch)
            loss += sum(map(float, objective.loss(outputs, batch, "model").values()))
            count += sum(objective.counts(batch, "model").values())
        conclusions.append(objective.conclude(example, predictions))
    return conclusions, loss / count


def listen(objective) -> list[int]:
    """Gets the number of rows of every batch that is predicted."""
    seen: list[int] = []
    predict = objective.predict

    def listening(outputs, batch):
        seen.append(len(batch["input_ids"]))
        return predict(outputs, batch)

    objective.predict = listening
    return seen


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == (pytest.approx(other, rel=1e-9) if isinstance(one, float) else other)


def test_conclusions_and_loss_are_those_of_every_row_by_itself(ready, accelerator):
    model, objective, examples = ready
    wanted, loss = one_by_one(model.eval(), objective, examples)
    assert len({str(conclusion) for conclusion in wanted}) > 2, "or any order would do"
    seen = listen(objective)
    forwards, backwards = slice(None), slice(None, None, -1)
    for batch_tokens, order in ((1, forwards), (100, backwards), (8192, forwards)):
        seen.clear()
        found = assess(model, objective, examples[order], accelerator=accelerator, batch_tokens=batch_tokens)
        assert same(found.conclusions[order], wanted)
        assert found.loss == pytest.approx(loss, rel=1e-10)
        assert sum(seen) == sum(len(objective.parts(example)) for example in examples)
        assert (len(seen) == 1, len(seen) == sum(seen)) == (batch_tokens == 8192, batch_tokens == 1)


def test_the_mode_of_the_model_is_as_it_was(ready, accelerator):
    model, objective, examples = ready
    for training in (True, False):
        model.train(training)
        losses = [assess(model, objective, examples, accelerator=accelerator).loss for _ in range(2)]
        assert losses[0] == losses[1], "no dropout meanwhile"
        assert all(module.training == training for module in model.modules())


def test_without_answers_there_are_conclusions_and_no_loss(ready, accelerator):
    model, objective, examples = ready
    without = [
        {role: value for role, value in example.items() if role not in ("label", "tags", "answers")}
        for example in examples
    ]
    found = assess(model, objective, without, accelerator=accelerator)
    assert np.isnan(found.loss)
    assert same(found.conclusions, assess(model, objective, examples, accelerator=accelerator).conclusions)
    assert assess(model, objective, [], accelerator=accelerator).conclusions == []


@pytest.mark.parametrize("batch_tokens", [1, 64, 300])
def test_batches_hold_as_many_rows_as_fit_and_every_row_once(batch_tokens):
    lengths = np.random.default_rng(0).integers(2, 65, 101)
    batches = by_length([{"input_ids": np.zeros(length)} for length in lengths], batch_tokens)
    assert sorted(np.concatenate(batches)) == list(range(101))
    widths = [lengths[batch].max() for batch in batches]
    assert widths == sorted(widths, reverse=True), "the longest first: memory runs out at once or never"
    for batch, width in zip(batches, widths, strict=True):
        assert len(batch) * width <= batch_tokens or len(batch) == 1
        assert (len(batch) + 1) * width > batch_tokens or batch is batches[-1], "one more would not have fitted"
    assert by_length([], batch_tokens) == []

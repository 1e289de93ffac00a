"""Fine-tuning: what can be learnt is learnt, the same again under the same seed, and the best epoch is kept."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from selfsup.finetuning import learning
from selfsup.finetuning.learning import FineTuneConfig, _batches, fine_tune, of_tasks
from selfsup.objectives import Classification
from selfsup.predicting.assess import assess

QUICK = FineTuneConfig(learning_rate=0.01, epochs=2, batch_size=8, warmup_share=0.0)


class Listener(Classification):
    """Notes which examples are read."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def encode(self, example):
        return super().encode(example) | ({"place": example["place"]} if "place" in example else {})

    def corrupt(self, example, **options):
        self.seen.append(example["place"])
        return super().corrupt({name: value for name, value in example.items() if name != "place"}, **options)


class Poisoned(Classification):
    """From its third batch on the loss is no number."""

    calls = 0

    def loss(self, outputs, batch, turn):
        self.calls += 1
        losses = super().loss(outputs, batch, turn)
        return losses if self.calls < 3 else {"label": losses["label"] * math.nan}


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_what_can_be_learnt_is_learnt(network, about_cats, accelerator):
    model, objective = network()
    config = replace(QUICK, learning_rate=0.02, epochs=8, batch_size=16, warmup_share=0.1)
    curve = fine_tune(model, objective, about_cats(96), config, seed=0, accelerator=accelerator)
    unseen = about_cats(60, seed=1)
    found = assess(model, objective, unseen, accelerator=accelerator)
    assert found.conclusions == [example["label"] for example in unseen]
    assert curve[0]["train_loss"] > 0.5 > 5 * curve[-1]["train_loss"]
    assert [line["step"] for line in curve] == list(range(6, 49, 6))


def test_a_seed_repeats_itself_and_every_example_is_read_once_an_epoch(network, about_cats, accelerator):
    examples = [{**example, "place": place} for place, example in enumerate(about_cats(21))]
    found = {}
    for run, seed in (("one", 3), ("again", 3), ("other", 4)):
        model, objective = network(Listener(), dropout=0.1)
        fine_tune(model, objective, examples, QUICK, seed=seed, accelerator=accelerator)
        found[run] = weights(model), objective.seen
    assert same(found["one"][0], found["again"][0])
    assert not any(torch.equal(found["one"][0][name], found["other"][0][name]) for name in found["one"][0])
    read = found["one"][1]
    assert sorted(read[:21]) == sorted(read[21:]) == list(range(21))
    assert read[:21] != read[21:]
    assert read == found["again"][1]
    assert read != found["other"][1]


def test_dropout_is_keyed_by_the_seed(network, about_cats, accelerator):
    """One batch of all examples, so that their order says nothing."""
    found = []
    for seed, dropout in ((0, 0.0), (1, 0.0), (0, 0.1), (1, 0.1)):
        model, objective = network(dtype=torch.float64, dropout=dropout)
        config = replace(QUICK, epochs=1)
        fine_tune(model, objective, about_cats(8), config, seed=seed, accelerator=accelerator)
        found.append(model.classifier.weight.detach())
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)
    assert not torch.allclose(found[2], found[3], rtol=1e-4)


def test_micro_batches_change_nothing(network, about_cats, accelerator):
    found = []
    for size in (None, 4, 5):
        model, objective = network(dtype=torch.float64)
        config = replace(QUICK, learning_rate=1e-3, batch_size=16, micro_batch_size=size)
        fine_tune(model, objective, about_cats(32), config, seed=0, accelerator=accelerator)
        found.append(weights(model))
    for other in found[1:]:
        for name, weight in found[0].items():
            assert (other[name] - weight).norm() < 1e-10 * weight.norm(), name


def test_batches_part_the_rows_and_put_like_lengths_together():
    chance = np.random.default_rng(0)
    rows = [{"input_ids": np.zeros(length)} for length in chance.integers(3, 60, 1001)]
    number = math.ceil(1001 / 16)
    found, again, other = (list(_batches(rows, number, np.random.default_rng(seed))) for seed in (1, 1, 2))
    assert sorted(np.concatenate(found)) == list(range(1001))
    assert len(found) == number
    assert {len(batch) for batch in found} == {15, 16}
    assert all(np.array_equal(one, two) for one, two in zip(found, again, strict=True))
    assert {tuple(sorted(batch)) for batch in found}.isdisjoint(tuple(sorted(batch)) for batch in other)
    lengths = np.array([len(row["input_ids"]) for row in rows])
    padded = sum(len(batch) * lengths[batch].max() for batch in found)
    assert padded < 1.1 * lengths.sum()
    assert sum(len(batch) * lengths[batch].max() for batch in np.split(np.arange(1000), 50)) > 1.6 * lengths.sum()
    means = [lengths[batch].mean() for batch in found]  # short and long ones come in any order
    assert 0.3 < np.mean(np.diff(means) > 0) < 0.7


@pytest.mark.parametrize(
    ("scores", "patience", "best", "read"),
    [
        ([0.1, 0.9, 0.5], None, 2, 3),
        ([0.5, 0.5, 0.2], None, 2, 3),  # of equal ones the later
        ([0.9, 0.5, 0.95], 1, 1, 2),
        ([0.9, 0.5, 0.6, 0.95], 2, 1, 3),
        ([0.9, 0.9, 0.5, 0.95], 1, 2, 3),
    ],
)
def test_the_weights_are_those_of_the_best_epoch(network, about_cats, accelerator, scores, patience, best, read):
    model, objective = network()
    slice_, after = about_cats(4, seed=1), []

    def score(conclusions, examples):
        assert examples is slice_
        assert len(conclusions) == 4
        after.append(weights(model))
        return {"merit": scores[len(after) - 1], "other": -len(after)}

    config = replace(QUICK, epochs=len(scores), patience=patience)
    curve = fine_tune(model, objective, about_cats(8), config, seed=0, accelerator=accelerator, held_back=slice_,
                      score=score)  # fmt: skip
    assert [line["slice_merit"] for line in curve] == scores[:read]
    assert [line["best"] for line in curve] == [int(epoch + 1 == best) for epoch in range(read)]
    assert same(weights(model), after[best - 1])
    assert not any(same(one, other) for one, other in pairwise(after))


def test_without_a_score_the_loss_chooses_and_looking_changes_nothing(network, about_cats, accelerator):
    """Labels of the slice are turned round, so that what is learnt from the others makes it worse."""
    turned = [{**example, "label": {"yes": "no", "no": "yes"}[example["label"]]} for example in about_cats(9)]
    model, objective = network()
    curve = fine_tune(model, objective, about_cats(24), QUICK, seed=0, accelerator=accelerator, held_back=turned)
    assert curve[0]["slice_loss"] < curve[1]["slice_loss"]
    assert [line["best"] for line in curve] == [1, 0]
    assert assess(model, objective, turned, accelerator=accelerator).loss == pytest.approx(curve[0]["slice_loss"])

    finals = []
    for number in (0, 9):
        model, objective = network(dropout=0.1)
        curve = fine_tune(model, objective, about_cats(24), QUICK, seed=0, accelerator=accelerator,
                          held_back=about_cats(number), score=lambda *_: {"same": 1.0})  # fmt: skip
        assert [line["best"] for line in curve] == [0, 1], "the last one, of none and of equal ones"
        finals.append(weights(model))
    assert same(*finals)


def test_a_frozen_body_stays_as_it_is(network, about_cats, accelerator):
    model, objective = network()
    before = weights(model)
    fine_tune(model, objective, about_cats(16), replace(QUICK, freeze_body=True), seed=0, accelerator=accelerator)
    for name, weight in weights(model).items():
        assert torch.equal(weight, before[name]) == name.startswith("encoder."), name
    fine_tune(model, objective, about_cats(16), QUICK, seed=0, accelerator=accelerator)
    assert not torch.equal(model.state_dict()["encoder.norm.weight"], before["encoder.norm.weight"])


def test_few_examples_are_read_until_there_are_steps_enough(network, about_cats, accelerator):
    model, objective = network()
    config = replace(QUICK, epochs=1, batch_size=4, min_steps=7)
    curve = fine_tune(model, objective, about_cats(10), config, seed=0, accelerator=accelerator)
    assert [line["step"] for line in curve] == [3, 6, 9]
    curve = fine_tune(model, objective, about_cats(10), replace(config, min_steps=3), seed=0, accelerator=accelerator)
    assert [line["step"] for line in curve] == [3]


def test_the_rate_rises_falls_and_is_less_for_what_lies_deeper(network, about_cats, accelerator, monkeypatch):
    rates, take_step = [], learning.take_step

    def spied(players, optimizers, *rest, **options):
        groups = optimizers["model"].param_groups
        rates.append({group["scale"]: group["lr"] for group in groups})
        return take_step(players, optimizers, *rest, **options)

    monkeypatch.setattr(learning, "take_step", spied)
    model, objective = network()
    config = replace(QUICK, learning_rate=0.4, epochs=5, batch_size=4, warmup_share=0.2, layer_decay=0.5)
    fine_tune(model, objective, about_cats(8), config, seed=0, accelerator=accelerator)
    wanted = [0.2, 0.4, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05]
    assert [step[1.0] for step in rates] == pytest.approx(wanted)
    for step in rates:
        assert step == pytest.approx({scale: scale * step[1.0] for scale in (1.0, 0.5, 0.25, 0.125)})


def test_a_loss_that_is_no_number_ends_in_one_sentence(network, about_cats, accelerator):
    model, objective = network(Poisoned())
    sentence = (
        "^at step 3 of fine-tuning loss or gradient was no finite number: lower --tune.learning_rate, which is 0.01$"
    )
    with pytest.raises(ValueError, match=sentence):
        fine_tune(model, objective, about_cats(32), QUICK, seed=0, accelerator=accelerator)
    assert all(weight.isfinite().all() for weight in weights(model).values())


def test_sharded_weights_are_refused(network, about_cats, accelerator, monkeypatch):
    monkeypatch.setattr(learning, "is_wanted", lambda: True)
    model, objective = network()
    with pytest.raises(ValueError, match=r"does not shard weights: launch with scripts/launch/ddp.yaml"):
        fine_tune(model, objective, about_cats(8), QUICK, seed=0, accelerator=accelerator)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"epochs": 0}, "epochs and batch_size of at least 1 and a learning_rate above 0 are wanted"),
        ({"batch_size": 0}, "epochs and batch_size of at least 1"),
        ({"learning_rate": 0.0}, "a learning_rate above 0"),
        ({"learning_rate": math.inf}, "a learning_rate above 0"),
        ({"micro_batch_size": 0}, "micro_batch_size and patience must be at least 1 or null"),
        ({"patience": 2, "slice_share": 0.0}, "patience watches the slice held back .* slice_share is 0"),
        ({"patience": 0}, "micro_batch_size and patience must be at least 1 or null"),
        ({"slice_share": 1.0}, "slice_share must be at least 0 and below 1, but 1.0 came"),
        ({"warmup_share": -0.1}, "warmup_share must be at least 0 and below 1, but -0.1 came"),
        ({"layer_decay": 0.0}, "layer_decay must be above 0 and at most 1, but 0.0 came"),
        ({"weight_decay": -1.0}, "weight_decay and min_steps must not be negative"),
        ({"min_steps": -1}, "weight_decay and min_steps must not be negative"),
    ],
)
def test_refuses_what_makes_no_sense(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        FineTuneConfig(**options)


def test_a_task_may_have_epochs_of_its_own():
    assert of_tasks(QUICK, ["qa", "pos"], {"qa": 7}) == {"qa": replace(QUICK, epochs=7), "pos": QUICK}
    assert of_tasks(QUICK, ["qa"], None) == of_tasks(QUICK, ["qa"], {"pos": 7}, ["pos"]) == {"qa": QUICK}
    with pytest.raises(ValueError, match=r"--epochs names aq, but the tasks are qa, pos"):
        of_tasks(QUICK, ["qa", "pos"], {"aq": 7})

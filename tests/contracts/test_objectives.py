"""What every objective promises; a new file in selfsup/objectives is found and tested without a word here."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch
import transformers

import selfsup.models
import selfsup.objectives
from selfsup.data.collate import collate
from selfsup.objectives import Joint, Objective


def found() -> list[type[Objective]]:
    """Concrete objectives of all files of the room."""
    kinds = set()
    for room in pkgutil.iter_modules(selfsup.objectives.__path__, "selfsup.objectives."):
        for kind in vars(importlib.import_module(room.name)).values():
            if inspect.isclass(kind) and issubclass(kind, Objective) and not inspect.isabstract(kind):
                kinds.add(kind)
    return sorted(kinds - {Joint}, key=lambda kind: kind.__name__)


def test_the_room_exports_all_that_is_found():
    assert {"MaskedTokens", "SentenceOrder"} <= {kind.__name__ for kind in found()}
    assert {kind.__name__ for kind in found()} | {"Joint", "Objective"} == set(selfsup.objectives.__all__)


@pytest.fixture(params=[*found(), Joint], ids=lambda kind: kind.__name__)
def objective(request, tiny_tokenizer, tiny_config) -> Objective:
    if request.param is Joint:
        joint = Joint({"tokens": selfsup.objectives.MaskedTokens(), "order": selfsup.objectives.SentenceOrder()})
    else:
        joint = request.param()
    joint.bind(tiny_tokenizer, tiny_config)
    return joint


@pytest.fixture
def segments(tiny_corpus):
    def cut(seed: int, number: int) -> list[np.ndarray]:
        starts = np.random.default_rng(seed).integers(0, len(tiny_corpus.tokens) - 12, number)
        return [tiny_corpus.tokens[start : start + 12].astype(np.int64) for start in starts]

    return cut


@pytest.fixture
def batch(objective, segments):
    """Three rows of two examples."""

    def example(number: int, seed: int = 0):
        raw = objective.encode({"segments": segments(number, objective.num_segments)})
        return objective.corrupt(raw, rng=np.random.default_rng((seed, number)), progress=0.0)

    def made(seed: int = 0, times: int = 1):
        return collate(
            [[example(2 * row, seed), example(2 * row + 1, seed)] for row in range(3)] * times,
            padding=objective.padding,
        )

    return made


@pytest.fixture
def model(objective, tiny_config):
    torch.manual_seed(0)
    return getattr(transformers, objective.auto_class).from_config(tiny_config).eval()


def test_repeats_itself_under_the_same_seed(batch):
    one, same, other = batch(0), batch(0), batch(1)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(one[name].shape != other[name].shape or not torch.equal(one[name], other[name]) for name in one)


def test_encoding_is_always_the_same_and_corrupting_leaves_it_alone(objective, segments):
    example, again = (objective.encode({"segments": segments(0, objective.num_segments)}) for _ in range(2))
    for seed in range(5):
        objective.corrupt(example, rng=np.random.default_rng(seed), progress=None)
    assert all(np.array_equal(example[name], again[name]) for name in again)
    assert example.keys() == again.keys()


def test_finds_answers_of_every_name(objective, batch, model):
    counts = objective.counts(batch(), "model")
    assert counts.keys() == objective.weights.keys()
    assert all(count > 0 for count in counts.values())
    outputs = objective.forward({"model": model}, batch(), "model")
    assert objective.loss(outputs, batch(), "model").keys() == counts.keys()
    for name, hits in objective.hits(outputs, batch()).items():
        assert 0 <= hits <= counts[name]


def test_guessing_costs_what_chance_says(objective, batch, model):
    """A fresh model knows nothing: its mean loss is near log(choices), within the spread of small weights."""
    losses = objective.loss(objective.forward({"model": model}, batch(), "model"), batch(), "model")
    choices = {"tokens": model.config.vocab_size, "order": 2}
    for name in losses.keys() & choices.keys():
        mean = losses[name].item() / objective.counts(batch(), "model")[name]
        assert mean == pytest.approx(np.log(choices[name]), abs=0.3)


def test_doubles_with_the_batch(objective, batch, model):
    if not objective.additive:
        pytest.skip("takes answers from the batch, and says so")
    once, twice = batch(), batch(times=2)
    losses = [objective.loss(objective.forward({"model": model}, b, "model"), b, "model") for b in (once, twice)]
    for name in losses[0]:
        torch.testing.assert_close(losses[1][name], 2 * losses[0][name])
        assert objective.counts(twice, "model")[name] == 2 * objective.counts(once, "model")[name]


def test_sends_gradient_to_every_parameter(objective, batch, model):
    torch.stack(
        [*objective.loss(objective.forward({"model": model}, batch(), "model"), batch(), "model").values()]
    ).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_learns_a_batch_by_heart(objective, batch, model):
    rows, optimizer = batch(), torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        losses = objective.loss(objective.forward({"model": model}, rows, "model"), rows, "model")
        optimizer.zero_grad()
        torch.stack([*losses.values()]).sum().backward()
        optimizer.step()
    for name, count in objective.counts(rows, "model").items():
        assert losses[name] / count < 0.2, name
    hits = objective.hits(objective.forward({"model": model}, rows, "model"), rows)
    assert all(hit == objective.counts(rows, "model")[name] for name, hit in hits.items())

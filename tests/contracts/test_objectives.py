"""What every objective promises; a new file in selfsup/objectives is found and tested without a word here."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

import selfsup.models
import selfsup.objectives
from selfsup.data.collate import collate
from selfsup.data.images import Picture
from selfsup.models.masked_autoencoder_config import MaskedAutoencoderConfig
from selfsup.objectives import ConditionalMaskedTokens, Joint, Objective, Supervised
from selfsup.objectives.augmentation import Augmentation
from selfsup.objectives.pictures import Sight
from selfsup.objectives.sequences import Sequences
from selfsup.training.processors import plain_processor

LABELS = ["no", "yes"]
WORDS = ["the", "old", "house", "stands", "by", "the", "river"]


def raw_example(objective: Objective, segments: list[np.ndarray], number: int):
    """What any objective may read: segments of running text, or the roles of a labelled row."""
    picture = Picture(np.random.default_rng(number).integers(0, 256, (1, 8, 8), dtype=np.uint8))
    if isinstance(objective, Sight) and not isinstance(objective, Supervised):
        return {"image": picture}
    if not isinstance(objective, Supervised):
        return {"segments": segments, "stranger": number % 2 == 1, "before": 5 + number, "ends": number % 3 == 0}
    words = [*WORDS[number:], *WORDS[:number]]
    label = LABELS[number % 2]
    answer = {"text": [words[2]], "answer_start": [len(" ".join(words[:2])) + 1]}
    roles = {"image": picture, "text": " ".join(words), "text_pair": "a pair", "label": label, "words": words,
             "tags": [LABELS[len(word) % 2] for word in words],
             "number": 20.0 + 10 * (number % 2), "source": " ".join(words[:3]), "target": " ".join(words[:2]),
             "question": "what is it?", "context": " ".join(words),
             "answers": answer}  # fmt: skip
    return {role: roles[role] for role in (*objective.roles, *objective.optional) if role in roles}


def found() -> list[type[Objective]]:
    """Concrete objectives of all files of the room."""
    kinds = set()
    for room in pkgutil.iter_modules(selfsup.objectives.__path__, "selfsup.objectives."):
        for kind in vars(importlib.import_module(room.name)).values():
            if inspect.isclass(kind) and issubclass(kind, Objective) and not inspect.isabstract(kind):
                kinds.add(kind)
    return sorted(kinds - {Joint}, key=lambda kind: kind.__name__)


def test_the_room_exports_all_that_is_found():
    assert {"MaskedTokens", "Classification", "AnswerSpan"} <= {kind.__name__ for kind in found()}
    assert {kind.__name__ for kind in found()} | {"Joint", "Objective", "Supervised"} == set(selfsup.objectives.__all__)


@pytest.fixture(params=[*found(), Joint], ids=lambda kind: kind.__name__)
def kind(request) -> type[Objective]:
    return request.param


@pytest.fixture
def config(kind, tiny_config, tiny_decoder_config, tiny_pair_config, tiny_picture_config):
    """Of a model that has the head."""
    if getattr(kind, "auto_class", "") == "AutoModelForPreTraining" and issubclass(kind, Sight):
        shared = ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size"]
        shape = {name: getattr(tiny_picture_config, name) for name in (*shared, "patch_size", "num_channels")}
        return MaskedAutoencoderConfig(**shape, decoder_hidden_size=16, decoder_num_hidden_layers=1,
                                       decoder_num_attention_heads=2, decoder_intermediate_size=32)  # fmt: skip
    if issubclass(kind, Sight):
        tiny_picture_config.num_labels = 16  # so wide is the space of views; supervised ones name their own
        return tiny_picture_config
    if getattr(kind, "auto_class", "") == "AutoModelForSeq2SeqLM" or issubclass(kind, Sequences):
        return tiny_pair_config
    return tiny_decoder_config if getattr(kind, "auto_class", "") == "AutoModelForCausalLM" else tiny_config


@pytest.fixture
def processor(kind, tiny_tokenizer):
    """What reads the input."""
    return plain_processor(8, 8) if issubclass(kind, Sight) else tiny_tokenizer


@pytest.fixture
def objective(kind, processor, config) -> Objective:
    if kind is Joint:
        joint = Joint({"tokens": selfsup.objectives.MaskedTokens(), "order": selfsup.objectives.SentenceOrder()})
    else:
        joint = kind()
    if isinstance(joint, Supervised):
        names = joint.survey([raw_example(joint, [], number) for number in range(4)])
        config.label2id = {name: number for number, name in enumerate(names)}
        config.id2label = dict(enumerate(names))
        config.update(joint.findings())
    joint.bind(processor, config)
    return joint


@pytest.fixture
def segments(tiny_corpus):
    def cut(seed: int, number: int) -> list[np.ndarray]:
        starts = np.random.default_rng(seed).integers(0, len(tiny_corpus.tokens) - 12, number)
        return [tiny_corpus.tokens[start : start + 12].astype(np.int64) for start in starts]

    return cut


@pytest.fixture
def batch(objective, segments):
    """Three rows of two examples, or six of one."""

    def example(number: int, seed: int = 0):
        raw = raw_example(objective, segments(number, objective.num_segments), number)
        return objective.corrupt(objective.encode(raw), rng=np.random.default_rng((seed, number)), progress=0.0)

    def made(seed: int = 0, times: int = 1):
        rows = [[example(2 * row, seed), example(2 * row + 1, seed)] for row in range(3)]
        if not objective.packs:
            rows = [[one] for row in rows for one in row]
        return collate(rows * times, padding=objective.padding)

    return made


@pytest.fixture
def players(objective, config) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    model = getattr(transformers, objective.auto_class).from_config(config)
    return {name: player.eval() for name, player in {"model": model, **objective.further_players(model)}.items()}


def losses_of(objective, players, batch) -> dict[str, Tensor]:
    """The summed losses of all turns."""
    return {
        name: value
        for turn in objective.turns
        for name, value in objective.loss(objective.forward(players, batch, turn), batch, turn).items()
    }


def counts_of(objective, batch) -> dict[str, int]:
    return {name: count for turn in objective.turns for name, count in objective.counts(batch, turn).items()}


def test_repeats_itself_under_the_same_seed(objective, batch):
    one, same, other = batch(0), batch(0), batch(1)
    assert all(torch.equal(one[name], same[name]) for name in one)
    if not objective.strangers and not isinstance(objective, Supervised) and objective.framed:  # they draw nothing
        assert any(one[name].shape != other[name].shape or not torch.equal(one[name], other[name]) for name in one)


def test_encoding_is_always_the_same_and_corrupting_leaves_it_alone(objective, segments):
    raw = raw_example(objective, segments(0, objective.num_segments), 1)
    example, again = objective.encode(raw), objective.encode(raw)
    for seed in range(5):
        objective.corrupt(example, rng=np.random.default_rng(seed), progress=None)
    assert all(np.array_equal(example[name], again[name]) for name in again)
    assert example.keys() == again.keys()


def test_keeps_its_arguments(objective):
    """A run goes on only with those it was begun with, and finds them as attributes; `weights` holds the weight."""
    if isinstance(objective, Supervised):
        pytest.skip("fine-tuning is no run to go on with")
    for member in getattr(objective, "members", [objective]):
        for name in set(inspect.signature(type(member).__init__).parameters) - {"self", "weight"}:
            assert isinstance(getattr(member, name, None), str | int | float | Augmentation), (
                f"{type(member).__name__}.{name}"
            )


def test_finds_answers_of_every_name(objective, batch, players):
    counts = counts_of(objective, batch())
    assert counts.keys() == objective.weights.keys()
    assert all(count > 0 for count in counts.values())
    assert losses_of(objective, players, batch()).keys() == counts.keys()
    for turn in objective.turns:
        outputs = objective.forward(players, batch(), turn)
        for found in (objective.hits(outputs, batch(), turn), objective.blind_hits(outputs, batch(), turn)):
            assert all(0 <= hits <= counts[name] for name, hits in found.items())


def test_guessing_costs_what_chance_says(objective, batch, players):
    """A fresh model knows nothing: its mean loss is near log(choices), within the spread of small weights."""
    losses, counts = losses_of(objective, players, batch()), counts_of(objective, batch())
    vocab = getattr(players["model"].config, "vocab_size", 0)
    choices = {
        "tokens": vocab,
        "order": 2,
        "next": 2,
        "next_token": vocab,
        "replaced": 2,
        "label": 2,
        "target": vocab,
        "masked": vocab,
        "denoised": vocab,
    }
    for name in losses.keys() & choices.keys():
        assert losses[name].item() / counts[name] == pytest.approx(np.log(choices[name]), abs=0.3)


def test_doubles_with_the_batch(objective, batch, players):
    if not objective.additive:
        pytest.skip("takes answers from the batch, and says so")
    once, twice = (losses_of(objective, players, batch(times=times)) for times in (1, 2))
    for name, count in counts_of(objective, batch()).items():
        torch.testing.assert_close(twice[name], 2 * once[name])
        assert counts_of(objective, batch(times=2))[name] == 2 * count


def test_every_turn_sends_gradient_to_every_parameter_of_its_player_only(objective, batch, players):
    own = {turn: {id(parameter) for parameter in players[turn].parameters()} for turn in objective.turns}
    for turn in objective.turns:
        for player in players.values():
            player.zero_grad()
        losses = objective.loss(objective.forward(players, batch(), turn), batch(), turn)
        torch.stack([*losses.values()]).sum().backward()
        for name, parameter in [pair for player in players.values() for pair in player.named_parameters()]:
            if name == "edges.bias":  # starts compete with starts, ends with ends: what all gain changes nothing
                continue
            if not parameter.requires_grad:  # fixed positions
                continue
            if id(parameter) in own[turn]:
                assert parameter.grad is not None, name
                assert parameter.grad.abs().max() > 0, name
            else:
                assert parameter.grad is None, name


def test_learns_a_batch_by_heart(objective, batch, players):
    rows, most = batch(), 300
    if isinstance(objective, selfsup.objectives.SequenceReward):
        objective.max_new_tokens, most = 3, 150  # what it samples takes nearly all of the time; 70 steps do
    if isinstance(objective, selfsup.objectives.Contrastive):
        objective.augmentation = Augmentation(contrast=0.2)  # of noise, a part shows nothing of another part
    enough = 0.15 if isinstance(objective, selfsup.objectives.MaskedPatches) else 0.02  # errors of pixels, or nats
    rate = 0.003 if isinstance(objective, selfsup.objectives.Contrastive) else 0.01  # faster, all views fall together
    optimizers = {turn: torch.optim.Adam(players[turn].parameters(), lr=rate) for turn in objective.turns}
    counts = counts_of(objective, rows)
    for _ in range(most):
        left = 0.0
        for turn in objective.turns:
            losses = objective.loss(objective.forward(players, rows, turn), rows, turn)
            left = max(left, *(float(loss.detach()) / counts[name] for name, loss in losses.items()))
            optimizers[turn].zero_grad()
            torch.stack([*losses.values()]).sum().backward()
            optimizers[turn].step()
        if left < enough:  # there is no more to learn
            break
    losses = losses_of(objective, players, rows)
    for name, count in counts.items():
        assert losses[name] / count < 0.2, name
    for turn in objective.turns:
        hits = objective.hits(objective.forward(players, rows, turn), rows, turn)
        assert all(hit == objective.counts(rows, turn)[name] for name, hit in hits.items())


def test_supervised_ones_conclude_what_they_learnt(objective, players):
    """After learning some examples by heart, the conclusions are their answers, and scoring needs no answers."""
    if not isinstance(objective, Supervised):
        pytest.skip("its answers are hidden text")
    if not {*objective.roles} & {"label", "tags", "answers", "number", "target"}:
        pytest.skip("knows its answers from what it has done")
    examples = [raw_example(objective, [], number) for number in range(4)]
    for example in examples:
        objective.check(example)
    rows = [(number, part) for number, example in enumerate(examples) for part in objective.parts(example)]
    batch = collate([[objective.encode(part)] for _, part in rows], padding=objective.padding)
    optimizer = torch.optim.Adam(players["model"].parameters(), lr=0.01)
    for _ in range(300):
        losses = objective.loss(objective.forward(players, batch, "model"), batch, "model")
        optimizer.zero_grad()
        torch.stack([*losses.values()]).sum().backward()
        optimizer.step()
        if sum(float(loss.detach()) for loss in losses.values()) < 0.02:  # there is no more to learn
            break
    if isinstance(objective, ConditionalMaskedTokens):  # it has learnt to guess all at once, of the true length
        objective.rounds = objective.lengths = 1
    answers = ("label", "tags", "answers", "number", "target")
    bare = [{role: value for role, value in example.items() if role not in answers} for example in examples]
    parts = [objective.parts(example) for example in bare]
    unseen = collate([[objective.encode(part)] for some in parts for part in some], padding=objective.padding)
    assert objective.answered(batch)
    assert not objective.answered(unseen)
    with torch.no_grad():
        predictions = iter(objective.answer(players, unseen, objective.forward(players, unseen, "model")))
    for example, blank, some in zip(examples, bare, parts, strict=True):
        concluded, reference = (
            objective.conclude(blank, [next(predictions) for _ in some]),
            objective.reference(example),
        )
        if "answers" in example:
            assert objective.scored(concluded) in reference
        elif "number" in example:
            assert concluded == pytest.approx(reference, abs=1)  # of numbers 10 apart
        else:
            assert objective.scored(concluded) == reference

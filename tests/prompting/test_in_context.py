"""Problems that only their own examples solve: what they are, what destroys them, and how answers are counted."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from selfsup.metrics.wilson import wilson
from selfsup.models.text_decoder import TextDecoderConfig
from selfsup.objectives import NextToken
from selfsup.optim.optimizers import OptimConfig
from selfsup.prompting import in_context
from selfsup.prompting.in_context import (
    KIN,
    LABELS,
    MET,
    NAMES,
    READ,
    SHUFFLED,
    ZERO_SHOT,
    ProblemConfig,
    Problems,
    by_examples,
    by_times_shown,
    choose,
    draw_problem,
    draw_problems,
    fresh_problems,
    measure,
    open_problems,
    summarise_problems,
    word_tokenizer,
    write_problems,
)  # fmt: skip
from selfsup.training.export import build_players
from selfsup.training.loop import TrainConfig, fit

SMALL = ProblemConfig(num_train=100, num_fresh=600)
BY_HAND = Problems(np.array([[0, 9, 0], [9, 9, 63]]), np.array([[1, 3, 1], [0, 0, 2]]))


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return word_tokenizer(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def fresh():
    return fresh_problems(SMALL)


class Reader:
    """Says after a name what followed it when it last stood in the prompt; the first label where it did not."""

    device = torch.device("cpu")

    def __init__(self, words):
        self.words, self.sizes = words, []

    def eval(self):
        return self

    def __call__(self, input_ids):
        self.sizes.append(len(input_ids))
        logits = torch.zeros(*input_ids.shape, len(self.words))
        logits[..., self.words.convert_tokens_to_ids(LABELS[0])] = 0.5
        for row, tokens in enumerate(input_ids.tolist()):
            for place, token in enumerate(tokens):
                earlier = [other for other in range(place) if tokens[other] == token]
                if earlier:
                    logits[row, place, tokens[earlier[-1] + 1]] = 1.0
        return SimpleNamespace(logits=logits)


class Guesser(Reader):
    """Reads nothing and knows nothing."""

    def __call__(self, input_ids):
        generator = torch.Generator().manual_seed(len(input_ids))
        return SimpleNamespace(logits=torch.randn(*input_ids.shape, len(self.words), generator=generator))


def pairs_of(problems):
    """Names that stand together."""
    return {(name, other) for row in problems.names.tolist() for name in row for other in row if name != other}


def test_what_problems_read_like():
    assert (NAMES[0], NAMES[9], NAMES[63]) == ("ba", "de", "noi")
    assert BY_HAND.texts() == ["ba green de white ba green", "de red de red noi blue"]
    assert BY_HAND.times_shown().tolist() == [[0, 0, 1], [0, 1, 0]]
    assert BY_HAND.mappings() == [{(0, 1), (9, 3)}, {(9, 0), (63, 2)}]


@pytest.mark.parametrize("kin", [False, True])
def test_a_problem_has_one_label_for_a_name_and_its_names_are_of_many_families_or_of_one(kin):
    config = ProblemConfig(min_names=3, max_names=5, num_pairs=40)
    sizes = set()
    for index in range(200):
        names, labels = draw_problem(1, index, config, kin=kin)
        distinct = set(names.tolist())
        assert len(set(zip(names.tolist(), labels.tolist(), strict=True))) == len(distinct)
        assert len({name // 8 for name in distinct}) == (1 if kin else len(distinct))
        sizes.add(len(distinct))
    assert sizes == {3, 4, 5}


def test_a_problem_is_decided_by_seed_and_index():
    one, longer = draw_problems(1, 3, SMALL), draw_problems(1, 5, SMALL)
    assert np.array_equal(one.names, longer.names[:3])
    assert np.array_equal(one.labels, longer.labels[:3])
    assert longer.texts() != draw_problems(2, 5, SMALL).texts()
    assert len(set(longer.texts())) == 5


def test_names_say_nothing_of_labels():
    problems = draw_problems(3, 1500, SMALL)
    share = [int((problems.labels == label).sum()) for label in range(len(LABELS))]
    assert np.ptp(share) / sum(share) < 0.04
    first, label = problems.names[:, 0], problems.labels[:, 0]
    for family in range(8):
        low, high = wilson(int((label[first // 8 == family] == 0).sum()), int((first // 8 == family).sum()))
        assert low - 0.03 < 0.25 < high + 0.03


def test_shuffled_labels_are_those_of_the_row_before_and_say_nothing(fresh):
    assert BY_HAND.shuffled().labels.tolist() == [[0, 0, 2], [1, 3, 1]]
    assert np.array_equal(BY_HAND.shuffled().names, BY_HAND.names)
    for problems in fresh.values():
        kept = problems.shuffled().labels == problems.labels
        assert kept.mean() == pytest.approx(1 / len(LABELS), abs=0.02)
    with pytest.raises(ValueError, match="two problems or more"):
        Problems(BY_HAND.names[:1], BY_HAND.labels[:1]).shuffled()


def test_what_is_measured_on_was_held_out():
    config = ProblemConfig(num_train=4000, num_fresh=600)  # many problems of two names: their mappings come up again
    fresh, trained = fresh_problems(config), draw_problems(in_context.TRAIN, 4000, config)
    assert set(draw_problems(in_context.FRESH, 600, config).mappings()) & set(trained.mappings())
    for problems in fresh.values():
        assert len(problems.names) == 600
        assert not set(problems.mappings()) & set(trained.mappings())
    assert not pairs_of(fresh[KIN]) & pairs_of(trained)
    assert len(pairs_of(fresh[MET]) & pairs_of(trained)) > 1000


def test_no_new_mapping_is_left():
    with pytest.raises(ValueError, match="were new: raise min_names"):
        fresh_problems(ProblemConfig(min_names=1, max_names=1, num_train=3000, num_fresh=50))


def test_every_word_is_a_token_and_a_prompt_is_left_open(words):
    assert words("ba red").tokens() == ["[CLS]", "ba", "red"]
    assert words.unk_token_id not in words(" ".join((*NAMES, *LABELS)))["input_ids"]
    assert (words.bos_token, words.eos_token, words.pad_token_id) == ("[CLS]", "[SEP]", 0)


def test_every_row_of_training_is_a_whole_problem(words, tmp_path):
    write_problems(SMALL, tmp_path / "problems.jsonl")
    objective = NextToken()
    objective.bind(words, TextDecoderConfig())
    plans = open_problems(tmp_path / "problems.jsonl", words, objective, SMALL, batch_size=3, seed=5)
    read = [
        words.decode(plan.corpus.tokens[slice(*draw.segments[0])].tolist())
        for plan in plans
        for row in plan.epoch()
        for draw in row
    ]
    assert [len(row) for row in plans[0].rows(0)] == [1, 1, 1]
    assert sorted(read) == sorted(draw_problems(in_context.TRAIN, SMALL.num_train, SMALL).texts())


def test_a_reader_is_right_wherever_a_name_was_shown_and_only_there(words, fresh):
    for problems in fresh.values():
        hits, shown = measure(Reader(words), problems, words), problems.times_shown()
        assert hits[READ][shown > 0].all()
        assert np.array_equal(hits[READ][shown == 0], problems.labels[shown == 0] == 0)
        assert np.array_equal(hits[ZERO_SHOT], problems.labels == 0)
        assert hits[SHUFFLED].mean() == pytest.approx(0.25, abs=0.02)
        assert hits[SHUFFLED][:, -1].mean() == pytest.approx(0.25, abs=0.06)


def test_whoever_guesses_is_at_chance_with_any_number_of_examples(words, fresh):
    hits = measure(Guesser(words), fresh[MET], words)
    for rows in hits.values():
        assert rows.mean() == pytest.approx(0.25, abs=0.03)
    assert hits[READ][:, -1].mean() == pytest.approx(0.25, abs=0.06)


def test_batches_change_nothing(words, fresh):
    few = Problems(fresh[MET].names[:10], fresh[MET].labels[:10])
    reader = Reader(words)
    assert np.array_equal(choose(reader, few, words, batch_size=3), choose(Reader(words), few, words))
    assert reader.sizes == [3, 3, 3, 1]


def test_figures_by_examples_and_by_times_shown():
    hits = np.array([[[False, False, True], [True, True, False]], [[False, True, True], [False, True, False]]])
    means = {k: figure[0] for k, figure in by_examples(hits).items()}
    assert means == pytest.approx({0: 0.25, 1: 0.75, 2: 0.5})
    assert by_examples(hits, hits) == dict.fromkeys(range(3), (0, 0, 0))
    figures = by_times_shown(hits, BY_HAND.times_shown())  # never shown: 1 of 4; once: 2 of 2
    assert {times: figure[0] for times, figure in figures.items()} == pytest.approx({0: 0.25, 1: 1.0})


def test_what_a_reader_leaves_behind(words, fresh, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(in_context, "DRAWS", 100)
    measured = [{kind: measure(Reader(words), problems, words) for kind, problems in fresh.items()}] * 2
    results = summarise_problems(measured, fresh, SMALL, tmp_path, title="a reader")
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["chance"] == 0.25
    assert (tmp_path / "in_context.png").stat().st_size > 10_000
    for kind in (MET, KIN):
        assert kept[kind]["by_times_shown"][READ]["1"] == [1, 1, 1]
        last = SMALL.num_pairs - 1
        mean, low, high = results[kind]["by_examples"][READ][last]
        assert low <= mean <= high
        assert mean == pytest.approx(results[kind]["perfect_reader"][last], abs=0.05)
        assert results[kind]["gain"][last][0] == pytest.approx(mean - results[kind]["by_examples"][ZERO_SHOT][last][0])
    said = capsys.readouterr().out
    assert "names that never met, 600 fresh problems, 2 seeds" in said
    assert "100.0 %  (100.0 to 100.0)" in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"min_names": 5, "max_names": 4}, "must rise"),
        ({"max_names": 9}, "between 1 and 8"),
        ({"num_fresh": 1}, "num_fresh 2"),
        ({"num_pairs": 8}, "at least 9"),
    ],
)
def test_problems_that_cannot_be(fields, said):
    with pytest.raises(ValueError, match=said):
        ProblemConfig(**fields)


@pytest.mark.slow
def test_a_tiny_decoder_learns_to_read_its_prompt(words, tmp_path, accelerator):
    """In 300 steps it learns which labels a problem uses; which name has which takes scripts/in_context.py."""
    config = ProblemConfig(min_names=2, max_names=2, num_pairs=9, num_train=8000, num_fresh=1000)
    write_problems(config, tmp_path / "problems.jsonl")
    objective = NextToken()
    torch.manual_seed(0)
    shape = TextDecoderConfig(
        vocab_size=128, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256,
        max_position_embeddings=32,
    )  # fmt: skip
    players = build_players(objective, shape, words)
    plan, held_out = open_problems(tmp_path / "problems.jsonl", words, objective, config, batch_size=32, seed=0)
    optim = OptimConfig(name="Muon", learning_rate=1e-2, momentum=0.95, warmup_steps=50)
    train = TrainConfig(num_steps=300, eval_every=300, save_every=300, eval_rows=64)
    fit(players, objective, plan, held_out, optim=optim, train=train, accelerator=accelerator, folder=tmp_path)
    for problems in fresh_problems(config).values():
        hits = {name: rows[:, 1:] for name, rows in measure(players["model"], problems, words).items()}
        assert hits[READ].mean() > 0.5
        assert hits[SHUFFLED].mean() == pytest.approx(0.25, abs=0.04)
        assert hits[ZERO_SHOT].mean() == pytest.approx(0.25, abs=0.04)


def test_problems_that_were_learnt_from_are_not_replaced(tmp_path):
    file = tmp_path / "problems.jsonl"
    write_problems(SMALL, file)
    before = file.read_text()
    other = replace(SMALL, num_train=SMALL.num_train + 1)
    (tmp_path / "seed-0" / "checkpoints" / "checkpoint-00000003").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds runs that learnt from other problems"):
        write_problems(other, file)
    assert file.read_text() == before
    write_problems(SMALL, file)  # the same go on
    (tmp_path / "seed-0" / "checkpoints" / "checkpoint-00000003").rmdir()
    write_problems(other, file)
    assert file.read_text() != before

"""The plan: a pure function of (seed, step) that reads every row of an epoch once."""

from collections import Counter
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

import selfsup.data.plan
from selfsup.data.corpus import Corpus
from selfsup.data.plan import Plan, Stage


def made_up(num_documents: int, shortest: int, longest: int) -> Corpus:
    """Documents of `shortest` to `longest` sentences of 1 to 40 tokens."""
    rng = np.random.default_rng(0)
    num_sentences = rng.integers(shortest, longest, num_documents, endpoint=True)
    sizes = rng.integers(1, 40, num_sentences.sum(), endpoint=True)
    sentences = np.cumsum(sizes) - sizes
    documents = sentences[np.cumsum(num_sentences) - num_sentences]
    return Corpus(Path(), "made up", 100, rng.integers(5, 100, sizes.sum()).astype(np.uint16), sentences, documents)


def whole(corpus: Corpus, **options) -> Plan:
    return Plan(corpus, [(0, len(corpus.tokens))], **options)


@pytest.fixture(scope="module")
def corpus():
    return made_up(300, 1, 60)


@pytest.fixture
def small_shelves(monkeypatch):
    """Several shelves of a small text."""
    monkeypatch.setattr(selfsup.data.plan, "SLICE_TOKENS", 500)
    monkeypatch.setattr(selfsup.data.plan, "SHELF_SLICES", 8)


STAGE = Stage(block_size=64, batch_size=7)


@pytest.mark.usefixtures("small_shelves")
class TestPure:
    def test_rows_depend_on_seed_and_step_alone(self, corpus):
        plan = whole(corpus, stages=[STAGE], seed=3)
        in_order = [plan.rows(step) for step in range(400)]
        other = whole(corpus, stages=[STAGE], seed=3)
        steps = np.random.default_rng(0).permutation(400)
        assert all(other.rows(int(step)) == in_order[step] for step in steps)
        assert whole(corpus, stages=[STAGE], seed=4).rows(0) != in_order[0]

    def test_neighbouring_steps_share_no_example(self, corpus):
        plan = whole(corpus, stages=[STAGE])
        draws = [draw for step in range(600) for row in plan.rows(step) for draw in row]
        keys = Counter((draw.epoch, draw.index) for draw in draws)
        assert max(keys.values()) == 1
        assert {draw.epoch for draw in draws} >= {0, 1}

    @pytest.mark.parametrize("num_segments", [1, 2])
    def test_the_steps_of_an_epoch_read_each_row_once(self, corpus, num_segments):
        plan = whole(corpus, stages=[Stage(64, 1)], num_segments=num_segments)
        epoch = plan.epoch()
        rows = [plan.rows(step)[0] for step in range(len(epoch))]
        assert [[draw.segments for draw in row] for row in rows] == [[draw.segments for draw in row] for row in epoch]
        assert {draw.epoch for row in rows for draw in row} == {0}
        assert {draw.epoch for draw in plan.rows(len(epoch))[0]} == {1}

    def test_every_shelf_is_read(self, corpus):
        plan = whole(corpus, stages=[STAGE], num_segments=1)
        assert plan.num_shelves > 10
        read = np.zeros(len(corpus.tokens), dtype=int)
        for row in plan.epoch():
            for draw in row:
                for start, stop in draw.segments:
                    read[start:stop] += 1
        assert (read == 1).all()

    def test_epochs_cut_and_shuffle_anew(self, corpus):
        plan = whole(corpus, stages=[Stage(64, 1)])
        first = len(plan.epoch())
        epochs = [{draw.segments for step in steps for row in plan.rows(step) for draw in row}
                  for steps in (range(first), range(first, 2 * first - 50))]  # fmt: skip
        pairs = [{segments for segments in epoch if len(segments) == 2} for epoch in epochs]
        assert len(pairs[0] & pairs[1]) < 0.05 * len(pairs[0])

    def test_the_rows_of_an_epoch_are_shuffled(self, corpus):
        starts = [row[0].segments[0][0] for row in whole(corpus, stages=[STAGE]).epoch()]
        assert abs(np.corrcoef(starts, np.arange(len(starts)))[0, 1]) < 0.1


@pytest.mark.parametrize("num_sentences", [(8, 14), (30, 60), (300, 600)])
def test_documents_longer_than_a_block_leave_no_padding(num_sentences):
    corpus = made_up(200_000 // sum(num_sentences) // 10, *num_sentences)
    for block_size in (64, 128):
        for num_segments in (1, 2):
            plan = whole(corpus, stages=[Stage(block_size=block_size)], num_segments=num_segments)
            rows = plan.epoch()
            special = {1: 2, 2: 3}
            used = sum(
                sum(b - a for a, b in draw.segments) + special[len(draw.segments)] for row in rows for draw in row
            )
            assert plan.padding_share() == pytest.approx(1 - used / (len(rows) * block_size))
            assert 0 <= plan.padding_share() < 0.03


def test_short_documents_share_rows():
    corpus = made_up(2000, 1, 2)
    packed, alone = (whole(corpus, stages=[Stage(block_size=128)], pack=pack) for pack in (True, False))
    assert packed.padding_share() < 0.03
    assert alone.padding_share() > 0.6
    assert {len(row) for row in alone.epoch()} == {1}
    assert max(len(row) for row in packed.epoch()) > 4
    assert sum(map(len, packed.epoch())) == len(alone.epoch())


def test_many_small_regions_do_not_make_many_shelves():
    """A text of short documents has thousands of training regions, between the documents held out."""
    corpus = made_up(20_000, 1, 2)
    training, held = corpus.split(0.02)
    assert len(training) > 300
    for regions in (training, held):
        plan = Plan(corpus, regions, stages=[Stage()])
        assert plan.num_shelves == 1
        assert plan.padding_share() < 0.03


def test_draws_stay_in_their_regions(corpus):
    training, held = corpus.split(0.1)
    plans = [Plan(corpus, regions, stages=[STAGE]) for regions in (training, held)]
    read: list[set[int]] = [
        {token for row in plan.epoch() for draw in row for start, stop in draw.segments for token in range(start, stop)}
        for plan in plans
    ]
    assert read[0].isdisjoint(read[1])
    allowed = [{token for start, stop in regions for token in range(start, stop)} for regions in (training, held)]
    assert read[0] <= allowed[0]
    assert read[1] <= allowed[1]


class TestStages:
    stages = (Stage(32, 16, 0.25), Stage(64, 8, 0.75), Stage(128, 4, 1.0))

    def test_switch_at_their_shares(self, corpus):
        plan = whole(corpus, stages=self.stages)
        for step, stage in ((0, 0), (9, 0), (10, 1), (29, 1), (30, 2), (39, 2)):
            rows = plan.rows(step, 40)
            assert len(rows) == self.stages[stage].batch_size
            lengths = [sum(b - a for draw in row for a, b in draw.segments) + 3 for row in rows]
            assert self.stages[stage].block_size / 2 < np.median(lengths) <= self.stages[stage].block_size

    def test_no_stage_repeats_examples_of_another(self, corpus):
        plan = whole(corpus, stages=self.stages)
        keys = [(draw.epoch, draw.index) for step in range(40) for row in plan.rows(step, 40) for draw in row]
        assert len(keys) == len(set(keys))

    def test_the_first_stage_does_not_wait_for_the_length_of_the_run(self, corpus):
        plan = whole(corpus, stages=self.stages)
        assert plan.rows(5, None) == plan.rows(5, 40) == plan.rows(5, 100)

    @pytest.mark.parametrize("ends", [(), (0.5,), (0.5, 0.5, 1.0), (0.7, 0.3, 1.0), (0.0, 1.0), (0.5, 1.5)])
    def test_must_cover_the_run(self, corpus, ends):
        with pytest.raises(
            ValueError, match="stages must end at rising shares of the run, the last at 1, but they end"
        ):
            whole(corpus, stages=[Stage(until=end) for end in ends])

    @pytest.mark.parametrize("sizes", [(18, 1), (64, 0)])
    def test_refuse_sizes_that_hold_nothing(self, sizes):
        with pytest.raises(ValueError, match="a stage needs block_size >= 19 and batch_size >= 1, but"):
            Stage(*sizes)


def test_validation_is_fixed(corpus):
    plan = whole(corpus, stages=[STAGE])
    before = plan.epoch()
    plan.rows(500, 1000)
    assert plan.epoch() == before == whole(corpus, stages=[STAGE]).epoch()
    assert {draw.progress for row in before for draw in row} == {None}


@pytest.mark.usefixtures("small_shelves")
def test_a_few_validation_rows_take_only_the_shelves_they_lie_on(corpus, monkeypatch):
    plan = whole(corpus, stages=[STAGE])
    every, (first, second) = plan.epoch(), (plan._count(0, 0, shelf) for shelf in (0, 1))
    assert plan.num_shelves > 3
    for most, shelves in [(5, {0}), (first + 1, {0, 1}), (first + second, {0, 1}), (len(every) + 9, None)]:
        fresh = whole(corpus, stages=[STAGE])
        spy = Mock(side_effect=fresh._layout)
        monkeypatch.setattr(fresh, "_layout", spy)
        assert fresh.epoch(most) == every[:most]
        assert {call.args[2] for call in spy.call_args_list} == (shelves or set(range(plan.num_shelves)))


def test_progress_is_handed_on(corpus):
    assert {draw.progress for row in whole(corpus).rows(0, progress=0.5) for draw in row} == {0.5}


def test_nothing_to_read_is_refused(corpus):
    with pytest.raises(ValueError, match="made up has nothing to read in"):
        Plan(corpus, [])

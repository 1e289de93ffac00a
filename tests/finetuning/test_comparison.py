"""What pretraining is worth: both arms learn from the same, the sweep sees no held-out example, figures are right."""

import json
import struct
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from selfsup.finetuning import comparison
from selfsup.finetuning.comparison import ARMS, PRETRAINED, SCRATCH, SweepConfig, compare, report, sweep
from selfsup.finetuning.learner import Learner, open_learner
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.material import Material
from selfsup.finetuning.trial import Trial
from selfsup.metrics.bootstrap import bootstrap

CONFIG = FineTuneConfig(learning_rate=1e-3, epochs=2, min_steps=10)
TRIED = SweepConfig(learning_rates=(0.1, 0.2, 0.4), epoch_factors=(1, 3))


@pytest.fixture(scope="module")
def material(cats, about_cats) -> Material:
    train = [{**example, "id": number} for number, example in enumerate(about_cats(1000))]
    held_out = [{**example, "id": -1 - number} for number, example in enumerate(about_cats(10, seed=1))]
    return Material("cats", cats, train, held_out, ("no", "yes"))


@pytest.fixture(scope="module")
def arms(pretrained) -> dict[str, Learner]:
    return {arm: open_learner(str(pretrained), scratch=arm == SCRATCH) for arm in ARMS}


@pytest.fixture
def untrained(arms) -> Learner:
    return arms[SCRATCH]


@pytest.fixture(scope="module")
def made_up() -> Iterator[list[dict]]:
    """Trials are made up: the pretrained arm gets 8 of 10 right, the other 5, or of others what the rate says."""
    asked: list[dict] = []

    def run(learner, task, examples, held_out, config, folder, *, labels, seed, accelerator):
        arm = PRETRAINED if isinstance(learner.start, str) else SCRATCH
        share = 0.8 if arm == PRETRAINED else 0.5
        if "sweep" in folder.parts:
            share = {0.1: 0.3, 0.2: 0.6, 0.4: 0.1}[config.learning_rate] + config.epochs / 100
        asked.append({"arm": arm, "learnt": [example["id"] for example in examples], "config": config, "seed": seed,
                      "judge": [example["id"] for example in held_out], "folder": folder})  # fmt: skip
        number = round(share * len(held_out))
        wrong = {"no": "yes", "yes": "no"}
        conclusions = [e["label"] if place < number else wrong[e["label"]] for place, e in enumerate(held_out)]
        curve = [{"epoch": 1, "step": 5, "train_loss": 0.5, "slice_accuracy": share, "best": 1}]
        folder.mkdir(parents=True, exist_ok=True)
        return Trial(conclusions, {"accuracy": number / len(held_out)}, curve, 60.0, len(examples))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "run_trial", run)
        yield asked


@pytest.fixture
def asked(made_up) -> list[dict]:
    """What is asked of trials from now on."""
    made_up.clear()
    return made_up


def test_the_sweep_finds_the_best_rate_then_the_best_epochs(material, untrained, asked, accelerator, tmp_path):
    found = sweep(untrained, material, 0.1, CONFIG, TRIED, tmp_path / "sweep", accelerator=accelerator)
    assert (found.learning_rate, found.epochs, found.min_steps) == (0.2, 6, 30)
    tried = [(one["config"].learning_rate, one["config"].epochs) for one in asked]
    assert tried == [(0.1, 2), (0.2, 2), (0.4, 2), (0.2, 6)]
    assert len({one["folder"] for one in asked}) == 4
    lines = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert [(line["learning_rate"], line["epoch_factor"]) for line in lines] == [(0.1, 1), (0.2, 1), (0.4, 1), (0.2, 3)]
    assert [line["figure"] for line in lines] == [0.32, 0.62, 0.12, 0.66]


@pytest.mark.parametrize(
    ("share", "most", "learnt"),
    [(0.01, None, 10), (0.1, None, 100), (1.0, None, 900), (1.0, 50, 50), (0.0001, None, 1)],
)
def test_the_sweep_judges_by_others_than_it_learns_from(
    material, untrained, asked, accelerator, tmp_path, share, most, learnt
):
    tried = SweepConfig(learning_rates=(0.1, 0.2), epoch_factors=(1,), max_train=most)
    sweep(untrained, material, share, CONFIG, tried, tmp_path / "sweep", accelerator=accelerator)
    for one in asked:
        assert (len(one["learnt"]), len(one["judge"])) == (learnt, 100)
        assert not set(one["learnt"]) & set(one["judge"])
        assert min(one["learnt"] + one["judge"]) >= 0, "no held-out example"
        assert max(Counter(one["learnt"] + one["judge"]).values()) == 1
    assert asked[0]["learnt"] == asked[1]["learnt"]
    assert asked[0]["judge"] == asked[1]["judge"]


def test_one_candidate_needs_no_sweep(material, untrained, asked, accelerator, tmp_path):
    tried = SweepConfig(learning_rates=(0.2,), epoch_factors=(3,))
    found = sweep(untrained, material, 0.1, CONFIG, tried, tmp_path / "sweep", accelerator=accelerator)
    assert (found.learning_rate, found.epochs, found.min_steps, asked) == (0.2, 6, 30, [])


def test_too_few_examples_to_sweep_on_are_refused(material, cats, untrained, asked, accelerator, tmp_path):
    few = Material("cats", cats, material.train[:499], material.held_out, material.labels)
    with pytest.raises(ValueError, match="needs 500 training examples or more, but cats has 499: give more, or one"):
        sweep(untrained, few, 1.0, CONFIG, TRIED, tmp_path / "sweep", accelerator=accelerator)


@pytest.fixture(scope="module")
def compared(material, arms, made_up, accelerator, tmp_path_factory):
    """The result, and what was asked of every trial."""
    made_up.clear()
    folder = tmp_path_factory.mktemp("compared")
    result = compare(arms, material, (0.1, 1.0), CONFIG, TRIED, folder, seeds=2, accelerator=accelerator)
    return result, list(made_up)


def test_both_arms_learn_from_the_same_examples_with_settings_of_their_own(compared):
    asked = compared[1]
    trials = [one for one in asked if "sweep" not in one["folder"].parts]
    assert len(trials) == 2 * 2 * 2
    assert len({one["folder"] for one in asked}) == len(asked)
    for one, other in zip(trials[::2], trials[1::2], strict=True):
        assert (one["arm"], other["arm"]) == ARMS
        assert (one["learnt"], one["judge"], one["seed"]) == (other["learnt"], other["judge"], other["seed"])
        assert one["config"] == CONFIG
        assert (other["config"].learning_rate, other["config"].epochs) == (0.2, 6)
        assert max(one["judge"]) < 0, "scored on all that is held out"
        assert len(one["judge"]) == 10
    sizes = [len(one["learnt"]) for one in trials]
    assert sizes == [100] * 4 + [1000] * 4
    assert trials[0]["learnt"] != trials[2]["learnt"], "every seed draws its own share"
    swept = [one for one in asked if "sweep" in one["folder"].parts]
    assert {one["arm"] for one in swept} == {SCRATCH}
    assert min(place for one in swept for place in one["judge"] + one["learnt"]) >= 0, "no held-out example"


def test_figures_are_paired_over_seeds_and_examples(compared):
    result = compared[0]
    right = {
        arm: np.array([[place < number for place in range(10)]] * 2) for arm, number in zip(ARMS, (8, 5), strict=True)
    }
    wanted = {arm: bootstrap(right[arm], rng=np.random.default_rng(0)) for arm in ARMS}
    apart = bootstrap(right[PRETRAINED], right[SCRATCH], rng=np.random.default_rng(0))
    assert apart[0] == pytest.approx(0.3)
    for share, labels in ((0.1, 100), (1.0, 1000)):
        found = result["shares"][share]
        assert (found["labels"], found["learning_rate"], found["epochs"]) == (labels, 0.2, 6)
        assert found["difference"] == pytest.approx(apart)
        for arm in ARMS:
            assert found[arm] == pytest.approx(wanted[arm])
            assert found["seconds"][arm] == 120.0
    assert result["baseline"] == ["most frequent label", 0.6]


@pytest.mark.parametrize(("shares", "seeds"), [((), 1), ((0.0,), 1), ((1.0, 1.5), 1), ((1.0,), 0)])
def test_nothing_is_learnt_for_a_comparison_that_cannot_be(material, arms, asked, accelerator, tmp_path, shares, seeds):
    tried = SweepConfig(learning_rates=(0.2,), epoch_factors=(1,))
    with pytest.raises(ValueError, match=r"above 0 and at most 1 are wanted|--seeds must be at least 1"):
        compare(arms, material, shares, CONFIG, tried, tmp_path, seeds=seeds, accelerator=accelerator)
    assert not asked


@pytest.mark.parametrize(
    "options", [{"learning_rates": ()}, {"learning_rates": (0.0,)}, {"epoch_factors": ()}, {"epoch_factors": (0,)},
                {"max_train": 0}]
)  # fmt: skip
def test_impossible_sweeps_are_refused(options):
    with pytest.raises(ValueError, match="learning rates above 0 and epoch factors of at least 1 are wanted"):
        SweepConfig(**options)


def size_of(picture) -> tuple[int, int]:
    """Width and height of a PNG, which stand at its start."""
    head = picture.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


def test_the_table_the_file_and_the_pictures(compared, tmp_path, capsys):
    result = compared[0]
    report({"cats": result}, tmp_path, title="made-up-model: pretrained and from scratch, 2 seeds")
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    first = next(row for row in rows if row and row[0] == "cats (accuracy)")
    found = result["shares"][0.1]
    cells = [
        f"({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"
        for sign, (_, low, high) in (("", found[PRETRAINED]), ("", found[SCRATCH]), ("+", found["difference"]))
    ]
    assert first == ["cats (accuracy)", "100", "80.0", cells[0], "50.0", cells[1], "+30.0", cells[2], "0.2, 6, 100",
                     "60.0", "(most frequent label)"]  # fmt: skip
    assert [row[0] for row in rows if row and row[0] == "1,000"] == ["1,000"]
    kept = json.loads((tmp_path / "comparison.json").read_text())
    assert kept["cats"]["shares"]["0.1"]["difference"] == list(result["shares"][0.1]["difference"])
    for name in ("labels.png", "curves.png"):
        width, height = size_of(tmp_path / name)
        assert 500 <= width <= 4000, name
        assert 300 <= height <= 2000, name

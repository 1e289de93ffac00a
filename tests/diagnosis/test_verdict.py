"""Diagnosis of curves made by hand: each verdict, its reasons, and what is said for want of evidence."""

from dataclasses import replace

import pytest

from selfsup.diagnosis import Curves, Verdict, curves_of, diagnose
from selfsup.diagnosis.advice import GIVE_FLOOR, GIVE_LARGER, GIVE_LONGER, GIVE_SLICE, GIVE_TEST, HOLD_OUT_MORE
from selfsup.diagnosis.curves import Points


def run(
    train: float,
    held_out: float | None = None,
    test: float | None = None,
    *,
    floor: float | None = 0.0,
    blind: float | None = 1.0,
) -> Curves:
    """Ten epochs, from 1 at once to `train`; blind 1 and floor 0 unless told otherwise."""
    curve: Points = [(1, 1.0), *((epoch, train) for epoch in range(2, 11))]
    return Curves(
        curve,
        [] if held_out is None else [(epoch, held_out) for epoch in range(1, 11)],
        [] if test is None else [(10, test)],
        floor=floor,
        blind=blind,
    )


STUCK, GOOD = run(0.8, 0.82, 0.83), run(0.05, 0.1, 0.12)
FALLING = Curves([(epoch, 1 - epoch / 30) for epoch in range(1, 11)], floor=0.0, blind=1.0)


@pytest.mark.parametrize(
    ("curves", "larger", "longer", "verdict"),
    [
        (STUCK, GOOD, STUCK, Verdict.MODEL_BIAS),
        (STUCK, GOOD, None, Verdict.MODEL_BIAS),
        (STUCK, STUCK, GOOD, Verdict.OPTIMISATION),
        (STUCK, None, GOOD, Verdict.OPTIMISATION),
        (STUCK, GOOD, GOOD, Verdict.OPTIMISATION),  # the same model can do it, whatever a larger one can
        (STUCK, run(0.5), run(0.55), Verdict.MODEL_BIAS),  # neither half of it, the larger one more
        (STUCK, run(0.55), run(0.5), Verdict.OPTIMISATION),
        (STUCK, run(0.9), None, Verdict.OPTIMISATION),  # He et al. 2016, figure 1: 56 layers above 20 layers
        (STUCK, run(0.85), None, Verdict.UNDECIDED),
        (run(0.97), run(0.96), None, Verdict.OPTIMISATION),  # nothing is learnt, whatever the size
        (run(0.97), run(0.96), run(0.9), Verdict.OPTIMISATION),
        (run(0.97), GOOD, run(0.9), Verdict.MODEL_BIAS),
        (STUCK, run(0.75), run(0.75), Verdict.UNDECIDED),  # something is learnt, and nothing helps
        (run(1.3), GOOD, None, Verdict.OPTIMISATION),  # a guess that any model can make is better
        (FALLING, None, None, Verdict.OPTIMISATION),
        (FALLING, GOOD, None, Verdict.UNDECIDED),  # too small or too early?
        (run(0.05, 0.9, 0.95), None, None, Verdict.OVERFITTING),
        (run(0.05, 0.5, 0.8), None, None, Verdict.OVERFITTING),  # the larger of two gaps
        (run(0.05, 0.9), None, None, Verdict.OVERFITTING),
        (run(0.05, 0.1, 0.9), None, None, Verdict.MISMATCH),
        (run(0.05, 0.4, 0.9), None, None, Verdict.MISMATCH),
        (run(0.6, 1.9, 1.9), GOOD, STUCK, Verdict.MODEL_BIAS),  # what is not learnt is not learnt by heart
        (run(0.3, 0.9, 0.9), GOOD, STUCK, Verdict.OVERFITTING),
        (GOOD, None, None, Verdict.HEALTHY),
        (GOOD, run(0.5), GOOD, Verdict.HEALTHY),
        (run(0.05, 0.1, 0.01), None, None, Verdict.HEALTHY),  # an easier test split harms nobody
    ],
)
def test_verdicts(curves, larger, longer, verdict):
    assert diagnose(curves, larger=larger, longer=longer).verdict is verdict


def test_parts_add_up_to_what_is_missing_on_test():
    """Floor 1, blind 3: of 2 nats to learn, 0.1 + 0.5 + 0.3 nats are missing."""
    parts = diagnose(run(1.1, 1.6, 1.9, floor=1.0, blind=3.0)).parts
    assert parts == pytest.approx({"training": 0.05, "slice": 0.25, "test": 0.15})
    assert sum(parts.values()) == pytest.approx((1.9 - 1.0) / (3.0 - 1.0))


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e5])
@pytest.mark.parametrize("known", ["both", "floor", "blind", "none"])
def test_the_unit_of_a_loss_does_not_matter(factor, known):
    def verdict(*runs: Curves | None, by: float):
        given = [
            run and Curves(
                train=[(place, by * loss) for place, loss in run.train],
                slice=[(place, by * loss) for place, loss in run.slice],
                test=[(place, by * loss) for place, loss in run.test],
                floor=0.01 * by if known in ("both", "floor") else None,
                blind=by if known in ("both", "blind") else None,
            )
            for run in runs
        ]  # fmt: skip
        assert given[0]
        return diagnose(given[0], larger=given[1], longer=given[2])

    for curves in (STUCK, GOOD, FALLING, run(0.05, 0.9, 0.95), run(0.05, 0.1, 0.9), run(0.4, 0.5, 0.58), run(1.2)):
        for others in [(None, None), (GOOD, None), (run(0.95), None), (None, GOOD), (GOOD, STUCK)]:
            told, scaled = (verdict(curves, *others, by=by) for by in (1.0, factor))
            assert told.verdict is scaled.verdict
            assert told.parts == pytest.approx(scaled.parts, abs=1e-12)


def test_evidence_has_the_numbers():
    found = diagnose(STUCK, larger=GOOD, longer=run(0.72))
    assert found.evidence == (
        "There is 1 to learn, from 1 (blind) down to 0 (floor).",
        "Train comes to 0.8: 80% of what there is to learn is missing.",
        "The slice cut from train is at 0.82, +2% from train.",
        "Test is at 0.83, +1% from the slice.",
        "The same model, otherwise trained, comes to 0.72: +10% of what was missing is made up.",
        "The larger one comes to 0.05: +94% of what was missing is made up.",
        "A larger model trained alike does better: this one has come to its end.",
    )
    assert "wider or deeper" in found.advice[0]
    assert "Train comes to 0.1, below the floor." in diagnose(run(0.1, 0.5, floor=0.2)).evidence
    assert "Train comes to 0.4: at least 0% of what" in diagnose(run(0.4, floor=None)).evidence[1]


@pytest.mark.parametrize(
    ("curves", "others", "wanted"),
    [
        (STUCK, {}, (GIVE_LARGER, GIVE_LONGER)),
        (STUCK, {"larger": STUCK}, (GIVE_LONGER,)),
        (STUCK, {"longer": STUCK}, (GIVE_LARGER,)),
        (run(0.05, None, 0.9), {}, (GIVE_SLICE,)),  # overfitting or mismatch
        (run(0.05), {}, (GIVE_SLICE, GIVE_TEST)),
        (run(0.6, 0.62, 0.63, floor=None), {}, (GIVE_FLOOR, GIVE_LARGER, GIVE_LONGER)),  # is 0.6 good?
        (run(0.95, 0.95, floor=None), {"larger": run(0.96), "longer": run(0.95)}, (GIVE_FLOOR,)),  # nothing learnt
        (FALLING, {"larger": GOOD}, (GIVE_LONGER,)),
        (run(0.1, 0.22, 0.3), {}, (HOLD_OUT_MORE,)),  # 10 + 12 + 8 %
    ],
)
def test_what_would_decide_is_asked_for(curves, others, wanted):
    found = diagnose(curves, **others)
    assert found.verdict is Verdict.UNDECIDED
    assert found.advice == wanted


def test_without_a_floor_other_runs_stand_in():
    unknown = replace(STUCK, floor=None)
    assert diagnose(unknown, larger=GOOD).verdict is Verdict.MODEL_BIAS
    assert diagnose(unknown, longer=GOOD).verdict is Verdict.OPTIMISATION
    assert diagnose(replace(run(0.4), floor=None), larger=run(0.6)).verdict is Verdict.OPTIMISATION
    assert (
        diagnose(replace(run(0.4, 0.45, 0.5), floor=None), larger=run(0.38), longer=run(0.4)).verdict is Verdict.HEALTHY
    )
    assert diagnose(replace(run(0.05, 0.1), floor=None)).advice == (GIVE_TEST,)  # small above any floor


def test_a_slice_below_train_tells_what_train_came_to():
    """A mean over an epoch in which the model learnt, with dropout: 0.5; the slice after it: 0.15."""
    assert run(0.5, 0.15).fit == 0.15
    assert diagnose(run(0.5, 0.15, 0.17)).verdict is Verdict.HEALTHY


def test_the_weights_that_were_scored_are_judged():
    """The best epoch, the second, was kept: later ones do not count against it, but show that train can be fitted."""
    train, held_out = [(1, 0.5), (2, 0.3), (3, 0.02)], [(1, 0.3), (2, 0.15), (3, 0.9)]
    kept = Curves(train, held_out, [(2, 0.16)], floor=0.0, blind=1.0)
    assert diagnose(kept).verdict is Verdict.HEALTHY
    last = diagnose(replace(kept, test=[(3, 0.95)]))
    assert last.verdict is Verdict.OVERFITTING
    assert "It was least at epoch 2: 0.15." in last.evidence


def test_one_step_at_the_end_says_little():
    noisy = Curves([(step, 0.05) for step in range(99)] + [(99, 0.9)], [(99, 0.06)], floor=0.0, blind=1.0)
    assert noisy.fit == 0.05


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": []}, "a training curve of 2 points or more is wanted, but 0 came: train longer or log more often"),
        ({"train": [(1, 0.5)]}, "2 points or more is wanted, but 1 came"),
        ({"train": [(1, 0.5), (2, float("nan"))]}, "but the training loss at 2 is nan: lower the learning rate"),
        ({"slice": [(1, float("inf"))]}, "but the slice loss at 1 is inf"),
        ({"test": [(float("nan"), 1.0)]}, "the test loss at nan is 1"),
        ({"train": [(1, 0.5), (3, 0.4), (2, 0.3)]}, "points in order are wanted, but the training curve goes back"),
        ({"slice": [(1, 0.5), (1, 0.4)]}, "but the slice curve goes back: give each place once"),
        ({"floor": 1.0, "blind": 0.7}, r"a finite floor below blind is wanted, but floor 1.0 and blind 0.7 came"),
        ({"floor": float("nan")}, "a finite floor below blind is wanted"),
    ],
)
def test_wrong_curves_are_refused(given, message):
    with pytest.raises(ValueError, match=message) as refused:
        Curves(**({"train": [(1, 0.5), (2, 0.4)]} | given))
    assert "\n" not in str(refused.value)


def test_losses_without_a_scale_are_refused():
    with pytest.raises(ValueError, match="losses above the floor are wanted, but all are below 2: give blind"):
        diagnose(run(0.5, floor=2.0, blind=None))
    with pytest.raises(ValueError, match="a floor is wanted where losses are not above 0, but none came with -3"):
        diagnose(run(-3.0, floor=None))


def test_logs_of_finetuning_and_pretraining_are_read():
    tuned = curves_of(
        [
            {"epoch": 1, "step": 9, "train_loss": 0.6, "slice_loss": 0.5, "slice_accuracy": 0.7, "test_loss": None},
            {"epoch": 2, "step": 18, "train_loss": 0.4, "slice_loss": 0.45},
            {"epoch": 2, "step": 18, "test_loss": 0.47},
        ],
        blind=0.7,
    )  # fmt: skip
    assert tuned == Curves([(1, 0.6), (2, 0.4)], [(1, 0.5), (2, 0.45)], [(2, 0.47)], blind=0.7)
    pretrained = curves_of(
        [{"step": 0, "validation_loss": 9.0}, {"step": 1, "loss": 9.0, "tokens_loss": 8.0}, {"step": 5, "loss": 6.0},
         {"step": 5, "validation_loss": 6.5}, {"note": "no step"}]
    )  # fmt: skip
    assert pretrained == Curves([(1, 9.0), (5, 6.0)], [(0, 9.0), (5, 6.5)], [], unit="step")

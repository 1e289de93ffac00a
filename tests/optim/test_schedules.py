"""The learning rate, worked out by hand."""

import math

import pytest

from selfsup.optim.schedules import factor


def curve(
    schedule, num_steps: int | None, *, warmup_steps: int = 0, until: int | None = None, **options
) -> list[float]:
    steps = range(until or num_steps or 0)
    return [factor(s, schedule=schedule, warmup_steps=warmup_steps, num_steps=num_steps, **options) for s in steps]


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("constant", [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        ("linear", [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.25, 0.5, 0.75, 1, 1, 0.5 + 0.5 * math.sqrt(0.5), 0.5, 0.5 - 0.5 * math.sqrt(0.5)]),
        ("wsd", [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]),  # the second half cools down
    ],
)
def test_by_hand(schedule, wanted):
    assert curve(schedule, 8, warmup_steps=4) == pytest.approx(wanted)


def test_wsd_is_flat_until_its_last_share():
    assert curve("wsd", 10, warmup_steps=2, cooldown_share=0.4) == pytest.approx(
        [0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    )
    assert curve("wsd", 10, cooldown_share=0.0) == [1.0] * 10
    assert curve("wsd", 4, cooldown_share=1.0) == [1.0, 0.75, 0.5, 0.25]


def test_a_cooldown_waits_for_the_warm_up():
    assert curve("wsd", 6, warmup_steps=4, cooldown_share=0.9) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.5])


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "wsd"])
def test_the_warm_up_does_not_depend_on_the_length_of_the_run(schedule):
    unknown = curve(schedule, None, warmup_steps=50, until=50)
    assert unknown == curve(schedule, 1000, warmup_steps=50, until=50) == [(step + 1) / 50 for step in range(50)]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "wsd"])
def test_it_falls_to_nothing_and_no_further(schedule):
    values = curve(schedule, 500, warmup_steps=20)
    peak = values.index(1.0)
    assert values[peak:] == sorted(values[peak:], reverse=True)
    assert 0 < values[-1] < 0.02
    assert factor(500, schedule=schedule, warmup_steps=20, num_steps=500) == pytest.approx(0)
    assert factor(900, schedule=schedule, warmup_steps=20, num_steps=500) == pytest.approx(0)

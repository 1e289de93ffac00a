"""Processes that take turns: in order, timed, and told when one of them ends."""

import sys

import pytest

from selfsup.benchmark.turns import Contestant, contest

STEPS = """
import sys, time
from selfsup.benchmark.turns import Turn
turn = Turn.from_environment()
turn.done()
for step in range({last}):
    time.sleep({seconds})
    with open({log!r}, "a") as log:
        log.write({name!r})
    turn.done()
sys.exit("no steps left")
"""


def contestant(tmp_path, name: str, *, seconds: float = 0.0, last: int = 100) -> Contestant:
    program = STEPS.format(name=name, seconds=seconds, last=last, log=str(tmp_path / "order"))
    return Contestant([sys.executable, "-c", program], tmp_path / f"{name}.log")


def test_all_step_in_turn_and_are_timed(tmp_path):
    entered = {"slow": contestant(tmp_path, "s", seconds=0.2), "fast": contestant(tmp_path, "f", seconds=0.01)}
    assert list(contest(entered, 4, warm_up=2)) == [1, 2, 3, 4, 5, 6]
    assert (tmp_path / "order").read_text() == 6 * "sf"
    assert [len(one.seconds) for one in entered.values()] == [4, 4]
    assert min(entered["slow"].seconds) >= 0.2
    assert min(entered["fast"].seconds) < 0.2
    assert all(2**20 < one.memory < 2**31 for one in entered.values())
    assert all(0 <= share <= 1.5 for one in entered.values() for share in one.disturbed)


def test_who_ends_is_named_with_its_last_words(tmp_path):
    entered = {"first": contestant(tmp_path, "a"), "second": contestant(tmp_path, "b", last=2)}
    with pytest.raises(RuntimeError, match="second ended before its last step: no steps left"):
        list(contest(entered, 5, warm_up=0))
    entered = {"mute": Contestant([sys.executable, "-c", ""], tmp_path / "mute.log")}
    with pytest.raises(RuntimeError, match="mute ended before its last step: it printed nothing"):
        list(contest(entered, 1, warm_up=0))

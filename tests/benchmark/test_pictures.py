"""What of a step of pictures is input: seconds that add up, and a table of shares by hand."""

from accelerate import Accelerator

from selfsup.benchmark import pictures as bench
from selfsup.data.album import PictureDataConfig, called, first_look


def test_every_case_takes_steps():
    data, look = PictureDataConfig(batch_size=8, max_pictures=40), first_look(called("digits"), {}, split="train")
    for case in bench.cases().values():
        (lap,) = bench.laps(case, "digits", look, data, rounds=1, accelerator=Accelerator(cpu=True))
        assert min(lap.drawn, lap.altered, lap.taken) > 0


def test_shares_by_hand():
    shown = bench.report({"steady": [bench.Lap(0.01, 0.01, 0.09)] * 5}, 10)
    line = next(line for line in shown.splitlines() if line.startswith("steady"))
    assert line.split() == ["steady", "500", "100", "10.0", "10.0", "100.0", "20.0%", "(20.0%", "to", "20.0%)"]

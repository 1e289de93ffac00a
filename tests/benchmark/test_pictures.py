"""What of a step of pictures is input: seconds that add up, and a table of shares by hand."""

import pytest
from accelerate import Accelerator

from selfsup.benchmark import pictures as bench
from selfsup.data.album import Look, PictureDataConfig, called, first_look
from selfsup.data.picture_plan import PictureStage


def test_every_case_takes_steps():
    data, look = PictureDataConfig(batch_size=8, max_pictures=40), first_look(called("digits"), {}, split="train")
    for case in bench.cases(look).values():
        (lap,) = bench.laps(case, "digits", look, data, rounds=1, accelerator=Accelerator(cpu=True))
        assert min(lap.drawn, lap.altered, lap.taken) > 0


def test_patches_fit_and_stages_are_refused():
    sizes = [bench.cases(Look(side, 8, 1))["masked autoencoder"].fields["patch_size"] for side in (28, 9, 50, 11)]
    assert sizes == [4, 3, 2, 1]
    look, stages = Look(8, 8, 1), PictureDataConfig(stages=[PictureStage(8)])
    case = bench.cases(look)["masked autoencoder"]
    with pytest.raises(ValueError, match=r"leave --data\.stages out"):
        next(bench.laps(case, "digits", look, stages, rounds=1, accelerator=Accelerator(cpu=True)))


def test_shares_by_hand():
    shown = bench.report({"steady": [bench.Lap(0.01, 0.01, 0.09)] * 5}, 10)
    line = next(line for line in shown.splitlines() if line.startswith("steady"))
    assert line.split() == ["steady", "500", "100", "10.0", "10.0", "100.0", "20.0%", "(20.0%", "to", "20.0%)"]

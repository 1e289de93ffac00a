"""A loss that is no number ends a run with a sentence, and harms nothing."""

import pytest

TRAIN = {"num_steps": 10, "save_every": 3, "eval_every": 4, "keep": 9}


@pytest.mark.parametrize("num_processes", [1, 2])
def test_the_last_good_checkpoint_is_named_and_whole(launch, tmp_path, num_processes):
    settings = {"num_processes": num_processes, "batch_size": 8, "train": TRAIN}
    launch("pretrain", tmp_path / "good", **settings)
    broken = launch("pretrain", tmp_path / "broken", **settings, poison=8)
    kept = sorted((tmp_path / "broken" / "checkpoints").iterdir())[-1]
    assert kept.name == "checkpoint-00000006"
    assert "at step 8 loss was nan, order_loss was nan, " in broken["error"]
    assert broken["error"].endswith(f"the last good checkpoint is {kept}")
    weights, wanted = (run / "checkpoints" / kept.name for run in (tmp_path / "broken", tmp_path / "good"))
    for name in ("model.safetensors", "model.optimizer.safetensors"):
        assert (weights / name).read_bytes() == (wanted / name).read_bytes()


def test_before_the_first_checkpoint_it_is_said_that_there_is_none(launch, tmp_path):
    broken = launch("pretrain", tmp_path, batch_size=8, train=TRAIN, poison=1)
    assert "at step 1 loss was nan, order_loss was nan, " in broken["error"]
    assert broken["error"].endswith("there is no checkpoint yet")
    assert not (tmp_path / "checkpoints").exists()

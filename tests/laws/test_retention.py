"""A run keeps the last checkpoints and the best, and never has more on disk than these and the one being written."""

from selfsup.training import checkpoint
from selfsup.training.report import read_metrics


def test_a_run_leaves_the_last_two_and_the_best(launch, tmp_path):
    train = {"num_steps": 30, "eval_every": 5, "save_every": 2, "keep": 2}
    optim = {"learning_rate": 3.0, "warmup_steps": 0, "schedule": "constant"}  # so large that it gets worse
    launch("pretrain", tmp_path, train=train, optim=optim)
    lines = [line for line in read_metrics(tmp_path / "metrics.jsonl") if line["step"] and "validation_loss" in line]
    best = min(lines, key=lambda line: line["validation_loss"])["step"]
    assert best < 28
    left = [folder.name for folder in sorted((tmp_path / "checkpoints").iterdir())]
    assert left == [f"checkpoint-{step:08d}" for step in (best, 28, 30)]


def test_disk_holds_at_most_these_and_one_that_is_being_written(tmp_path, monkeypatch):
    held = []
    sync = checkpoint._sync

    def listen(path):
        held.append(len(list(tmp_path.iterdir())))
        sync(path)

    monkeypatch.setattr(checkpoint, "_sync", listen)  # called for every file, and once after the renaming
    for step in range(1, 20):
        checkpoint.save_checkpoint(tmp_path, step, {}, {}, {})
        checkpoint.prune(tmp_path, 3, best=step // 7 * 7 or None)
        best = {step // 7 * 7} if step >= 7 else set()
        names = {f"checkpoint-{kept:08d}" for kept in best | set(range(max(1, step - 2), step + 1))}
        assert {folder.name for folder in tmp_path.iterdir()} == names
    assert max(held) == 3 + 1 + 1

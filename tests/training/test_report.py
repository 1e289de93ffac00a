"""The log, and its curves."""

import json
from types import SimpleNamespace
from typing import Any

from selfsup.training.report import Report, read_metrics


class Recorder(SimpleNamespace):
    """An accelerator as far as a report sees one."""

    def __init__(self, main: bool = True) -> None:
        super().__init__(is_main_process=main, logged=[])

    def log(self, figures, step) -> None:
        self.logged.append((step, figures))


LINES: list[dict[str, Any]] = [
    {"step": 0, "validation_loss": 3.7, "validation_tokens_loss": 3.0, "validation_order_loss": 0.7}
    | {"validation_order_accuracy": 0.5},
    *({"step": s, "loss": 4 - s / 10, "tokens_loss": 3 - s / 10, "order_loss": 0.7, "gradient_norm": 1.0 + s}
      | {"learning_rate": s / 100} for s in range(1, 6)),
    {"step": 5, "validation_loss": 3.2, "validation_tokens_loss": 2.5, "validation_order_loss": 0.7}
    | {"validation_order_accuracy": 0.6},
]  # fmt: skip


def test_lines_come_back_as_they_were_logged(tmp_path, capsys):
    accelerator = Recorder()
    report = Report(tmp_path, accelerator)
    for line in LINES:
        report.log(line["step"], {key: value for key, value in line.items() if key != "step"})
    report.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == LINES
    assert [step for step, _ in accelerator.logged] == [line["step"] for line in LINES]
    assert (tmp_path / "curves.png").is_file()


def test_minutes_are_settled_in_the_record(tmp_path):
    (tmp_path / "run.yaml").write_text("# versions\ncorpus: a\ntrain:\n  num_steps: null\n  max_minutes: 6.0\n")
    Report(tmp_path, Recorder()).settle(78)
    assert (tmp_path / "run.yaml").read_text() == (
        "# versions\ncorpus: a\ntrain:\n  num_steps: 78\n  max_minutes: null\n"
    )


def test_a_last_line_that_was_cut_is_left_out(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_metrics(file) == [{"step": 1, "loss": 2.0}]
    assert read_metrics(tmp_path / "none.jsonl") == []
    for garbage in (b"\xff\xfe", b"5", b'{"loss": 2.0}'):  # what no run of ours wrote
        file.write_bytes(b'{"step": 1, "loss": 2.0}\n' + garbage + b"\n")
        assert read_metrics(file) == [{"step": 1, "loss": 2.0}]


def test_going_on_drops_what_a_killed_attempt_logged_later(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": step}) + "\n" for step in (1, 2, 3, 4)) + '{"st'
    )
    report = Report(tmp_path, Recorder(), first_step=2)
    report.log(3, {"again": True})
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1}, {"step": 2}, {"step": 3, "again": True}]
    Report(tmp_path, Recorder())  # a new run begins a new log
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_only_the_main_process_writes(tmp_path, capsys):
    accelerator = Recorder(main=False)
    report = Report(tmp_path / "run", accelerator)
    report.log(1, {"loss": 1.0})
    report.say("something")
    report.close()
    assert not (tmp_path / "run").exists()
    assert "something" not in capsys.readouterr().out
    assert accelerator.logged == [(1, {"loss": 1.0})]  # trackers look after themselves

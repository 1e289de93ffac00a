"""Arguments from flags and YAML, errors as one sentence, and the folder of a run."""

import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from accelerate.utils import DynamoBackend

from selfsup.objectives import MaskedTokens, Objective
from selfsup.training.command import PATIENCE, check_compiler, claim, command, explain, machine
from selfsup.training.loop import Stopped


@dataclass(frozen=True)
class Options:
    """Some options.

    Args:
        size: a number.
        note: or nothing.
        parts: numbers.
    """

    size: int = 3
    note: str | None = None
    parts: list[float] = field(default_factory=list)


seen: dict[str, Any] = {}


def main(
    text: str, options: Options, objectives: dict[str, Objective], folder: Path | None = None, arguments: str = ""
) -> None:
    """Do something."""
    seen.update(text=text, options=options, objectives=objectives, folder=folder, arguments=arguments)
    if text == "wrong":
        raise ValueError("a right text was wanted, but wrong came: write it anew")
    if text == "missing":
        raise FileNotFoundError(2, "No such file", "x.txt")
    if text == "stopped":
        raise Stopped(15, 7)
    if text == "bug":
        raise KeyError("text")
    if text == "ctrl-c":
        raise KeyboardInterrupt
    if text == "memory":
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried")
    if text == "parted":
        raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:2")


@pytest.fixture
def run(monkeypatch, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "text: from the recipe\noptions:\n  size: 5\nobjectives:\n  words:\n    class_path: MaskedTokens\n"
    )

    def call(*flags: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["made_up.py", *flags])
        command(main, recipe=recipe)
        return dict(seen)

    return call


def test_flags_win_over_yaml_and_yaml_over_defaults(run, tmp_path):
    assert (run()["text"], run()["options"]) == ("from the recipe", Options(size=5))
    config = tmp_path / "mine.yaml"
    config.write_text("text: from my file\noptions:\n  size: 7\n  note: mine\n")
    assert run("--config", str(config))["options"] == Options(size=7, note="mine")
    given = run("--config", str(config), "--options.size", "9", "--objectives.words.rate", "0.4")
    assert given["options"] == Options(size=9, note="mine")
    assert given["text"] == "from my file"
    assert isinstance(given["objectives"]["words"], MaskedTokens)
    assert given["objectives"]["words"].rate == 0.4


def test_the_record_of_a_run_can_be_fed_back(run, tmp_path):
    flags = [
        "--text",
        "a: #b",
        "--options.parts",
        "[0.5, 1e-5]",
        "--objectives.words.unit",
        "span",
        "--folder",
        "runs/x",
    ]
    first = run(*flags)
    record = tmp_path / "run.yaml"
    record.write_text(first["arguments"])
    again = run("--config", str(record))
    assert again["options"] == first["options"] == Options(5, None, [0.5, 1e-5])
    assert (again["text"], again["folder"]) == ("a: #b", Path("runs/x"))
    assert vars(again["objectives"]["words"]) == vars(first["objectives"]["words"])
    assert yaml.safe_load(again["arguments"]) == yaml.safe_load(first["arguments"])


def test_the_record_names_versions_and_command(run):
    header = [line for line in run("--text", "two words")["arguments"].splitlines() if line.startswith("#")]
    assert f"torch {version('torch')}" in header[0]
    assert header[1].startswith("# commit ")
    assert header[2] == "# made_up.py --text 'two words'"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("wrong", "error: a right text was wanted, but wrong came: write it anew\n"),
        (
            "missing",
            "error: x.txt cannot be used (No such file): check that the path is right and that you may read and write "
            "there\n",
        ),
    ],
)
def test_an_error_is_one_sentence(run, capsys, monkeypatch, text, sentence):
    with pytest.raises(SystemExit) as end:
        run("--text", text)
    assert (end.value.code, capsys.readouterr().err) == (1, sentence)
    monkeypatch.setenv("SELFSUP_DEBUG", "1")  # with its traceback
    with pytest.raises((ValueError, FileNotFoundError)):
        run("--text", text)


def test_a_bug_keeps_its_traceback(run):
    with pytest.raises(KeyError):
        run("--text", "bug")


def test_a_stopped_run_ends_as_the_signal_would(run, capsys):
    with pytest.raises(SystemExit) as end:
        run("--text", "stopped")
    assert end.value.code == 128 + 15
    assert capsys.readouterr().err == "stopped by signal 15 after step 7; --resume true continues from there\n"


def test_ctrl_c_ends_at_once(run, capsys):
    with pytest.raises(SystemExit) as end:
        run("--text", "ctrl-c")
    assert end.value.code == 128 + 2
    assert capsys.readouterr().err.startswith("error: stopped at once by Ctrl-C; what was saved before is whole: the ")


def test_too_little_memory_is_no_bug(run, capsys):
    with pytest.raises(SystemExit) as end:
        run("--text", "memory")
    assert end.value.code == 1
    assert "too little memory for this step: lower micro_batch_size" in capsys.readouterr().err
    assert explain(OSError(28, "No space left on device", "a", None, "b")) == (
        "b cannot be used (No space left on device): free some disk or choose another output"
    )


class TestManyProcesses:
    """The main process speaks; the others wait for the launcher to end them, and speak if it does not."""

    @pytest.fixture
    def waited(self, monkeypatch):
        waited: list[float] = []
        monkeypatch.setattr("time.sleep", waited.append)
        monkeypatch.setenv("WORLD_SIZE", "2")
        return waited

    @pytest.mark.parametrize(("process", "seconds"), [("0", []), ("1", [PATIENCE])])
    def test_a_wrong_argument_is_told_once(self, run, capsys, monkeypatch, waited, process, seconds):
        monkeypatch.setenv("RANK", process)
        for flags, code in ((("--txt", "x"), 2), (("--text", "wrong"), 1)):
            with pytest.raises(SystemExit) as end:
                run(*flags)
            assert (end.value.code, waited) == (code, seconds)
            assert capsys.readouterr().err.startswith("error: ")
            waited.clear()

    def test_whoever_is_left_alone_waits_too(self, run, capsys, monkeypatch, waited):
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(SystemExit):
            run("--text", "parted")
        assert waited == [PATIENCE]
        assert "another process of this run has ended, so this one cannot go on" in capsys.readouterr().err
        monkeypatch.setenv("WORLD_SIZE", "1")
        with pytest.raises(RuntimeError, match="Connection closed"):
            run("--text", "parted")

    def test_whoever_is_done_waits_for_the_others(self, run, monkeypatch, waited):
        met: list[str] = []
        monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
        monkeypatch.setattr("accelerate.PartialState.wait_for_everyone", lambda state: met.append("all"))
        run("--text", "right")
        assert met == ["all"]
        with pytest.raises(SystemExit):  # who failed does not wait for those that may never come
            run("--text", "wrong")
        assert met == ["all"]

    @pytest.mark.parametrize("text", ["stopped", "ctrl-c"])
    def test_only_the_main_one_says_that_it_was_stopped(self, run, capsys, monkeypatch, waited, text):
        monkeypatch.setenv("RANK", "1")
        with pytest.raises(SystemExit):
            run("--text", text)
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "flags", [("--txt", "x"), ("--options.sise", "3"), ("--options.size", "x"), ("--objectives.words.rte", "1")]
)
def test_misspelt_arguments_are_refused(run, capsys, flags):
    with pytest.raises(SystemExit) as end:
        run(*flags)
    assert end.value.code == 2
    assert flags[0].split(".")[-1].removeprefix("--") in capsys.readouterr().err


def accelerator(*, dynamo: str = "NO", **fields: Any) -> Any:
    fields = {
        "state": SimpleNamespace(dynamo_plugin=SimpleNamespace(backend=DynamoBackend(dynamo))),
        "print": print,
        "is_main_process": True,
        "num_processes": 1,
        "mixed_precision": "no",
        "device": torch.device("cpu"),
    } | fields
    return SimpleNamespace(
        wait_for_everyone=lambda: None, reduce=lambda ones, _: ones * fields["num_processes"], **fields
    )


class TestClaim:
    def test_a_folder_is_made_and_told_what_runs_in_it(self, tmp_path):
        claim(tmp_path / "new" / "run", "text: a\n", accelerator(), resume=False)
        assert (tmp_path / "new" / "run" / "run.yaml").read_text() == "text: a\n"

    def test_a_folder_with_checkpoints_is_taken(self, tmp_path):
        claim(tmp_path, "text: a\n", accelerator(), resume=False)
        claim(tmp_path, "text: b\n", accelerator(), resume=False)  # failed before its first checkpoint
        (tmp_path / "checkpoints" / "checkpoint-00000010").mkdir(parents=True)
        with pytest.raises(ValueError, match="holds a run already: add --resume true to go on with it, or"):
            claim(tmp_path, "text: c\n", accelerator(), resume=False)
        claim(tmp_path, "text: c\nresume: true\n", accelerator(), resume=True)
        assert (tmp_path / "run.yaml").read_text() == "text: b\n"  # until it is known that the run may go on
        assert (tmp_path / ".asked.yaml").read_text() == "text: c\nresume: false\n"

    def test_the_record_of_what_goes_on_is_kept(self, tmp_path):
        for text in ("a", "b", "b", "c"):
            claim(tmp_path, f"text: {text}\n", accelerator(), resume=True)
        kept = {path.name: path.read_text() for path in tmp_path.glob("run*.yaml")}
        assert kept == {"run.1.yaml": "text: a\n", "run.2.yaml": "text: b\n", "run.yaml": "text: c\n"}

    def test_only_the_main_process_writes(self, tmp_path):
        claim(tmp_path / "run", "text: a\n", accelerator(is_main_process=False), resume=False)
        assert not (tmp_path / "run").exists()


def test_idle_cores_are_pointed_out(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setenv("WORLD_SIZE", "4")
    busy = machine(accelerator(num_processes=4))
    assert busy == "4 process(es) x 2 thread(s) x fp32 on cpu"
    monkeypatch.setenv("WORLD_SIZE", "2")
    idle = machine(accelerator(num_processes=2, mixed_precision="bf16"))
    assert idle.splitlines() == [
        "2 process(es) x 2 thread(s) x bf16 on cpu",
        "4 of 8 cores lie idle: launch with --num_cpu_threads_per_process 4",
    ]


def test_processes_that_do_not_see_each_other_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="started 2 processes, which must work together, but this one sees 1: launch"):
        machine(accelerator(num_processes=1))


@pytest.mark.parametrize("there", [True, False])
def test_without_a_compiler_nothing_is_compiled(monkeypatch, capsys, there):
    if not there:
        monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    of_launcher = accelerator(mixed_precision="bf16", dynamo="INDUCTOR")
    check_compiler(of_launcher)
    assert ("compiled" in machine(of_launcher).splitlines()[0]) == there
    said = capsys.readouterr().out
    assert said == "" if there else said.startswith("modules are not compiled, since torch finds no C++ compiler here")


START = """
import sys, torch
from pathlib import Path
from selfsup.training.command import start
try:
    start(Path(sys.argv[1]), "text: a", seed=7)
except ValueError as error:
    sys.exit(f"error: {error}")
print(torch.rand(1).item())
"""


@pytest.mark.parametrize("precision", ["no", pytest.param("fp16", marks=pytest.mark.slow)])
def test_start_seeds_what_is_drawn_and_refuses_fp16(precision, monkeypatch, tmp_path):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", precision)
    done = subprocess.run([sys.executable, "-c", START, str(tmp_path)], capture_output=True, text=True, check=False)
    if precision == "fp16":
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(
            "error: fp16 needs loss scaling, which is not done here: launch with"
        )
        return
    first, *_, last = done.stdout.splitlines()
    assert first.endswith("x fp32 on cpu")
    torch.manual_seed(7)
    assert float(last) == torch.rand(1).item()

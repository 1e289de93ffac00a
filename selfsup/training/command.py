"""What every command does first: typed arguments from flags and YAML, a record of them, and a look at the machine."""

import atexit
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from selfsup.training import sharding
from selfsup.training.hub import check_access
from selfsup.training.loop import Stopped

RECORDED = ("selfsup", "torch", "transformers", "accelerate", "tokenizers", "sentencepiece", "numpy")


def command(main: Callable[..., Any], *, recipe: Path | None = None) -> None:
    """Run a script's `main` from the command line: its signature is the interface, its docstring the help.

    `--config FILE` reads arguments from YAML, flags win over it, `--print_config` shows them all. A parameter called
    `arguments` gets the resolved ones as YAML, which `--config` takes back.

    Args:
        main: typed; ValueError and OSError of it end the command with one sentence.
        recipe: YAML with the defaults of this command.
    """
    parser = ArgumentParser(prog=Path(sys.argv[0]).name, default_config_files=[str(recipe)] if recipe else [])
    parser.add_argument("--config", action="config", help="YAML file with arguments; flags win over it")
    parser.add_function_arguments(main, skip={"arguments"})
    parsed = parser.parse_args()
    try:
        given = {name: value for name, value in vars(parser.instantiate(parsed)).items() if name != "config"}
        if "arguments" in main.__code__.co_varnames[: main.__code__.co_argcount + main.__code__.co_kwonlyargcount]:
            given["arguments"] = _header() + parser.dump(parsed.clone(with_meta=False), skip_unset=False)
        given.pop("__default_config__", None)
        main(**given)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(128 + stopped.signal_number)
    except (ValueError, OSError) as error:
        if os.environ.get("SELFSUP_DEBUG"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def start(
    folder: Path,
    arguments: str,
    *,
    seed: int,
    tracker: str | None = None,
    resume: bool = False,
    push_to: str | None = None,
):
    """Make the Accelerator, say what it runs on, claim the folder of the run, and seed what a fresh model draws.

    Args:
        folder: of the run; trackers write there too.
        arguments: as YAML, see `claim`.
        seed: of fresh weights, the same on all processes.
        tracker: one of Accelerate's, or None.
        resume: the run in the folder is to go on.
        push_to: a name on the Hub that must be open to this user, or None.
    Returns:
        the `accelerate.Accelerator`.
    Raises:
        ValueError: fp16 was asked for, whose loss scaling the loop does not do; the folder holds another run; or
            nothing can be pushed.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    _quiet_libraries()
    _end_with_launcher()
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=6))  # the others wait while one encodes a large corpus
    accelerator = Accelerator(cpu=_meets_on_cpu(), log_with=tracker, project_dir=folder, kwargs_handlers=[patience])
    atexit.register(accelerator.end_training)  # trackers write their last numbers, processes part in order
    if accelerator.mixed_precision == "fp16":
        raise ValueError("fp16 needs loss scaling, which is not done here: launch with --mixed_precision bf16 or no")
    if tracker:
        accelerator.init_trackers("selfsup")
    torch.manual_seed(seed)
    seen = machine(accelerator)
    if accelerator.is_main_process:
        print(seen)
        if push_to:
            check_access(push_to)  # hours before it is needed
    claim(folder, f"# {seen.splitlines()[0]}{processor(accelerator)}\n{arguments}", accelerator, resume=resume)
    return accelerator


def machine(accelerator) -> str:
    """One or two lines: processes x threads x precision, and a warning when cores lie idle.

    Args:
        accelerator: of the run; all processes call together.
    Raises:
        ValueError: the launcher started several processes that do not see each other.
    """
    import torch

    started = int(os.environ.get("WORLD_SIZE", "1"))
    present = int(accelerator.reduce(torch.ones(1, device=accelerator.device), "sum"))  # counted, not believed
    if present != started:
        raise ValueError(
            f"the launcher started {started} processes, which must work together, but this one sees {present}: launch "
            "with a file of scripts/launch"
        )
    precision = {"no": "fp32"}.get(accelerator.mixed_precision, accelerator.mixed_precision)
    device = accelerator.device.type
    where = torch.cuda.get_device_name() if device == "cuda" else device
    threads = torch.get_num_threads()
    line = f"{present} process(es) x {threads} thread(s) x {precision} on {where}"
    line += ", weights sharded" if sharding.is_wanted() else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if device == "cpu" and present * threads < cores:
        line += (
            f"\n{cores - present * threads} of {cores} cores lie idle: launch with "
            f"--num_cpu_threads_per_process {cores // present}"
        )
    return line


def _meets_on_cpu() -> bool:
    """Whether several processes were started where there is no device they could share; Accelerate has to be told."""
    import torch

    device = torch.accelerator.current_accelerator(check_available=True)
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and (device is None or device.type == "mps")


def processor(accelerator) -> str:
    """The kind of CPU in brackets, where that is what computes and the system tells."""
    cpus = Path("/proc/cpuinfo")
    if accelerator.device.type != "cpu" or not cpus.is_file():
        return ""
    return next((f" ({line.split(': ')[1]})" for line in cpus.read_text().splitlines() if "model name" in line), "")


def claim(folder: Path, arguments: str, accelerator, *, resume: bool) -> None:
    """Make the folder of a run and keep its arguments in run.yaml, unless another run lives there.

    Args:
        folder: of the run.
        arguments: as YAML.
        accelerator: of the run; all processes call together.
        resume: the run in the folder is to go on.
    Raises:
        ValueError: the folder holds a run and `resume` is not set.
    """
    taken = any((folder / "checkpoints").glob("checkpoint-*"))  # a run that failed before the first one does not count
    accelerator.wait_for_everyone()
    if taken and not resume:
        raise ValueError(
            f"{folder} holds a run already: add --resume true to go on with it, or choose another output folder"
        )
    if accelerator.is_main_process and not taken:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.yaml").write_text(arguments)
    accelerator.wait_for_everyone()


def _end_with_launcher() -> None:
    """When `accelerate launch` is terminated, be terminated too, which saves; else this process would run on alone."""
    if sys.platform == "linux" and "ACCELERATE_MIXED_PRECISION" in os.environ:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1 is PR_SET_PDEATHSIG


def _quiet_libraries() -> None:
    """Silence notes of libraries that a reader of our output can do nothing about."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message=".*pin_memory.*")


def _header() -> str:
    """Versions, commit and command, as comments above the arguments."""
    versions = ", ".join(f"{name} {version(name)}" for name in RECORDED)
    return f"# {versions}\n# commit {_commit()}\n# {shlex.join(sys.argv)}\n"


def _commit() -> str:
    try:
        asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

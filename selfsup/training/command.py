"""What every command does first: arguments, a record of them, a look at the machine, errors as one sentence."""

import atexit
import ctypes
import errno
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError

from selfsup.data.lock import hold
from selfsup.training import sharding
from selfsup.training.arguments import build_parser, parse
from selfsup.training.hub import check_access
from selfsup.training.loop import Stopped
from selfsup.training.report import ASKED_FILE

PATIENCE = 10.0  # seconds that another process waits for the main one to say what went wrong
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OUT_OF_MEMORY = re.compile("out of memory|can't allocate memory|not enough memory", re.IGNORECASE)
_PARTED = re.compile("Connection (closed|reset|refused)|Broken pipe|Timed out waiting", re.IGNORECASE)
_held: list[Any] = []  # locks, while this process lives

RECORDED = ("selfsup", "torch", "transformers", "accelerate", "tokenizers", "sentencepiece", "numpy")


def command(main: Callable[..., Any], *, recipe: Path | None = None) -> None:
    """Run a script's `main` from the command line: its signature is the interface, its docstring the help.

    `--config FILE` reads arguments from YAML, flags win over it, `--print_config` shows them all. A parameter called
    `arguments` gets the resolved ones as YAML, which `--config` takes back.

    Args:
        main: typed; what a user can put right ends the command with one sentence, a bug with its traceback.
        recipe: YAML with the defaults of this command.
    """
    parser = build_parser(main, recipe)
    try:
        parsed, given = parse(parser, sys.argv[1:])
    except ValueError as error:
        _end(error, 2)
    given = {name: value for name, value in given.items() if name not in ("config", "__default_config__")}
    if "arguments" in main.__code__.co_varnames[: main.__code__.co_argcount + main.__code__.co_kwonlyargcount]:
        given["arguments"] = _header() + parser.dump(parsed.clone(with_meta=False), skip_unset=False)
    try:
        main(**given)
        _part()
    except Stopped as stopped:
        if _is_main():
            print(stopped, file=sys.stderr)
        else:
            time.sleep(1)  # let the main process speak before the launcher ends all
        sys.exit(128 + stopped.signal_number)
    except KeyboardInterrupt:
        if _is_main():
            print(
                "error: stopped at once by Ctrl-C; what was saved before is whole: the same command again goes on "
                "from there, or begins anew where nothing was",
                file=sys.stderr,
            )
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        _end(error, 1)


def explain(error: Exception) -> str | None:
    """What went wrong and what to do, in one sentence; None where it is a bug, not the user's to put right."""
    if isinstance(error, OSError) and error.errno:
        name = error.filename2 or error.filename  # of two files, the one that is written
        what = f"{name} cannot be used" if name else "a file cannot be used"
        todo = (
            "free some disk or choose another output"
            if error.errno in _FULL
            else "check that the path is right and that you may read and write there"
        )
        return f"{what} ({error.strerror}): {todo}"
    if isinstance(error, SafetensorError):
        return f"weights could not be written or read ({error}): free some disk, or check that the file is whole"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))):
        return (
            "there is too little memory for this step: lower micro_batch_size (of --train or --tune), or set "
            "--train.activation_checkpointing true, or choose a smaller model or block"
        )
    if _parted(error):
        return "another process of this run has ended, so this one cannot go on: see what the other one said"
    if isinstance(error, ValueError | OSError):
        return " ".join(str(error).split())
    return None


def _end(error: Exception, code: int) -> NoReturn:
    """Say what went wrong, once for all processes, and end."""
    if os.environ.get("SELFSUP_DEBUG"):
        raise error
    _wait_for_main(parted=_parted(error))
    sentence = explain(error)
    if sentence is None:
        raise error
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(code)


def _part() -> None:
    """Let processes that worked together end together.

    One that ends right after it exchanged tensors may abort ("terminate called without an active exception"): sharded
    weights keep gloo's threads alive to the end, and a thread that has not yet let go of a tensor wants an interpreter
    that is gone. Here nothing but a sign is exchanged.
    """
    if not _is_alone():
        from accelerate import PartialState
        from torch.distributed import is_initialized

        if is_initialized():
            PartialState().wait_for_everyone()


def _is_alone() -> bool:
    return os.environ.get("WORLD_SIZE", "1") == "1"


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _parted(error: Exception) -> bool:
    """Did another process of this run go away?"""
    return not _is_alone() and isinstance(error, RuntimeError) and bool(_PARTED.search(str(error)))


def _wait_for_main(*, parted: bool = False) -> None:
    """Let the main process speak first: the launcher ends this one as soon as that one has ended.

    Args:
        parted: another process went away, and has said why or will.
    """
    if not _is_main() or parted:
        sys.stdout.flush()
        time.sleep(PATIENCE)


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
        ValueError: fp16 was asked for, whose loss scaling the loop does not do; the tracker is not there; the folder
            holds another run, or one that is going on; or nothing can be pushed.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    _quiet_libraries()
    _end_with_launcher()
    _check_tracker(tracker)
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=6))  # the others wait while one encodes a large corpus
    accelerator = Accelerator(cpu=_meets_on_cpu(), log_with=tracker, project_dir=folder, kwargs_handlers=[patience])
    atexit.register(accelerator.end_training)  # trackers write their last numbers, processes part in order
    if accelerator.mixed_precision == "fp16":
        raise ValueError("fp16 needs loss scaling, which is not done here: launch with --mixed_precision bf16 or no")
    check_compiler(accelerator)
    torch.manual_seed(seed)
    seen = machine(accelerator)
    if accelerator.is_main_process:
        print(seen)
        if push_to:
            check_access(push_to)  # hours before it is needed
    claim(folder, f"# {seen.splitlines()[0]}{processor(accelerator)}\n{arguments}", accelerator, resume=resume)
    if tracker:
        accelerator.init_trackers("selfsup")
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
    line += ", compiled" if compiles(accelerator) else ""
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
        folder: of the run; no other process may use it until this one has ended.
        arguments: as YAML; of a run that goes on they are put aside until it is known that it may.
        accelerator: of the run; all processes call together, and all learn if the main one is refused.
        resume: the run in the folder is to go on.
    Raises:
        ValueError: the folder holds a run and `resume` is not set, another process runs there now, or nothing can be
            written there.
    """
    refusal = None
    if accelerator.is_main_process:
        try:
            _claim(folder, re.sub("(?m)^resume: true$", "resume: false", arguments), resume=resume)
        except OSError as error:
            refusal = (
                f"the folder of the run, {folder}, cannot be written to ({error.strerror or error}): choose another "
                "one with --output, or free some disk"
            )
        except ValueError as error:
            refusal = str(error)
    if accelerator.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        refusal = broadcast_object_list([refusal])[0]
    if refusal:
        raise ValueError(refusal)


def refuse_training_run(folder: Path) -> None:
    """Keep what is found about a model out of the folder of a training run, whose files have the same names."""
    if (folder / "checkpoints").is_dir():
        raise ValueError(
            f"{folder} is the folder of a training run, whose results would be lost: choose another output"
        )


def _claim(folder: Path, arguments: str, *, resume: bool) -> None:
    taken = any((folder / "checkpoints").glob("checkpoint-*"))  # a run that failed before the first one does not count
    if taken and not resume:
        raise ValueError(
            f"{folder} holds a run already: add --resume true to go on with it, or choose another output folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _held.append(hold(folder / ".lock"))
    except BlockingIOError as error:
        raise ValueError(
            f"another run is going on in {folder}: wait for it, stop it, or choose another output folder"
        ) from error
    except OSError:
        pass  # there are no locks here: go on without
    record = folder / "run.yaml"
    if resume and not taken and record.exists() and record.read_text() != arguments:
        record.replace(folder / f"run.{1 + len(list(folder.glob('run.[0-9]*.yaml')))}.yaml")
    (folder / ASKED_FILE if taken else record).write_text(arguments)


def compiles(accelerator) -> bool:
    """Whether the launcher asked for compiled modules, and they can be had."""
    return accelerator.state.dynamo_plugin.backend.value != "NO"


def check_compiler(accelerator) -> None:
    """Go on without compiled modules, and say so, where there is nothing to compile them with or they are sharded."""
    from accelerate.utils import DynamoBackend

    if not compiles(accelerator):
        return
    missing = None
    if sharding.is_wanted():
        missing = "weights are sharded"
    elif accelerator.device.type == "cpu" and not _has_compiler():
        missing = "torch finds no C++ compiler here (g++, clang++ on a Mac, or what CXX names)"
    if missing:
        accelerator.state.dynamo_plugin.backend = DynamoBackend.NO
        accelerator.print(f"modules are not compiled, since {missing}: everything else is the same, only slower")


def _has_compiler() -> bool:
    from torch._inductor import cpp_builder, exc  # private, but what the compiler itself asks

    try:
        cpp_builder.get_cpp_compiler()
    except (exc.InvalidCxxCompiler, OSError):
        return False
    return True


def _check_tracker(name: str | None) -> None:
    """Accelerate leaves out a tracker whose package is missing, without a word."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    there = [str(getattr(tracker, "value", tracker)) for tracker in get_available_trackers()]
    if name is None or name in there or (name == "all" and there):
        return
    listed = f"choose from what is there: {', '.join(sorted(there)) or 'nothing'}"
    if name in map(str, LOGGER_TYPE_TO_CLASS):
        raise ValueError(f"the package of --train.tracker {name} is not installed: install it, or {listed}")
    raise ValueError(f"--train.tracker must name a tracker of Accelerate, but {name} came: {listed}")


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

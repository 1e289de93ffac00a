"""The loop: prepare, iterate, count, log, save, in the order in which it happens."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list
from torch import nn
from torch.optim import Optimizer

from selfsup.data.dealing import Dealer
from selfsup.objectives.objective import Objective
from selfsup.optim.optimizers import OptimConfig, build_optimizer
from selfsup.optim.schedules import factor
from selfsup.training.batches import Share, Steps
from selfsup.training.checkpoint import NotFinite, checkpoints, prune, save_checkpoint
from selfsup.training.evaluation import Score, evaluate
from selfsup.training.questions import check_questions
from selfsup.training.report import Report
from selfsup.training.resume import go_on, identity, launch
from selfsup.training.sharding import gather, is_wanted, refuse_shared, scatter, shard
from selfsup.training.step import agree, num_read, seed_step, take_step, total

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # that end a run in good order
PROBE_STEPS = 50  # after which a time budget becomes a number of steps


@dataclass(frozen=True)
class TrainConfig:
    """How long a run is, and what it leaves behind.

    Args:
        num_steps: optimizer updates; or give `max_minutes`.
        max_minutes: of steps and validations, turned into a number of steps once, after the first 50.
        micro_batch_size: rows of one forward pass; None for all rows of a process at once.
        eval_every: steps between validations.
        eval_rows: rows of the validation set that are scored.
        save_every: steps between checkpoints.
        keep: how many of the last checkpoints stay; the best one stays besides.
        log_every: steps between lines of the log.
        seed: of weights, order, masks and dropout.
        workers: processes of each process that prepare batches ahead; 0 for none.
        tracker: one of Accelerate's, for instance "tensorboard".
        activation_checkpointing: forget inner results and compute them again: less memory, a third more time.
    """

    num_steps: int | None = None
    max_minutes: float | None = None
    micro_batch_size: int | None = None
    eval_every: int = 250
    eval_rows: int = 512
    save_every: int = 250
    keep: int = 2
    log_every: int = 10
    seed: int = 0
    workers: int = 0
    tracker: str | None = None
    activation_checkpointing: bool = False

    def __post_init__(self) -> None:
        if (self.num_steps is None) == (self.max_minutes is None):
            raise ValueError(
                f"either num_steps or max_minutes is wanted, but {self.num_steps} and {self.max_minutes} came: "
                "set the other one to null (--train.max_minutes null)"
            )
        for name in ("num_steps", "micro_batch_size", "eval_every", "eval_rows", "save_every", "keep", "log_every"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, but {getattr(self, name)} came")
        if self.max_minutes is not None and not 0 < self.max_minutes < math.inf:
            raise ValueError(f"max_minutes must be above 0 and have an end, but {self.max_minutes} came")
        if not 0 <= self.workers <= 256:
            raise ValueError(f"workers must lie between 0 and 256, but {self.workers} came")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be at least 0 and below 2 to the power of 63, but {self.seed} came")


class Stopped(Exception):
    """A signal ended the run early; a checkpoint was saved.

    Args:
        signal_number: which.
        step: steps done.
    """

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(f"stopped by signal {signal_number} after step {step}; --resume true continues from there")
        self.signal_number = signal_number


def fit(
    players: Mapping[str, nn.Module],
    objective: Objective,
    plan: Dealer,
    held_out: Dealer,
    *,
    optim: OptimConfig,
    train: TrainConfig,
    accelerator: Accelerator,
    folder: Path,
    resume: bool = False,
    companions: Sequence[Any] = (),
    each_step: Callable[[int], None] | None = None,
) -> Score:
    """Train to the end, or until a signal comes.

    Args:
        players: modules by the name of their turn; on return they are trained, in place.
        objective: bound.
        plan: of what is learnt from.
        held_out: of what is scored on; the first `eval_rows` rows of its epoch are scored.
        optim: how weights move.
        train: how long, and what is left behind.
        accelerator: of the run.
        folder: of the run: `checkpoints/`, `metrics.jsonl`, `curves.png`.
        resume: go on from the last checkpoint in `folder`.
        companions: saved with every checkpoint, see `save_checkpoint`.
        each_step: called after each with the number of steps done; the time it takes is not counted.
    Returns:
        the score after the last step.
    Raises:
        Stopped: SIGTERM or Ctrl-C came; the state is saved.
        NotFinite: a loss was not finite.
        ValueError: an objective finds nothing to ask, or the checkpoint is of another run.
    """
    if train.max_minutes and optim.warmup_steps < PROBE_STEPS:
        raise ValueError(
            f"max_minutes measures the first {PROBE_STEPS} steps, which must lie in the warm-up: set warmup_steps to "
            f"{PROBE_STEPS} or more, but {optim.warmup_steps} came"
        )
    if objective.max_tokens and plan.longest and plan.longest > objective.max_tokens:
        raise ValueError(
            f"the model reads at most {objective.max_tokens} tokens, but a block has {plan.longest}: lower "
            "--data.block_size or, for a fresh model, raise --model.max_position_embeddings"
        )
    check_questions(objective, plan, held_out, train.eval_rows)
    root = folder / "checkpoints"
    bare = dict(players)
    if train.activation_checkpointing:
        for player in bare.values():
            player.activation_checkpointing_enable()  # type: ignore[operator]
    players, optimizers, kept = _prepare(players, optim, accelerator)
    unit = plan.unit
    state: dict[str, Any] = {"step": 0, unit: 0, "num_steps": train.num_steps}
    state |= {"best_step": None, "best_loss": None, "max_minutes": train.max_minutes, "launch": launch(accelerator)}
    state |= {"run": identity(bare, objective, optim, plan, held_out, train.eval_rows)}
    state |= {"seconds": 0.0, "eval_seconds": 0.0}  # of all steps, and of the last validation
    if resume and any(root.glob("checkpoint-*")):
        saved = go_on(root, bare, kept, state["run"], accelerator, unit=unit)
        state |= saved | {"num_steps": _new_length(train, saved), "max_minutes": train.max_minutes}
        if state["num_steps"] and state["num_steps"] < state["step"]:
            raise ValueError(
                f"the run has done {state['step']} steps already, but num_steps {state['num_steps']} came: "
                "give as many or more, or begin another run"
            )
        if saved["num_steps"] not in (None, state["num_steps"]):
            if len(plan.stages) > 1:
                raise ValueError(
                    f"the run has {saved['num_steps']} steps and its stages end at shares of them, but "
                    f"{state['num_steps']} came: keep the length, or begin another run with --init_from"
                )
            accelerator.print(
                f"the run has {state['num_steps']} steps now instead of {saved['num_steps']}: the learning rate follows"
            )
        if kept is not optimizers:
            scatter(players, optimizers, bare, kept)
    report = Report(folder, accelerator, state["step"], state["num_steps"] if train.max_minutes else None)
    if state["num_steps"] and state["step"] >= state["num_steps"]:
        report.say(f"already finished after {state['step']} steps: for more, raise num_steps or max_minutes")
    rows = held_out.epoch(train.eval_rows)
    share = Share(accelerator.process_index, accelerator.num_processes, train.micro_batch_size)
    score: Score | None = None

    eval_size = train.micro_batch_size or max(1, plan.stages[-1].batch_size // accelerator.num_processes)

    def score_now(step: int) -> Score:
        began = time.monotonic()
        score = evaluate(players, objective, held_out.corpus, rows, accelerator=accelerator, micro_batch_size=eval_size)
        state["eval_seconds"] = time.monotonic() - began
        _check({f"validation {name} loss": loss for name, loss in score.losses.items()}, step, root)
        report.log(step, score.figures())
        report.say(_sentence(step, score))
        return score

    def save(step: int) -> None:
        if kept is not optimizers:
            gather(players, optimizers, bare, kept)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            save_checkpoint(root, step, bare, kept, state, companions)
            prune(root, train.keep, state["best_step"])
        accelerator.wait_for_everyone()

    with _signals() as received, ExitStack() as closing:
        closing.callback(report.close)
        if not state["step"]:
            score_now(0)
        while state["num_steps"] is None or state["step"] < state["num_steps"]:
            probing = state["num_steps"] is None
            last = PROBE_STEPS if probing else state["num_steps"]
            report.set_length(last)
            steps = Steps(plan, objective, share, state["num_steps"], optim.warmup_steps)
            first, clock = state["step"], time.monotonic()
            for step, micro_batches in zip(
                range(first, last), steps.iterate(range(first, last), train.workers), strict=True
            ):
                rate = _set_rate(optimizers, optim, step, state["num_steps"])
                seed_step(train.seed, step, accelerator.process_index)
                figures = take_step(
                    players, optimizers, objective, micro_batches, clip_norm=optim.clip_norm, accelerator=accelerator
                )
                _check(figures, step + 1, root)
                for player in players.values():
                    agree(player, accelerator)
                number_read, *heard = total(
                    accelerator, [sum(map(num_read, micro_batches)), *(number in received for number in SIGNALS)]
                )
                signal_number = next((number for number, count in zip(SIGNALS, heard, strict=True) if count), 0)
                seconds, clock = time.monotonic() - clock, time.monotonic()
                state |= {
                    "step": step + 1,
                    unit: state[unit] + int(number_read),
                    "seconds": state["seconds"] + seconds,
                }
                report.advance(figures["loss"], number_read / seconds, unit)
                if each_step:
                    each_step(step + 1)
                finished = step + 1 == state["num_steps"]
                if (step + 1) % train.log_every == 0 or step == 0 or finished:
                    figures |= {"learning_rate": rate, unit: state[unit], f"{unit}_per_second": number_read / seconds}
                    report.log(step + 1, figures)
                better = False
                if (step + 1) % train.eval_every == 0 or finished:
                    score = score_now(step + 1)
                    better = state["best_loss"] is None or score.total < state["best_loss"]
                    if better:
                        state |= {"best_step": step + 1, "best_loss": score.total}
                if (step + 1) % train.save_every == 0 or finished or better or signal_number:
                    save(step + 1)
                if signal_number and not finished:
                    raise Stopped(signal_number, step + 1)
                clock = time.monotonic()
            if probing:
                state["num_steps"] = _steps_for(train, state["seconds"], state["eval_seconds"])
                report.settle(state["num_steps"])
                save(state["step"])
    return score or evaluate(
        players, objective, held_out.corpus, rows, accelerator=accelerator, micro_batch_size=eval_size
    )


def _prepare(
    players: Mapping[str, nn.Module], optim: OptimConfig, accelerator: Accelerator
) -> tuple[dict[str, nn.Module], dict[str, Optimizer], dict[str, Optimizer]]:
    """Players on their device and wrapped or sharded for many processes, the optimizer of each, and those whose states
    checkpoints hold: the same, or under FSDP whole ones of the bare players."""
    # Exchanging buffers before every forward pass, of validation too, would cost time for nothing.
    accelerator.ddp_handler = accelerator.ddp_handler or DistributedDataParallelKwargs(broadcast_buffers=False)
    sharded = is_wanted()
    if sharded:
        refuse_shared(players)
        if optim.name == "Muon":
            raise ValueError(
                "Muon needs whole matrices, but FSDP spreads them over the processes: launch with ddp.yaml, or choose "
                "--optim.name AdamW --optim.momentum 0.9"
            )
    prepared = {}
    for name, player in players.items():
        player.train()
        prepared[name] = shard(player, accelerator) if sharded else accelerator.prepare(player)
    kept = {name: build_optimizer(player, optim) for name, player in players.items()}
    if not sharded:
        return prepared, kept, kept
    return prepared, {name: build_optimizer(player, optim) for name, player in prepared.items()}, kept


def _set_rate(optimizers: Mapping[str, Optimizer], optim: OptimConfig, step: int, num_steps: int | None) -> float:
    rate = optim.learning_rate * factor(
        step,
        schedule=optim.schedule,
        warmup_steps=optim.warmup_steps,
        num_steps=num_steps,
        cooldown_share=optim.cooldown_share,
    )
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = rate
    return rate


def _check(figures: Mapping[str, float], step: int, root: Path) -> None:
    broken = [name for name, value in figures.items() if not math.isfinite(value)]
    if broken:
        kept = checkpoints(root)
        where = f"the last good checkpoint is {kept[-1]}" if kept else "there is no checkpoint yet"
        raise NotFinite(
            f"at step {step} {', '.join(f'{name} was {figures[name]}' for name in broken)}, a finite number was "
            f"wanted: lower the learning rate or look at the data around this step; {where}"
        )


def _steps_for(train: TrainConfig, seconds: float, eval_seconds: float) -> int:
    """How many steps fit into the minutes asked for; agreed by all processes.

    Args:
        train: with `max_minutes`.
        seconds: that the first `PROBE_STEPS` steps took, in however many attempts.
        eval_seconds: that one validation takes; there is one before the first step and one after the last besides.
    """
    assert train.max_minutes
    step_seconds = seconds / PROBE_STEPS + eval_seconds / train.eval_every
    num_steps = int((60 * train.max_minutes - 2 * eval_seconds) / step_seconds)
    return broadcast_object_list([max(num_steps, PROBE_STEPS + 1)])[0]


def _new_length(train: TrainConfig, saved: Mapping[str, Any]) -> int | None:
    """How many steps a run has that goes on: as many as before, or as the new length asks for.

    Args:
        train: with the new length.
        saved: numbers of the checkpoint; its seconds give the pace where minutes were changed.
    """
    before, minutes = saved["num_steps"], train.max_minutes
    if minutes is None or before is None or minutes == saved.get("max_minutes"):
        return before if minutes else train.num_steps
    pace = saved["seconds"] / max(saved["step"], 1) + saved["eval_seconds"] / train.eval_every
    return max(saved["step"], int((60 * minutes - 2 * saved["eval_seconds"]) / max(pace, 1e-9)))


def _sentence(step: int, score: Score) -> str:
    parts = []
    for name, loss in score.losses.items():
        if not score.counts[name]:
            parts.append(f"{name}: nothing was asked")
            continue
        part = f"{name}: loss {loss:.4f}"
        if name in score.hits:
            low, high = score.interval(name)
            part += f", {score.accuracy(name):.1%} right ({low:.1%} to {high:.1%})"
        parts.append(part)
    return f"step {step:>6}  validation  " + "   ".join(parts)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGTERM and Ctrl-C instead of dying of them; the loop looks after every step.

    A second Ctrl-C ends at once. A launcher passes the first one on within moments, which is not a second one.
    """
    received: list[int] = []
    first = 0.0

    def hear(number: int, _: Any) -> None:
        nonlocal first
        if number == signal.SIGINT and number in received and time.monotonic() - first > 1:
            raise KeyboardInterrupt
        first = first or time.monotonic()
        received.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    old = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)

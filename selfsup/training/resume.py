"""Going on with a run: from its last whole checkpoint, and only with the arguments it was begun with."""

import inspect
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer

from selfsup.data.dealing import Dealer
from selfsup.objectives.objective import Objective
from selfsup.optim.optimizers import OptimConfig
from selfsup.training.checkpoint import Damaged, load_checkpoint, read_state

_NUMBERS = {"num_steps", "best_step", "best_loss", "seconds", "eval_seconds"}  # that a run goes on with
# Of a model's configuration, what says nothing of what it computes.
_INCIDENTAL = {"architectures", "auto_map", "dtype", "transformers_version"}


def identity(
    players: Mapping[str, nn.Module],
    objective: Objective,
    optim: OptimConfig,
    plan: Dealer,
    held_out: Dealer,
    rows: int,
) -> dict[str, Any]:
    """Names what makes a run this run: what is read and in which order, what learns, how, and what is scored.

    How long a run is, how often it validates, saves and logs, and what it runs on may change; they are not in it.

    Args:
        players: unwrapped.
        objective: bound.
        optim: how weights move.
        plan: of what is learnt from.
        held_out: of what is scored on.
        rows: of validation that are scored.
    Returns:
        values as JSON holds them, by the flag that sets each.
    """
    parts = plan.identity(held_out) | {"--train.eval_rows": rows, "--objectives": objective.weights}
    parts |= {f"--optim.{name}": value for name, value in asdict(optim).items()}
    for member in getattr(objective, "members", [objective]):
        for name in inspect.signature(type(member).__init__).parameters:
            value = getattr(member, name, None)
            if isinstance(value, str | int | float) or is_dataclass(value):
                parts[f"{name} of {type(member).__name__}"] = asdict(value) if is_dataclass(value) else value  # type: ignore[arg-type]
    for player, module in players.items():
        config = getattr(module, "config", None)
        for name, value in config.to_dict().items() if config else ():
            if name not in _INCIDENTAL and not name.startswith("_"):
                parts[f"--{player}.{name}"] = value
    return json.loads(json.dumps(parts, default=str))


def go_on(
    root: Path,
    players: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    run: Mapping[str, Any],
    accelerator: Accelerator,
    *,
    unit: str = "tokens",
) -> dict[str, Any]:
    """Load the last checkpoint that is whole; damaged ones after it are set aside, and that is said.

    Args:
        root: folder of the checkpoints of the run.
        players: unwrapped modules, changed in place.
        optimizers: one for each player.
        run: `identity` of the run that is to go on.
        accelerator: of the run; all processes call together.
        unit: of what the run has counted.
    Returns:
        the numbers that were saved, without what was kept only to be compared.
    Raises:
        ValueError: the checkpoint is of another run, or none is whole.
    """
    damaged: list[tuple[Path, Damaged]] = []
    for folder in sorted(root.glob("checkpoint-*"), reverse=True):
        try:
            state = read_state(folder)
            _refuse_changes(state["run"], run, folder)
            if missing := (_NUMBERS | {unit}) - state.keys():
                raise Damaged(folder, ValueError(f"its state lacks {', '.join(sorted(missing))}"))
            saved = load_checkpoint(folder, players, optimizers)
            break
        except Damaged as error:
            damaged.append((folder, error))
    else:
        raise ValueError(
            f"no checkpoint in {root} is whole, so there is nothing to go on from: {damaged[0][1]}; choose another "
            "output folder, or delete this one and begin anew"
        )
    accelerator.wait_for_everyone()  # all have looked
    for bad, reason in damaged:
        accelerator.print(f"{reason}: it is now called damaged-{bad.name}, and the run goes on from {folder.name}")
        if accelerator.is_main_process:
            shutil.rmtree(aside := bad.with_name(f"damaged-{bad.name}"), ignore_errors=True)
            bad.rename(aside)
    _say_what_differs(saved.pop("launch", None), launch(accelerator), accelerator)
    del saved["run"]
    return saved


def launch(accelerator: Accelerator) -> dict[str, Any]:
    """What a run runs on, as far as its numbers depend on it."""
    precision = {"no": "fp32"}.get(accelerator.mixed_precision, accelerator.mixed_precision)
    return {"processes": accelerator.num_processes, "precision": precision}


def _refuse_changes(saved: Any, now: Mapping[str, Any], folder: Path) -> None:
    if not isinstance(saved, dict):
        raise ValueError(f"{folder} is of an earlier version of selfsup: go on with that one, or begin another run")
    changes = [
        f"{name} was {_shown(saved[name])} and is now {_shown(now[name])}"
        for name in now
        if name in saved and _key(saved[name]) != _key(now[name])
    ]
    if changes:
        more = f", and {len(changes) - 6} more" if len(changes) > 6 else ""
        raise ValueError(
            f"{folder} is of a run with other arguments: {', '.join(changes[:6])}{more}; give those of the first run "
            "(they are in its run.yaml), or another output folder"
        )


def _say_what_differs(saved: Any, now: Mapping[str, Any], accelerator: Accelerator) -> None:
    if not isinstance(saved, dict) or saved == now:
        return
    before, after = (f"{place['processes']} process(es) in {place['precision']}" for place in (saved, now))
    accelerator.print(
        f"the run was on {before} and is now on {after}: it reads the same data, but dropout is drawn, and sums are "
        "rounded, differently"
    )


def _key(value: Any) -> Any:
    return value["fingerprint"] if isinstance(value, dict) and "fingerprint" in value else value


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "fingerprint" in value:
        return f"{value['name']} ({value['fingerprint'][:8]})"
    return json.dumps(value) if not isinstance(value, str) else value

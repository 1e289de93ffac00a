"""What a way of learning is worth: networks that differ in it alone, trained and measured alike, over some seeds."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from selfsup.examples import DataChoice
from selfsup.finetuning.figures import Interval, Scorer, between, interval
from selfsup.finetuning.learner import Learner, build_learner, open_learner
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.material import Material, open_material
from selfsup.finetuning.slices import hold_back
from selfsup.finetuning.trial import Trial, described, run_trial
from selfsup.objectives import Supervised
from selfsup.objectives.objective import text_rng
from selfsup.predicting.assess import assess
from selfsup.task import Task
from selfsup.training.summary import table


@dataclass(frozen=True)
class Arm:
    """One of the ways.

    Args:
        objective: what it learns by; None: nothing, it is the model of `start` as it is.
        fields: of the configuration of its model, in place of those of the effect.
        start: another arm, whose model of the same seed goes on here; None: a fresh one.
        tune: in place of the effect's.
        beams: with which it is measured.
    """

    objective: Callable[[], Supervised] | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    start: str | None = None
    tune: FineTuneConfig | None = None
    beams: int = 1


@dataclass(frozen=True)
class Effect:
    """Ways side by side.

    Args:
        task: whose data they learn from.
        choice: of the data.
        begin: leaves the shape of all models in a folder, as new_model.py does.
        tune: how all learn.
        arms: by name; a difference is to the first.
        measures: by name, from the beams of an arm to the task whose objective answers and whose first metric scores.
        watched: level that is waited for, 0-1, of the task's first metric on the slice, after every epoch; or None.
    """

    task: Task
    choice: DataChoice
    begin: Callable[[Path], Any]
    tune: FineTuneConfig
    arms: Mapping[str, Arm]
    measures: Mapping[str, Callable[[int], Task]]
    watched: float | None = None

    @property
    def watched_figure(self) -> str:
        """What a curve calls the figure whose level is waited for."""
        return f"slice_{self.task.metrics[0]().main}"

    def some(self, names: Sequence[str]) -> dict[str, Arm]:
        """The arms of these names, in their order, and those that they go on from.

        Raises:
            ValueError: there is no arm of a name.
        """
        if strange := [name for name in names if name not in self.arms]:
            raise ValueError(f"arms named {', '.join(self.arms)} are there, but {', '.join(strange)} came: name others")
        wanted = {*names, *(start for name in names if (start := self.arms[name].start))}
        return {name: arm for name, arm in self.arms.items() if name in wanted}

    def lasting(self, epochs: int) -> "Effect":
        """The same with so many epochs for every arm, whether it learns as all do or in its own way."""
        arms = {
            name: replace(arm, tune=arm.tune and replace(arm.tune, epochs=epochs)) for name, arm in self.arms.items()
        }
        return replace(self, tune=replace(self.tune, epochs=epochs), arms=arms)


def run_effect(
    effect: Effect, folder: Path, *, seeds: Sequence[int], accelerator: Accelerator, data_root: Path | None = None
) -> dict[str, Any]:
    """Train every arm with every seed, measure all, print a table and keep it; goes on where it was stopped.

    Args:
        effect: what is compared.
        folder: of shape/, one folder for every arm and seed, effect.json and effect.png.
        seeds: of the weights, the order and dropout.
        accelerator: of the run.
        data_root: folder that mirrors the Hub.
    Returns:
        what effect.json holds: by measure and arm mean, lower and upper bound; the same of differences to the first.
    """
    shape = folder / "shape"
    if not (shape / "config.json").exists():
        effect.begin(shape)
    fresh = open_learner(str(shape), scratch=True)
    material = open_material(effect.task, effect.choice, fresh, data_root=data_root, say=accelerator.print)
    if effect.watched is not None and not hold_back(material.train, effect.tune.slice_share, rng=text_rng(0, 0, 0))[1]:
        raise ValueError(
            f"a slice of what is learnt from is wanted, to watch, but {len(material.train)} examples are too few "
            "for one: give more"
        )
    trials: dict[str, list[Trial | None]] = {name: [] for name in effect.arms}
    tallies: dict[str, dict[str, list[np.ndarray]]] = {measure: {} for measure in effect.measures}
    scorers: dict[str, Scorer] = {}
    sizes: dict[str, int] = {}
    for seed in seeds:
        for name, arm in effect.arms.items():
            own = folder / f"{_file(name)}-{seed}"
            trials[name].append(_train(effect, arm, material, fresh, folder, own, seed, accelerator))
            learner = open_learner(str((own if arm.objective else folder / f"{_file(arm.start)}-{seed}") / "model"))
            for measure, make in effect.measures.items():
                scorer, conclusions, sizes[name] = _measured(
                    make(arm.beams), learner, material, own / f"{_file(measure)}.json", accelerator
                )
                scorers[measure] = scorer
                tallies[measure].setdefault(name, []).append(scorer.tallies(conclusions, material.held_out))
    found = _compared(effect, trials, tallies, scorers) | {"seeds": list(seeds), "parameters": sizes}
    if accelerator.is_main_process:
        _present(found, effect, folder)
    return found


def way_to(curve: Sequence[Mapping[str, float]], name: str, level: float, of: str = "step") -> float | None:
    """Steps, or seconds, until a figure of a curve reaches a level, on straight lines between epochs from 0 at the
    start; None where it never does.

    Example:
        >>> way_to([{"step": 10, "right": 0.2}, {"step": 20, "right": 0.6}], "right", 0.5)
        17.5
    """
    way, figure = 0.0, 0.0
    for line in curve:
        if line[name] >= level:
            return way + (line[of] - way) * (level - figure) / (line[name] - figure)
        way, figure = line[of], line[name]
    return None


def _compared(
    effect: Effect, trials: Mapping[str, Sequence[Trial | None]],
    tallies: Mapping[str, Mapping[str, Sequence[np.ndarray]]], scorers: Mapping[str, Scorer],
) -> dict[str, Any]:  # fmt: skip
    """Figures, differences to the first arm, minutes, and steps and seconds to the level that is watched, by arm."""
    first, *others = effect.arms
    stacked = {measure: {arm: np.stack(rows) for arm, rows in arms.items()} for measure, arms in tallies.items()}
    found: dict[str, Any] = {
        "figures": {
            measure: {arm: interval(rows, scorers[measure]) for arm, rows in arms.items()}
            for measure, arms in stacked.items()
        },
        "differences": {
            measure: {arm: interval(arms[arm], scorers[measure], arms[first]) for arm in others}
            for measure, arms in stacked.items()
        },
        "minutes": {arm: [one.seconds / 60 for one in done if one] for arm, done in trials.items()},
    }
    if effect.watched is not None:
        reached = {
            arm: [_reached(one, effect.watched_figure, effect.watched) for one in done if one]
            for arm, done in trials.items()
        }
        for place, name in enumerate(("steps", "seconds")):
            found[name] = {arm: [at and at[place] for at in of_seeds] for arm, of_seeds in reached.items()}
    return found


def _reached(trial: Trial, name: str, level: float) -> tuple[float, float] | None:
    """Steps and seconds until a figure of a trial's curve reaches a level, see `way_to`; None if it never does."""
    steps, seconds = (way_to(trial.curve, name, level, of) for of in ("step", "seconds"))
    return None if steps is None or seconds is None else (steps, seconds)


def _train(
    effect: Effect, arm: Arm, material: Material, fresh: Learner, folder: Path, own: Path, seed: int,
    accelerator: Accelerator,
) -> Trial | None:  # fmt: skip
    if arm.objective is None:
        return None
    learner = open_learner(str(folder / f"{_file(arm.start)}-{seed}" / "model")) if arm.start else fresh
    tune = arm.tune or effect.tune
    return run_trial(
        learner, replace(effect.task, objective=arm.objective), material.train, material.held_out,
        replace(tune, model={**tune.model, **arm.fields}), own, labels=material.labels, seed=seed,
        accelerator=accelerator, keep_model=True,
    )  # fmt: skip


def _measured(
    task: Task, learner: Learner, material: Material, file: Path, accelerator: Accelerator
) -> tuple[Scorer, list[Any], int]:
    """What a model concludes on the held-out examples, and the number of its weights; kept in a file."""
    objective = task.objective()
    asked = {"model": learner.fingerprint(), "examples": len(material.held_out), **described(task, objective)}
    objective.survey(material.train)
    model = build_learner(learner, objective, material.labels, seed=0)
    objective.bind(learner.processor, model.config)
    scorer, size = Scorer(task, objective), sum(weight.numel() for weight in model.parameters())
    if file.exists() and (kept := json.loads(file.read_text()))["asked"] == asked:
        return scorer, kept["conclusions"], size
    model.to(accelerator.device)
    conclusions = assess(model, objective, material.held_out, accelerator=accelerator).conclusions
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".part")
    aside.write_text(json.dumps({"asked": asked, "conclusions": conclusions}, ensure_ascii=False))
    aside.replace(file)
    return scorer, conclusions, size


def _present(found: Mapping[str, Any], effect: Effect, folder: Path) -> None:
    figures: Mapping[str, Mapping[str, Interval]] = found["figures"]
    first = next(iter(effect.arms))
    heads = [head for measure in figures for head in (f"{measure} (95 %)", f"minus {first}")]
    rows: list[tuple[str, ...]] = [("", *heads, "weights", "minutes a seed",
                                    *(["steps (seconds)"] if "steps" in found else []))]  # fmt: skip
    for arm in effect.arms:
        cells = []
        for measure in figures:
            difference = found["differences"][measure].get(arm)
            cells += [between(figures[measure][arm]), between(difference, "+") if difference else ""]
        minutes = found["minutes"][arm]
        cells += [f"{found['parameters'][arm]:,}", f"{np.mean(minutes):.1f}" if minutes else ""]
        if "steps" in found:
            reached = zip(found["steps"][arm], found["seconds"][arm], strict=True)
            cells.append(
                ", ".join(f"{steps:.0f} ({took:.0f})" if took is not None else "never" for steps, took in reached)
            )
        rows.append((arm, *cells))
    from selfsup.pictures.comparison import draw_intervals  # here: matplotlib takes seconds, and --help draws nothing

    picture = folder / "effect.png"
    print(f"\n{table(rows)}")
    if effect.watched is not None:
        print(f"steps, and seconds with scoring, until {effect.watched_figure} is "
              f"{effect.watched:.0%}, one for each seed")  # fmt: skip
    print(f"picture  {picture}")
    (folder / "effect.json").write_text(json.dumps(found, indent=1))
    draw_intervals(figures, picture, title=f"{folder.name}: {len(found['seeds'])} seeds")


def _file(name: str | None) -> str:
    assert name
    return name.replace(" ", "_")

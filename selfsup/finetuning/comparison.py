"""What pretraining is worth: one network pretrained and from scratch, on the same examples and on few of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from selfsup.finetuning.baselines import baseline
from selfsup.finetuning.figures import Scorer, between, interval, spread
from selfsup.finetuning.learner import Learner
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.material import Material
from selfsup.finetuning.slices import draw_share, hold_back
from selfsup.finetuning.trial import Trial, repetitions, run_trial
from selfsup.objectives.objective import text_rng
from selfsup.training.summary import table

PRETRAINED, SCRATCH = "pretrained", "from scratch"
ARMS = (PRETRAINED, SCRATCH)
SHARE, SWEEP = 1_000_033, 1_000_037  # keys of chance


@dataclass(frozen=True)
class SweepConfig:
    """What is tried for the network that starts from scratch, on training examples that are held back.

    Args:
        learning_rates: each is tried with the usual epochs, and the best one with other numbers of them.
        epoch_factors: the usual epochs, times each of these.
        max_train: examples that a candidate learns from at most, since sweeping on all would take longer than the
            comparison itself; None for as many as in earnest.
    """

    learning_rates: tuple[float, ...] = (3e-4, 1e-3, 2e-3)
    epoch_factors: tuple[int, ...] = (1, 3)
    max_train: int | None = 4000

    def __post_init__(self) -> None:
        fewest = min(self.epoch_factors, default=0), 1 if self.max_train is None else self.max_train
        if not self.learning_rates or min(self.learning_rates) <= 0 or min(fewest) < 1:
            raise ValueError(f"learning rates above 0 and epoch factors of at least 1 are wanted, but {self} came")


def sweep(
    learner: Learner, material: Material, share: float, config: FineTuneConfig, tried: SweepConfig, folder: Path,
    *, accelerator: Accelerator,
) -> FineTuneConfig:  # fmt: skip
    """The learning rate and epochs with which a learner does best on training examples held back for this; where
    there is one candidate, that one.

    Args:
        learner: what learns.
        material: of the task; its held-out examples are not touched.
        share: of the training examples that is learnt from; where it is less than all, those that judge are others.
        config: of everything that is not swept.
        tried: the candidates.
        folder: keeps every trial and sweep.json.
        accelerator: of the run.
    """
    if len(tried.learning_rates) == len(tried.epoch_factors) == 1:
        return _times(replace(config, learning_rate=tried.learning_rates[0]), tried.epoch_factors[0])
    rest, judge = hold_back(material.train, 0.1, rng=text_rng(0, SWEEP, 0))
    if not judge:
        raise ValueError(
            f"a sweep needs 500 training examples or more, but {material.name} has {len(material.train)}: give more, "
            "or one learning rate and one epoch factor"
        )
    most = min(len(rest), tried.max_train or len(rest), max(1, round(share * len(material.train))))
    examples = draw_share(rest, most / len(rest), rng=text_rng(0, SWEEP, 1))
    scores: dict[tuple[float, int], float] = {}

    def score(rate: float, factor: int) -> float:
        setting, place = _times(replace(config, learning_rate=rate), factor), f"rate-{rate:g}-epochs-x{factor}"
        trial = run_trial(learner, material.task, examples, judge, setting, folder / place, labels=material.labels,
                          seed=0, accelerator=accelerator)  # fmt: skip
        scores[rate, factor] = next(iter(trial.figures.values()))
        return scores[rate, factor]

    first = tried.epoch_factors[0]
    rate = max(tried.learning_rates, key=lambda one: score(one, first))
    for factor in tried.epoch_factors[1:]:
        score(rate, factor)
    best = max(scores, key=lambda pair: scores[pair])
    if accelerator.is_main_process:
        lines = [{"learning_rate": r, "epoch_factor": f, "figure": figure} for (r, f), figure in scores.items()]
        (folder / "sweep.json").write_text(json.dumps(lines, indent=1))
    return _times(replace(config, learning_rate=best[0]), best[1])


def _times(config: FineTuneConfig, factor: int) -> FineTuneConfig:
    return replace(config, epochs=config.epochs * factor, min_steps=config.min_steps * factor)


def compare(
    arms: Mapping[str, Learner],
    material: Material,
    shares: Sequence[float],
    config: FineTuneConfig,
    tried: SweepConfig,
    folder: Path,
    *,
    seeds: int,
    accelerator: Accelerator,
) -> dict[str, Any]:
    """All trials of one task; what is there already is not made again.

    Args:
        arms: what learns, by the names of `ARMS`.
        material: of the task.
        shares: of the training examples, each above 0 and at most 1.
        config: for the pretrained one; of the other, rate and epochs are swept.
        tried: the sweep.
        folder: of the task.
        seeds: repetitions; each draws its own share, the same for both arms.
        accelerator: of the run.
    Returns:
        `baseline` (name, figure), `metric`, and for each share `labels`, `learning_rate` and `epochs` of the sweep,
        `swept_on` (at most so many labels), (mean, low, high) of each arm and of the `difference`, and each arm's
        `curves` by seed.
    Raises:
        ValueError: a share is none, or there are no seeds.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(f"shares of the training examples above 0 and at most 1 are wanted, but {shares} came")
    objective = material.bound(arms[PRETRAINED])
    score = Scorer(material.task, objective)
    name, guess = baseline(objective, material.train)
    plain = score.of_guesses([guess(example) for example in material.held_out], material.held_out)
    result: dict[str, Any] = {
        "metric": score.metrics[0].main,
        "baseline": [name, float(score.figure(plain.sum(axis=0)))],
        "held_out": len(material.held_out),
        "shares": {},
    }
    for share in shares:
        place = folder / f"share-{share:g}"
        swept = sweep(arms[SCRATCH], material, share, config, tried, place / "sweep", accelerator=accelerator)
        settings = {PRETRAINED: config, SCRATCH: swept}
        trials: dict[str, list[Trial]] = {arm: [] for arm in ARMS}
        for seed in repetitions(seeds):
            examples = draw_share(material.train, share, rng=text_rng(seed, SHARE, 0))
            for arm in ARMS:
                trials[arm].append(
                    run_trial(
                        arms[arm],
                        material.task,
                        examples,
                        material.held_out,
                        settings[arm],
                        place / f"{arm.replace(' ', '-')}-{seed}",
                        labels=material.labels,
                        seed=seed,
                        accelerator=accelerator,
                    )
                )
        tallies = {
            arm: np.stack([score.tallies(trial.conclusions, material.held_out) for trial in done])
            for arm, done in trials.items()
        }
        result["shares"][share] = {
            "labels": len(examples),
            "learning_rate": swept.learning_rate,
            "epochs": swept.epochs,
            "swept_on": min(tried.max_train or len(examples), len(examples)),
            **{arm: interval(tallies[arm], score) for arm in ARMS},
            "difference": interval(tallies[PRETRAINED], score, tallies[SCRATCH]),
            "curves": {arm: [trial.curve for trial in done] for arm, done in trials.items()},
            "seconds": {arm: sum(trial.seconds for trial in done) for arm, done in trials.items()},
        }
    return result


def report(results: Mapping[str, dict[str, Any]], folder: Path, *, title: str) -> None:
    """Print the table of all tasks, and leave comparison.json, labels.png (label efficiency) and curves.png.

    Args:
        results: by task, of `compare`.
        folder: where they go.
        title: of the pictures.
    """
    from selfsup.pictures.efficiency import draw_bands  # here: matplotlib takes seconds, and --help draws nothing

    rows: list[tuple[str, ...]] = [
        (
            "task",
            "labels",
            PRETRAINED,
            SCRATCH,
            "difference (95 %)",
            "scratch: rate, epochs, swept on",
            "without learning",
        )
    ]
    for task, result in results.items():
        for number, found in enumerate(result["shares"].values()):
            cells = [between(found[arm]) for arm in ARMS]
            plain = f"{100 * result['baseline'][1]:.1f}  ({result['baseline'][0]})" if not number else ""
            swept = f"{found['learning_rate']:g}, {found['epochs']}, {found['swept_on']:,}"
            name = f"{task} ({result['metric']})" if not number else ""
            rows.append((name, f"{found['labels']:,}", *cells, between(found["difference"], "+"), swept, plain))
    print(f"\n{table(rows)}\n")
    (folder / "comparison.json").write_text(json.dumps(results, indent=1))
    panels = {
        f"{task}: {result['metric']}": {
            arm: [(found["labels"], *found[arm]) for found in result["shares"].values()] for arm in ARMS
        }
        for task, result in results.items()
    }
    baselines = {f"{task}: {result['metric']}": result["baseline"] for task, result in results.items()}
    draw_bands(panels, folder / "labels.png", title=title, baselines=baselines, across="labelled examples")
    curves = {
        panel: {
            arm: spread(found["curves"][arm], f"slice_{result['metric']}")
            for found in [result["shares"][max(result["shares"])]]
            for arm in ARMS
        }
        for panel, result in zip(panels, results.values(), strict=True)
    }
    drawn = {panel: {arm: points for arm, points in lines.items() if points} for panel, lines in curves.items()}
    if any(drawn.values()):
        draw_bands(drawn, folder / "curves.png", title=f"{title}: the slice that chooses the epoch", across="steps",
                   logarithmic=False)  # fmt: skip
    print(f"pictures  {folder / 'labels.png'}, {folder / 'curves.png'}\nfigures   {folder / 'comparison.json'}")

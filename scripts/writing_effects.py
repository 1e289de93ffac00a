"""What are copying, guided attention, own tokens, rewards and beams worth? Small models that differ in one thing."""

from pathlib import Path
from typing import Literal

from selfsup.examples import DataChoice
from selfsup.task import load_task
from selfsup.training.command import command, start

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    effect: Literal["copying", "guiding", "learning"], output: Path, data: DataChoice = DataChoice(),
    seeds: int = 3, epochs: int | None = None, arms: list[str] | None = None, data_root: Path | None = None,
    arguments: str = "",
) -> None:  # fmt: skip
    """Train all ways with every seed, score each on the held-out split; goes on where it was stopped.

    Args:
        effect: copying: a gate, on names that were never seen; guiding: attention along the diagonal, on sentences
            that are split; learning: own tokens in training, a reward and beams, on translation.
        output: folder of all trials, effect.json and effect.png.
        data: which data, as for finetune.py.
        seeds: repetitions, 0, 1, 2 …
        epochs: of fresh models, where they are not those of the effect.
        arms: of the effect, by name, if not all; the differences are to the first.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
    """
    from dataclasses import replace

    from selfsup.finetuning.effects import run_effect
    from selfsup.finetuning.trial import repetitions
    from selfsup.finetuning.writing_effects import EFFECTS

    accelerator = start(output, arguments, seed=0, resume=True)
    task, make = EFFECTS[effect]
    asked = make(load_task(task, TASKS), data, output, data_root)
    if epochs:
        asked = replace(asked, tune=replace(asked.tune, epochs=epochs))
    if arms:
        asked = replace(asked, arms=asked.some(arms))
    run_effect(asked, output, seeds=repetitions(seeds), accelerator=accelerator, data_root=data_root)


if __name__ == "__main__":
    command(main)

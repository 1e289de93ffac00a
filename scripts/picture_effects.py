"""What are normalisation, augmentation and optimizers worth? Small networks of pictures that differ in one thing."""

from pathlib import Path
from typing import Literal

from selfsup.examples import DataChoice
from selfsup.task import load_task
from selfsup.training.command import command, start

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    effect: Literal["normalising", "largest_rates", "altering", "optimising"], output: Path,
    data: DataChoice = DataChoice(), task: str = "clothes", seeds: int = 3, epochs: int | None = None,
    arms: list[str] | None = None, data_root: Path | None = None, arguments: str = "",
) -> None:  # fmt: skip
    """Train all ways with every seed, score each on the held-out split; goes on where it was stopped.

    Args:
        effect: normalising: eight normalisations at two learning rates; largest_rates: the largest with which each
            learns; altering: turned, scaled and shifted pictures, to learn from and to score on; optimising: AdamW and
            Muon, and how soon.
        output: folder of all trials; effect.json and effect.png, or rates.json.
        data: which data, as for finetune.py.
        task: of pictures with labels.
        seeds: repetitions, 0, 1, 2 …
        epochs: in place of those of the effect; largest_rates has one.
        arms: of the effect, by name, if not all; the differences are to the first.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
    """
    import json
    from dataclasses import replace

    from selfsup.finetuning import picture_effects as effects
    from selfsup.finetuning.effects import run_effect
    from selfsup.finetuning.trial import repetitions
    from selfsup.training.summary import table

    accelerator = start(output, arguments, seed=0, resume=True)
    chosen, all_seeds = load_task(task, TASKS), repetitions(seeds)
    if effect == "largest_rates":
        if arms or epochs:
            raise ValueError("largest_rates has no arms, and one epoch: leave out --arms and --epochs")
        found = effects.largest_rates(chosen, data, output, seeds=all_seeds, accelerator=accelerator,
                                      data_root=data_root)  # fmt: skip
        accelerator.print(f"\n{table(effects.told(found))}")
        (output / "rates.json").write_text(json.dumps(found, indent=1))
        return
    asked = effects.EFFECTS[effect](chosen, data, data_root)
    if arms:
        asked = replace(asked, arms=asked.some(arms))
    if epochs:
        asked = asked.lasting(epochs)
    run_effect(asked, output, seeds=all_seeds, accelerator=accelerator, data_root=data_root)


if __name__ == "__main__":
    command(main)

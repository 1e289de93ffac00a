"""Fine-tune any encoder on a task: several seeds, or folds; the best epoch is chosen on a slice cut from training."""

from dataclasses import replace
from pathlib import Path

from selfsup.examples import DataChoice
from selfsup.finetuning.card import write_card
from selfsup.finetuning.learner import open_learner
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.material import open_material
from selfsup.finetuning.scoring import cross_validate, present, report, score_task
from selfsup.objectives import Supervised
from selfsup.task import load_task
from selfsup.training.command import command, start

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    task: str, model: str, output: Path, data: DataChoice = DataChoice(), tune: FineTuneConfig = FineTuneConfig(),
    objective: Supervised | None = None, seeds: int = 1, folds: int | None = None, scratch: bool = False,
    data_root: Path | None = None, trust_remote_code: bool = False, arguments: str = "",
) -> None:  # fmt: skip
    """Fine-tune, score on the held-out split, and leave a model that opens anywhere; goes on where it was stopped.

    Args:
        task: name of a file in tasks/, a path to a .py file, or module:attribute.
        model: a run, an exported folder, a checkpoint or a Hub encoder.
        output: folder of seed-0/, seed-1/ …, scores.json, curves.png, and model/, the best on its slice of training.
        data: what is learnt from and scored on, where that is not the task's own.
        tune: how it is learnt.
        objective: in place of the task's, with arguments: --objective Classification --objective.loss squared_error.
        seeds: repetitions, 0, 1, 2 …
        folds: in place of the held-out split, score every training example by a model that learnt from the other folds.
        scratch: take the shape of the model alone, and fresh weights.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        trust_remote_code: run Python files that come with the model.
    """
    accelerator = start(output, arguments, seed=0, resume=True)
    chosen = load_task(task, TASKS).learnt_by(objective)
    if folds is not None and data.held_out is None:
        data = replace(data, held_out="0")  # every example is scored, so none is held out
    learner = open_learner(model, scratch=scratch, trust_remote_code=trust_remote_code)
    material = open_material(chosen, data, learner, data_root=data_root, say=accelerator.print)
    if folds is not None:
        result = cross_validate(learner, material, tune, output, number=folds, seeds=seeds, accelerator=accelerator)
    else:
        result = score_task(learner, material, tune, output, seeds=seeds, accelerator=accelerator, keep_models=True)
    if accelerator.is_main_process:
        report({material.name: result}, output)
        present(result, output)
        write_card(output, result, material)


if __name__ == "__main__":
    command(main)

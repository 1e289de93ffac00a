"""Score a checkpoint on all tasks with one setting: a table as GLUE has it, with intervals over seeds and examples."""

from pathlib import Path

from selfsup.examples import DataChoice
from selfsup.finetuning.learner import open_learner
from selfsup.finetuning.learning import FineTuneConfig, of_tasks
from selfsup.finetuning.material import open_material
from selfsup.finetuning.scoring import report, score_task
from selfsup.task import load_task
from selfsup.training.command import command, start

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    model: str, output: Path, tasks: dict[str, DataChoice], tune: FineTuneConfig, epochs: dict[str, int] | None = None,
    seeds: int = 3, scratch: bool = False,
    data_root: Path | None = None, trust_remote_code: bool = False, arguments: str = "",
) -> None:  # fmt: skip
    """Fine-tune on every task with every seed and print what came of it; goes on where it was stopped.

    Args:
        model: a run, an exported folder, a checkpoint or a Hub encoder.
        output: folder of all trials, and scores.json.
        tasks: which, by the names of files in tasks/, and the data of each.
        tune: how each is learnt, the same for all.
        epochs: of a task by name, where they are not those of `tune`; the table tells.
        seeds: repetitions, 0, 1, 2 …
        scratch: take the shape of the model alone, and fresh weights.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        trust_remote_code: run Python files that come with the model.
    """
    accelerator = start(output, arguments, seed=0, resume=True)
    learner = open_learner(model, scratch=scratch, trust_remote_code=trust_remote_code)
    materials = [
        open_material(load_task(name, TASKS), choice, learner, data_root=data_root, say=accelerator.print)
        for name, choice in tasks.items()
    ]  # all are read before the first one is learnt
    known = [path.stem for path in TASKS.glob("*.py")]
    settings = of_tasks(tune, [material.name for material in materials], epochs, known)
    results = {}
    for material in materials:
        name = material.name
        results[name] = score_task(learner, material, settings[name], output / name, seeds=seeds,
                                   accelerator=accelerator)  # fmt: skip
    if accelerator.is_main_process:
        report(results, output)


if __name__ == "__main__":
    command(main, recipe=Path(__file__).parent / "recipes" / "score_hub.yaml")

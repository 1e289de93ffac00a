"""What is pretraining worth? Pretrained against the same network from scratch, with 1, 10 and 100 % of the labels."""

from pathlib import Path

from selfsup.examples import DataChoice
from selfsup.finetuning.comparison import PRETRAINED, SCRATCH, SweepConfig, compare, report
from selfsup.finetuning.learner import open_learner
from selfsup.finetuning.learning import FineTuneConfig, of_tasks
from selfsup.finetuning.material import open_material
from selfsup.task import load_task
from selfsup.training.command import command, start

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    model: str, output: Path, tasks: dict[str, DataChoice], tune: FineTuneConfig, epochs: dict[str, int] | None = None,
    sweep: SweepConfig = SweepConfig(),
    shares: tuple[float, ...] = (0.01, 0.1, 1.0), seeds: int = 3, data_root: Path | None = None,
    trust_remote_code: bool = False, arguments: str = "",
) -> None:  # fmt: skip
    """Fine-tune both on every task, share and seed, and put them side by side; goes on where it was stopped.

    Args:
        model: a run, an exported folder, a checkpoint or a Hub encoder.
        output: folder of all trials, comparison.json, labels.png and curves.png.
        tasks: which, by the names of files in tasks/, and the data of each.
        tune: how the pretrained model learns; the other one's learning rate and epochs are swept.
        epochs: of a task by name, where they are not those of `tune`.
        sweep: what is tried, on examples cut from training.
        shares: of the labelled examples.
        seeds: repetitions, 0, 1, 2 …
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        trust_remote_code: run Python files that come with the model.
    """
    accelerator = start(output, arguments, seed=0, resume=True)
    arms = {
        name: open_learner(model, scratch=name == SCRATCH, trust_remote_code=trust_remote_code)
        for name in (PRETRAINED, SCRATCH)
    }
    materials = [
        open_material(load_task(name, TASKS), choice, arms[PRETRAINED], data_root=data_root, say=accelerator.print)
        for name, choice in tasks.items()
    ]
    known = [path.stem for path in TASKS.glob("*.py")]
    settings = of_tasks(tune, [material.name for material in materials], epochs, known)
    results = {}
    for material in materials:
        name = material.name
        results[name] = compare(arms, material, shares, settings[name], sweep, output / name, seeds=seeds,
                                accelerator=accelerator)  # fmt: skip
        if accelerator.is_main_process:
            report(results, output, title=f"{Path(model).name}: pretrained and from scratch, {seeds} seeds")


if __name__ == "__main__":
    command(main, recipe=Path(__file__).parent / "recipes" / "compare_hub.yaml")

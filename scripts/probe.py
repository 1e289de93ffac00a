"""What does a body know? Nearest neighbours, a linear layer or full fine-tuning, beside fresh weights and pixels."""

from pathlib import Path

from selfsup.examples import DataChoice
from selfsup.finetuning.learner import open_learner
from selfsup.finetuning.material import open_material
from selfsup.finetuning.probing import FRESH, FULL, TRAINED, ProbeConfig, check_probed, probe, report
from selfsup.objectives import Supervised
from selfsup.task import load_task
from selfsup.training.command import command, refuse_training_run, start

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    task: str, model: str, output: Path, data: DataChoice = DataChoice(), probes: ProbeConfig = ProbeConfig(),
    objective: Supervised | None = None, data_root: Path | None = None, trust_remote_code: bool = False,
    arguments: str = "",
) -> None:  # fmt: skip
    """Look at the features of a model with probes; what is fine-tuned goes on where it was stopped.

    Args:
        task: name of a file in tasks/, a path to a .py file, or module:attribute; one label for each example.
        model: a run, an exported folder, a checkpoint or a Hub model, of pictures or of text; any head is left out.
        output: folder of results.json, probes.png, and the trials of full fine-tuning.
        data: what is learnt from and scored on, where that is not the task's own.
        probes: which, on what, and how often.
        objective: of full fine-tuning, in place of the task's, as for finetune.py.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        trust_remote_code: run Python files that come with the model.
    """
    refuse_training_run(output)
    if objective and FULL not in probes.kinds:
        raise ValueError(
            "an objective is for full fine-tuning, but no such probe is asked for: add full to --probes.kinds"
        )
    accelerator = start(output, arguments, seed=0, resume=True)
    chosen = load_task(task, TASKS).learnt_by(objective)
    arms = {
        name: open_learner(model, scratch=name == FRESH, trust_remote_code=trust_remote_code)
        for name in (TRAINED, FRESH)
    }
    asked = check_probed(chosen, arms[TRAINED], probes)
    material = open_material(asked, data, arms[TRAINED], data_root=data_root, say=accelerator.print)
    result = probe(arms, chosen, material, probes, output, accelerator=accelerator)
    if accelerator.is_main_process:
        name = "/".join(Path(model).parts[-2:])
        report(result, output, title=f"{name} on {chosen.name}: {probes.seeds} seeds")


if __name__ == "__main__":
    command(main)

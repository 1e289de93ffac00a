"""Draw what a fine-tuned model takes for what: `show_confusion.py --model FOLDER --task clothes`."""

from pathlib import Path

from selfsup.examples import DataChoice
from selfsup.pictures.confusion import draw_confusion
from selfsup.task import load_task
from selfsup.training.command import command

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    model: str, task: str, output: Path = Path("confusion.png"), data: DataChoice = DataChoice(), pairs: int = 5,
    data_root: Path | None = None, trust_remote_code: bool = False,
) -> None:  # fmt: skip
    """Draw the confusion matrix of a model that tells classes, on pictures or texts, and print its worst mistakes.

    Args:
        model: a run, an exported folder or a Hub id of a model that was fine-tuned.
        task: whose held-out examples: a file in tasks/, a path to a .py file, or module:attribute.
        output: the picture: .png, .svg or .pdf.
        data: whose held-out split it is, where that is not the task's own.
        pairs: mistakes that are printed at most.
        data_root: folder that mirrors the Hub; or the variable SELFSUP_DATA_ROOT.
        trust_remote_code: run Python files that come with the model; our own need none.
    """
    from transformers.utils import logging

    from selfsup.metrics.wilson import wilson
    from selfsup.predicting.confusion import confusion_of, worst_pairs
    from selfsup.predicting.opening import one_process, open_head

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    chosen, accelerator = load_task(task, TASKS), one_process()
    network, head = open_head(model, trust_remote_code=trust_remote_code)
    network.to(accelerator.device)
    counts, names = confusion_of(network, head, chosen, data, accelerator=accelerator, data_root=data_root)
    right, total = int(counts.trace()), int(counts.sum())
    low, high = wilson(right, total)
    figure = f"{100 * right / total:.1f} % right ({100 * low:.1f} to {100 * high:.1f})"
    draw_confusion(counts, names, output, title=f"{'/'.join(Path(model).parts[-2:])} on {chosen.name}\n{figure}")
    print("\n".join([f"{figure} of {total:,}", *worst_pairs(counts, names, pairs), f"confusion   {output}"]))


if __name__ == "__main__":
    command(main)

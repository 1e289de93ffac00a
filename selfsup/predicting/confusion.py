"""What a model takes for what: its conclusions on labelled examples, counted by true and predicted class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from transformers import PreTrainedModel

from selfsup.examples import DataChoice, read_held_out
from selfsup.objectives.supervised import few
from selfsup.predicting.assess import assess
from selfsup.predicting.heads import Head, Scores
from selfsup.task import Task


def confusion_of(
    model: PreTrainedModel,
    head: Head,
    task: Task,
    choice: DataChoice,
    *,
    accelerator: Accelerator,
    data_root: Path | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Run a model over what a task is scored on, and count.

    Args:
        model: fine-tuned.
        head: bound to it, see `open_head`; must tell one class for each example.
        task: with labels.
        choice: of the data.
        accelerator: of the one process.
        data_root: folder that mirrors the Hub.
    Returns:
        (true, predicted) int64, and the names of the classes in the order of the model.
    Raises:
        ValueError: the model tells no classes, or others than those of the data; or reads other input.
    """
    if not isinstance(head, Scores) or head.multi_label:
        raise ValueError(
            "a model that tells one class for each example is wanted, but this one has another head: fine-tune one on "
            "such a task, with scripts/finetune.py"
        )
    roles = task.objective().roles
    if "label" not in roles or roles[0] != head.roles[0]:
        raise ValueError(
            f"a task of {head.roles[0]} and label is wanted for this model, but {task.name} has {', '.join(roles)}"
        )
    examples = read_held_out(task, choice, data_root, form=head.picture_form).examples
    numbers = {name: number for number, name in enumerate(head.names)}
    if strange := sorted({str(example["label"]) for example in examples} - numbers.keys()):
        raise ValueError(
            f"labels that the model knows are wanted, {few(head.names)}, but the data has {few(strange)}: name other "
            "data, or the labels of its numbers with --data.labels"
        )
    if not examples:
        raise ValueError(f"examples to score on were wanted, but {task.name} has none there")
    conclusions = assess(model, head, examples, accelerator=accelerator).conclusions
    counts = np.zeros((len(numbers), len(numbers)), dtype=np.int64)
    for example, conclusion in zip(examples, conclusions, strict=True):
        counts[numbers[example["label"]], numbers[conclusion["prediction"]]] += 1
    return counts, list(head.names)


def worst_pairs(counts: np.ndarray, names: Sequence[str], number: int) -> list[str]:
    """The largest mistakes, by their share of the true class, as sentences.

    Args:
        counts: (true, predicted).
        names: of the classes.
        number: of mistakes at most.
    Example:
        >>> worst_pairs(np.array([[6, 2], [1, 9]]), ["cat", "dog"], 1)
        ['cat taken for dog: 2 of 8 (25.0 %)']
    """
    totals = counts.sum(axis=1)
    pairs = [(counts[i, j] / totals[i], i, j) for i, j in zip(*np.nonzero(counts), strict=True) if i != j]
    return [
        f"{names[i]} taken for {names[j]}: {counts[i, j]:,} of {totals[i]:,} ({share:.1%})".replace("%)", " %)")
        for share, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))[:number]
    ]

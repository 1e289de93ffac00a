"""The examples of a task, read, labelled and looked at before anything is learnt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedConfig

from selfsup.data.labelled import Table, checked
from selfsup.examples import DataChoice, read_task
from selfsup.finetuning.figures import Scorer
from selfsup.finetuning.learner import Learner, config_of, strange_head
from selfsup.objectives.contrastive import AXIS
from selfsup.objectives.objective import Example
from selfsup.objectives.supervised import Supervised, few
from selfsup.task import DataSet, Human, Task


@dataclass(frozen=True)
class Material:
    """What a task is learnt from and scored on.

    Args:
        name: of the task.
        task: objective and metrics.
        train: raw examples to learn from.
        held_out: raw examples to score on.
        labels: names in the order of their ids; empty where answers are no labels.
        human: what people reach on this data, where that is published.
        data: the set they are of.
    """

    name: str
    task: Task
    train: Sequence[Example]
    held_out: Sequence[Example]
    labels: tuple[str, ...]
    human: Human | None = None
    data: DataSet | None = None

    def bound(self, learner: Learner) -> Supervised:
        """The objective of the task, as it is when this learner learns it; it has seen the training examples."""
        objective = self.task.objective()
        objective.survey(self.train)
        bind(objective, learner, self.labels)
        return objective


def open_material(
    task: Task,
    choice: DataChoice,
    learner: Learner,
    *,
    data_root: Path | None = None,
    say: Callable[[str], None] = print,
) -> Material:
    """Read a task's examples, and refuse what a learner could not learn from before it begins.

    Args:
        task: which.
        choice: of the data.
        learner: whose tokenizer and labels count.
        data_root: folder that mirrors the Hub.
        say: gets lines on what was read.
    Raises:
        ValueError: no such data, a row is no example (its number is said), or a metric does not fit the labels.
    """
    objective = task.objective()
    read = read_task(task, choice, data_root, form=objective.form(learner.processor, config_of(learner, ())))
    names = objective.survey(read.train.examples)
    labels = _as_learnt(learner, (read.labels or tuple(names)) if names else ())
    if {"label", "tags"} & set(objective.roles) and len(labels) < 2:
        raise ValueError(
            f"{task.name}: two labels or more are wanted to choose from, but all examples of {read.train.name} have "
            f"{few(labels) or 'none'}: give other rows"
        )
    bind(objective, learner, labels)
    Scorer(task, objective)
    train, held_out = (
        checked(table, objective.check, skip_bad_rows=choice.skip_bad_rows) for table in (read.train, read.held_out)
    )
    say(f"{task.name}: {len(train):,} examples of {train.name} to learn from, {len(held_out):,} to score on")
    lines = [
        *read.notes,
        *(line for table in (train, held_out) for line in (table.losses(), _altered(table, objective))),
    ]
    for line in dict.fromkeys(line for line in lines if line):
        say(line)
    if known := strange_head(learner, objective, labels):
        told = "views" if all(name.startswith(AXIS) for name in known) else few(known)
        say(f"{learner.start} has a head for {told}; here it is {few(labels)}, so the head starts afresh")
    return Material(task.name, task, train.examples, held_out.examples, labels, read.data.human, read.data)


def bind(objective: Supervised, learner: Learner, labels: Sequence[str]) -> None:
    """Bind an objective that has seen the training examples, as when this learner learns it."""
    config = config_of(learner, labels)
    config.update(objective.findings())
    objective.bind(learner.processor, config)


def _altered(table: Table, objective: Supervised) -> str | None:
    """A line on the examples that are not read as they came, if there are any."""
    notes = [objective.notes(example) for example in table.examples]
    places = [number for number, of_example in enumerate(notes) if of_example]
    if not places:
        return None
    first = places[0]
    return f"{table.name}: not read as they came: {len(places)}, first {table.places[first]}: {notes[first][0]}"


def _as_learnt(learner: Learner, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Labels in the order in which a model knows them already, if it knows the very same."""
    if isinstance(learner.start, PreTrainedConfig) or not labels:
        return labels
    known = config_of(learner, ()).id2label or {}
    ordered = tuple(name for _, name in sorted(known.items()))
    return ordered if sorted(ordered) == sorted(labels) else labels

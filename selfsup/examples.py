"""From a task and what the command line says of its data to examples to learn from and to score on."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from selfsup.data.images import PictureForm
from selfsup.data.labelled import ANSWERS, Table, read_table
from selfsup.data.places import TABLES, is_here, is_path, listed
from selfsup.task import DataSet, Task


@dataclass(frozen=True)
class DataChoice:
    """Which data a task learns from and is scored on.

    Args:
        name: of a data set that the task knows (sick), of another of its kind, or of a file or folder (.parquet,
            .jsonl, .jsonl.gz, .csv, .tsv), or of a folder of pictures with a folder for each class.
        columns: of the roles, where they are called otherwise: {text: sentence_A}.
        labels: names of numbered labels, from 0 on, where the data does not name them: ["no", "yes"].
        train: split, or file, to learn from.
        held_out: split, or file, to score on; or a share of the rows to learn from, as 0.1, drawn once; 0, for folds,
            for none.
        also: further sets to learn from, each name:split, as stanfordnlp/snli:validation.
        max_train: examples to learn from at most, drawn once, the same for all seeds.
        max_held_out: examples to score on at most, drawn once.
        skip_bad_rows: leave rows out that are no examples, count and name them, instead of refusing the data.
    """

    name: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    train: str | None = None
    held_out: str | None = None
    also: list[str] = field(default_factory=list)
    max_train: int | None = None
    max_held_out: int | None = None
    skip_bad_rows: bool = False

    def __post_init__(self) -> None:
        for name in ("max_train", "max_held_out"):
            if (most := getattr(self, name)) is not None and most < 1:
                raise ValueError(f"--data.{name} must be at least 1, but {most} came")


@dataclass(frozen=True)
class TaskData:
    """Examples of a task.

    Args:
        data: the set they are of.
        train: to learn from.
        held_out: to score on.
        labels: in the order of their ids, where the data or the task numbers them; else the objective's survey orders.
        notes: lines on what stands on both sides; on rows that were left out see `Table.losses`.
    """

    data: DataSet
    train: Table
    held_out: Table
    labels: tuple[str, ...]
    notes: list[str]


def read_task(
    task: Task, choice: DataChoice = DataChoice(), data_root: Path | None = None, *, form: PictureForm | None = None
) -> TaskData:
    """Read what a task learns from and is scored on.

    Args:
        task: whose objective says which roles there are.
        choice: of the command line.
        data_root: folder that mirrors the Hub.
        form: of pictures, as the model wants them; None where it reads text.
    Raises:
        ValueError: see `read_table`; rows to learn from are to be scored on; further sets have other labels.
    """
    name = choice.train if choice.name is None and choice.train and is_path(choice.train, TABLES) else choice.name
    data = task.choose(name, choice.columns, choice.labels)
    try:
        tables = [read_split(task, data, choice.train or data.train, choice, data_root, form=form)]
    except ValueError as error:
        near = get_close_matches(name or "", [known.names[-1] for known in task.data], 1)
        if not near or not str(error).startswith("Nothing is called"):
            raise
        raise ValueError(f"{error}; did you mean {near[0]}?") from error
    for further in choice.also:
        other = _further(task, further, data)
        tables.append(read_split(task, other, other.train, choice, data_root, form=form))
    train, asked = _joined(tables), choice.held_out or data.held_out
    if (share := _share(asked)) is not None:
        train, held_out = _cut(train, share)
    else:
        held_out = read_split(task, data, asked, choice, data_root, form=form)
        if is_path(asked, TABLES):
            data = replace(data, human=None)  # people were not asked about these
        _keep_apart(train, held_out, asked)
    train, held_out = _drawn(train, choice.max_train), _drawn(held_out, choice.max_held_out)
    shared = _shared(train, held_out)
    return TaskData(data, train, held_out, tables[0].labels, [shared] if shared else [])


def read_held_out(
    task: Task,
    choice: DataChoice = DataChoice(),
    data_root: Path | None = None,
    *,
    answers: bool = True,
    form: PictureForm | None = None,
) -> Table:
    """Read what a task is scored on, alone: its split, or the share that is cut from the rows to learn from.

    Args:
        task, choice, data_root, form: as for `read_task`.
        answers: read answers too; of a share they are always read.
    Raises:
        ValueError: see `read_table`.
    """
    data = task.choose(choice.name, choice.columns, choice.labels)
    asked = choice.held_out or data.held_out
    if _share(asked) is not None:
        return read_task(task, choice, data_root, form=form).held_out
    table = read_split(task, data, asked, choice, data_root, answers=answers, form=form)
    return _drawn(table, choice.max_held_out)


def read_split(
    task: Task,
    data: DataSet,
    split: str,
    choice: DataChoice = DataChoice(),
    data_root: Path | None = None,
    *,
    answers: bool = True,
    form: PictureForm | None = None,
) -> Table:
    """Read one split of a data set of a task.

    Args:
        task: whose objective says which roles there are.
        data: the set.
        split: of the set, or a file.
        choice: whether bad rows are left out.
        data_root: folder that mirrors the Hub.
        answers: read answers too; False where only predictions are wanted.
        form: of pictures, as the model wants them.
    Raises:
        ValueError: see `read_table`.
    """
    objective = task.objective()
    name = split if is_path(split, TABLES) else data.name
    if data.hub and name == data.name and not is_here(name, data_root, formats=TABLES):
        name = data.hub
    return read_table(
        name,
        data.columns,
        roles=objective.roles,
        optional=objective.optional,
        split=split,
        labels=data.labels,
        several=getattr(objective, "multi_label", False),
        answers=answers,
        skip_bad_rows=choice.skip_bad_rows,
        form=form,
        data_root=data_root,
    )


def _further(task: Task, further: str, data: DataSet) -> DataSet:
    """A set named name:split."""
    name, _, split = further.rpartition(":")
    if not name:
        name, split = further, ""
    found = task.choose(name)
    if found.names == data.names:
        found = data
    return replace(found, train=split or found.train)


def _joined(tables: list[Table]) -> Table:
    first, *others = tables
    for other in others:
        strange = {label for example in other.examples for label in _labels(example)} - set(first.labels)
        if first.labels and strange:
            raise ValueError(
                f"{other.name} was to have the labels of {first.name}, {listed(first.labels)}, but has "
                f"{listed(sorted(strange))}: learn from another set, or name its numbers with --data.labels"
            )
        first = Table(
            name=f"{first.name} + {other.name}",
            examples=first.examples + other.examples,
            places=first.places + other.places,
            labels=first.labels,
            left_out=first.left_out + other.left_out,
            origin=first.origin + other.origin,
            fingerprint=blake2b(f"{first.fingerprint} {other.fingerprint}".encode(), digest_size=16).hexdigest(),
        )
    return first


def _labels(example: dict[str, Any]) -> Iterable[str]:
    value = example.get("label", example.get("tags", []))
    return value if isinstance(value, list) else [value]


def _share(asked: str) -> float | None:
    """The share of rows that is to be held out; None of names of splits and files."""
    try:
        share = float(asked)
    except ValueError:
        return None
    if not 0 <= share < 1:
        raise ValueError(f"--data.held_out as a share must be at least 0 and below 1, but {asked} came")
    return share


def _cut(table: Table, share: float) -> tuple[Table, Table]:
    if share == 0:
        return table, replace(table.part([]), left_out=[])
    number = round(share * len(table))
    if not 0 < number < len(table):
        raise ValueError(f"{table.name} has {len(table)} examples, too few to hold out {share:g} of them: give more")
    held_out = set(np.random.default_rng(0).choice(len(table), number, replace=False).tolist())
    return table.part(n for n in range(len(table)) if n not in held_out), replace(
        table.part(sorted(held_out)), left_out=[]
    )


def _drawn(table: Table, most: int | None) -> Table:
    if most is None or most >= len(table):
        return table
    return table.part(sorted(np.random.default_rng(0).choice(len(table), most, replace=False).tolist()))


def _keep_apart(train: Table, held_out: Table, asked: str) -> None:
    if both := set(train.origin) & set(held_out.origin):
        raise ValueError(
            f"What is learnt from must not be scored on, but {listed(Path(one).name for one in sorted(both))} would be "
            f"both ({asked!r} tells no other part of it): name another file or split with --data.held_out, or hold out "
            "a share of the rows with --data.held_out 0.1"
        )


def _shared(train: Table, held_out: Table) -> str | None:
    """A line on examples that stand on both sides, answers aside."""

    def key(example: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(example[role]) for role in sorted(example) if role not in (*ANSWERS, "id"))

    known = {key(example) for example in train.examples}
    number = sum(key(example) in known for example in held_out.examples)
    if not number:
        return None
    return f"{number} of {len(held_out)} examples to score on stand unchanged among those to learn from"

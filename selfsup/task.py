"""Tasks: what is learnt from which data, how it is scored, and how it is found by name."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from selfsup.data.places import listed
from selfsup.objectives import Supervised


@dataclass(frozen=True)
class Human:
    """What people reach, as published.

    Args:
        figure: of the task's main metric; shares in 0-1.
        source: who measured it, and on what.
    """

    figure: float
    source: str


@dataclass(frozen=True)
class DataSet:
    """Where examples of a task come from.

    Args:
        name: a path, or `namespace/name[/config]`, on the Hub and under a data root.
        columns: of each role that is not called as its role; of several names the first that is there counts.
        labels: names of numbered labels, where the data does not name them.
        train: split to learn from.
        held_out: split to score on.
        hub: name on the Hub, where it is another one.
        human: what people reach on it.
        called: a name of its own, where another set of the task is read from the same place.
    """

    name: str
    columns: Mapping[str, str | tuple[str, ...]]
    labels: tuple[str, ...] = ()
    train: str = "train"
    held_out: str = "validation"
    hub: str | None = None
    human: Human | None = None
    called: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All that it goes by; the last is its shortest."""
        if self.called:
            return (self.called,)
        bare = self.name.partition("@")[0]
        return tuple(name for name in (self.name, self.hub, bare, bare.rpartition("/")[2]) if name)


@dataclass(frozen=True)
class Prompt:
    """How a task is asked in words, of a model that goes on with a text.

    Args:
        template: an example as running text, with roles in braces; its answer stands last.
        description: of what is asked; stands above everything.
        verbalisers: the words that stand for labels, by the names of the labels; one that is not named here stands
            for itself, with spaces for its underscores.
        separator: between description, examples and query.
    """

    template: str
    description: str = ""
    verbalisers: Mapping[str, str] = field(default_factory=dict)
    separator: str = "\n\n"


@dataclass(frozen=True)
class Task:
    """Data, objective, metrics and a prompt.

    Args:
        objective: what makes the objective: a class, or a class with arguments.
        metrics: what makes the metrics; the main figure of the first stands for the task.
        data: known data sets; the first is the default.
        prompt: how it is asked in words; None where it is not.
        name: of its file.
        source_metrics: what makes those that see the source of a text beside its targets. Where a task is learnt they
            come before the others; answers to prompts are scored without them.
    """

    objective: Callable[[], Supervised]
    metrics: tuple[Callable[[], Any], ...]
    data: tuple[DataSet, ...]
    prompt: Prompt | None = None
    name: str = "task"
    source_metrics: tuple[Callable[[], Any], ...] = ()

    def learnt_by(self, objective: Supervised | None) -> "Task":
        """The same by an objective that a user made, of which every trial gets a fresh copy; as it is without one."""
        return replace(self, objective=partial(deepcopy, objective)) if objective else self

    def choose(
        self, name: str | None = None, columns: Mapping[str, str] | None = None, labels: Sequence[str] = ()
    ) -> DataSet:
        """A data set of this task.

        Args:
            name: of a known one, whole or its last part, or of any other of this kind, whose columns are called as
                those of the default or as the roles; None for the default.
            columns: of roles, in place of what is known.
            labels: names of numbered labels, in place of what is known.
        Raises:
            ValueError: there is neither a name nor a default.
        """
        if name is None and not self.data:
            raise ValueError(f"The task {self.name} has no data of its own: bring some with --data.name my.jsonl")
        known = [data for data in self.data if name is None or name in data.names]
        if known:
            found = known[0]
        else:
            usual = self.data[0].columns if self.data else {}
            names = {role: (*([column] if isinstance(column, str) else column), role) for role, column in usual.items()}
            found = DataSet(str(name), names)
        return replace(found, columns={**found.columns, **(columns or {})}, labels=tuple(labels) or found.labels)


def load_task(name: str, folder: Path) -> Task:
    """The task of a name.

    Args:
        name: of a file in the folder, without its ending; a path to a .py file; or `module:attribute`.
        folder: of tasks.
    Raises:
        ValueError: nothing is called so, its file fails, or holds no task.
    """
    attribute = "task"
    if name.endswith(".py"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise ValueError(f"There is no file {path}: check the path of the task")
        module, short = _run(path), path.stem
    elif ":" in name:
        place, _, attribute = name.partition(":")
        module, short = _imported(place), attribute
    else:
        there = sorted(path.stem for path in folder.glob("[!_]*.py"))
        if name not in there:
            near = get_close_matches(name, there, 1)
            meant = f"did you mean {near[0]}?" if near else "name one of them, or the path of a file like my_task.py"
            raise ValueError(f"There is no task {name!r} among {listed(there)} in {folder}: {meant}")
        module, short = _run(folder / f"{name}.py"), name
    found = getattr(module, attribute, None)
    if not isinstance(found, Task):
        came = "nothing" if found is None else f"a {type(found).__name__}"
        raise ValueError(f"{name} was to hold `{attribute}`, a selfsup.task.Task, but {came} is called so")
    return found if found.name != "task" else replace(found, name=short)


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"task_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickling look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the file does
        raise ValueError(f"{path} does not run: {type(error).__name__}: {_line(error)}") from error
    return module


def _imported(place: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except Exception as error:  # whatever the module does
        raise ValueError(f"{place} cannot be imported: {type(error).__name__}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]

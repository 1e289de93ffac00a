"""From what the command line says to answers: one query, or a whole set with a table, a curve and files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers.utils import logging

from selfsup.data.files import refuse_halves
from selfsup.data.places import listed
from selfsup.examples import DataChoice, TaskData, read_task
from selfsup.prompting.demonstrations import Demonstrations, apart
from selfsup.prompting.respondent import Respondent, Scoring
from selfsup.prompting.shots import ShotConfig, measure, open_metric, results, table, to_show, without_reading
from selfsup.prompting.wording import Wording
from selfsup.prompting.writer import Writer
from selfsup.task import Prompt, Task
from selfsup.training.causal import open_causal
from selfsup.training.record import read_record

NO_MATTER = ("output", "data_root", "batch_size", "trust_remote_code")  # no result depends on them


@dataclass(frozen=True)
class Opened:
    """A model that is opened when all else has been found right.

    Args:
        name: a run, an exported folder or a Hub id.
        device: to compute on.
        scoring, batch_size: see `Respondent`.
        trust_remote_code: run Python files that come with the model.
    """

    name: str
    device: torch.device
    scoring: Scoring = "sum"
    batch_size: int = 16
    trust_remote_code: bool = False

    def respondent(self, wording: Wording) -> Respondent | Writer:
        """The model, asked in these words: it chooses a label, or writes an answer."""
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        model, tokenizer = open_causal(self.name, trust_remote_code=self.trust_remote_code)
        model = model.to(self.device)
        if wording.answer_role != "label":
            return Writer(model, tokenizer, wording, batch_size=self.batch_size)
        return Respondent(model, tokenizer, wording, scoring=self.scoring, batch_size=self.batch_size)


def reworded(
    task: Task,
    template: str | None = None,
    description: str | None = None,
    verbalisers: Mapping[str, str] | None = None,
) -> Task:
    """A task asked in other words.

    Args:
        task: as its file has it.
        template: in place of its own.
        description: in place of its own; "" for none.
        verbalisers: words for some labels, in place of its own.
    """
    old = task.prompt or (Prompt(template) if template else None)
    if old is None:
        return task  # `Wording` says what is missing
    return replace(
        task,
        prompt=replace(
            old,
            template=old.template if template is None else template.replace("\\n", "\n"),  # as a shell hands it on
            description=old.description if description is None else description,
            verbalisers={**old.verbalisers, **(verbalisers or {})},
        ),
    )


def ask(
    task: Task,
    query: Mapping[str, str],
    opened: Opened,
    config: ShotConfig = ShotConfig(),
    choice: DataChoice = DataChoice(),
    data_root: Path | None = None,
) -> str:
    """The probability of each label for one example of the user's own, the most probable one first; or what is written.

    Args:
        task: with a prompt.
        query: by role.
        opened: who is asked.
        config: the last of its `shots` counts.
        choice: where the examples to show come from; without any, and where the task names its labels, nothing is read.
        data_root: folder that mirrors the Hub.
    Returns:
        a line for each label, and one for each thing to know about the prompt.
    Raises:
        ValueError: see `Wording`, `read_task`, `open_causal` and `Respondent`; or `query` is of other roles.
    """
    number, shown = config.shots[-1], []
    named = choice.labels or (task.data[0].labels if task.data and choice == DataChoice() else ())
    known = named or "label" not in task.objective().roles
    data = read_task(task, replace(choice, held_out="0"), data_root) if number or not known else None
    wording = Wording(task, labels_of(data) if data else named)
    if unknown := query.keys() - set(wording.fields[:-1]):
        raise ValueError(
            f"a query has what the template asks for, {listed(wording.fields[:-1])}, but {listed(sorted(unknown))} "
            "came: correct it"
        )
    wording.question(query)
    for role, text in query.items():
        refuse_halves(text, f"the {role} of a query")
    if number:
        assert data
        pool = data.train.part(apart(data.train.examples, [query]))
        demonstrations = Demonstrations(config.demonstrations, pool.examples, seed=config.seed)
        demonstrations.check(number)
        places = demonstrations.places(query, number)
        shown = [(pool.examples[place], wording.right_answer(pool.examples[place])) for place in places]
    respondent = opened.respondent(wording)
    answers = respondent.answer([query], [shown])
    lines = answers.texts
    if wording.labels:
        order = np.argsort(-answers.log_probs[0], kind="stable").tolist()
        width = max(map(len, wording.labels))
        lines = [f"{wording.labels[n]:<{width}}  {np.exp(answers.log_probs[0, n]):.4f}" for n in order]
    if lost := answers.left_out[0]:
        lines.append(f"the first {lost} of {number} examples had no room in {respondent.room.max_tokens} tokens")
    if answers.undescribed[0]:
        lines.append("neither had the description")
    return "\n".join([*lines, *respondent.notes])


def report(
    task: Task,
    opened: Opened,
    config: ShotConfig,
    choice: DataChoice = DataChoice(),
    data_root: Path | None = None,
    output: Path | None = None,
    *,
    max_examples: int | None = None,
    arguments: str = "",
) -> dict[str, Any]:
    """Ask about all that is held out, print a table, and leave results.json, predictions.jsonl and shots.png.

    Args:
        task: with a prompt.
        opened: who is asked.
        config: how often, and with which examples.
        choice: of data.
        data_root: folder that mirrors the Hub.
        output: folder; must be given, and hold no results of other arguments.
        max_examples: to ask about at most, drawn once.
        arguments: of the command, as YAML; kept in run.yaml.
    Returns:
        what results.json holds.
    Raises:
        ValueError: see `Wording`, `read_task`, `open_causal`, `Respondent`, `Demonstrations` and
            `refuse_other_results`.
    """
    from selfsup.pictures.prompting import draw_shots
    from selfsup.prompting.shots import curve
    from selfsup.training.command import refuse_training_run, start

    if output is None:
        raise ValueError("a folder for what is found is wanted: name it with --output, or ask about one --query.text")
    refuse_training_run(output)
    refuse_other_results(output, arguments)
    data = read_task(task, choice if max_examples is None else replace(choice, max_held_out=max_examples), data_root)
    if not len(data.held_out):
        raise ValueError(f"examples to ask about are wanted, but none of {data.data.name} is held out: see --data")
    labels = labels_of(data)
    wording, metric = Wording(task, labels), open_metric(task, labels)
    pool, same = to_show(data)
    demonstrations = Demonstrations(config.demonstrations, pool.examples, seed=config.seed)
    for number in config.shots:
        demonstrations.check(number)
    respondent = opened.respondent(wording)
    start(output, arguments, seed=config.seed, resume=True)
    for note in (*filter(None, (data.train.losses(), data.held_out.losses(), same)), *respondent.notes):
        print(note)
    aside = output / ".predictions.jsonl"  # so that those of an earlier call stay until there are results
    with aside.open("w", encoding="utf-8") as file:
        lines = measure(
            respondent,
            metric,
            pool,
            data.held_out,
            config,
            write=lambda row: print(json.dumps(row, ensure_ascii=False), file=file),
            say=print,
        )
    without = without_reading(metric, data.train, data.held_out, labels)
    found = results(lines, metric, without, config, respondent)
    commit = getattr(respondent.model.config, "_commit_hash", None)  # of a model of the Hub
    about = {"task": task.name, "data": data.data.name, "model": opened.name, "commit": commit}
    found = {**about, "queries": len(data.held_out), "to_show": len(pool), **found}
    aside.replace(output / "predictions.jsonl")
    (output / "results.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    draws = f"{config.orderings} draws of {config.demonstrations} examples"
    title = (
        f"{Path(opened.name).name} on {task.name}: {len(data.held_out)} queries, {draws}, {respondent.scoring} scoring"
    )
    print(f"\n{title}; mean and 95 % interval\n{table(lines, metric, without)}\n")
    picture = output / "shots.png"
    draw_shots(
        curve(lines, metric),
        picture,
        title=title,
        metric=metric.main.replace("_", " "),
        baselines={name: 100 * figure for name, figure in without.items()},
    )
    print(f"results   {output / 'results.json'}\ncurve     {picture}")
    return found


def refuse_other_results(folder: Path, arguments: str) -> None:
    """Keep what was found with other arguments; the same ones may be asked again.

    Args:
        folder: that results go to.
        arguments: as YAML, see `command`.
    Raises:
        ValueError: there are results, and the run.yaml beside them has other arguments, or is not there.
    """
    if not (folder / "results.json").is_file():
        return
    kept = (read_record(folder)[1] if (folder / "run.yaml").is_file() else None) or {}
    asked = yaml.safe_load(arguments) or {}
    names = [name for name in {**kept, **asked} if name not in NO_MATTER and kept.get(name) != asked.get(name)]
    if names and not kept:
        raise ValueError(f"{folder} holds results of another command: choose another --output")
    if names:
        raise ValueError(
            f"{folder} holds results that were found with another {listed([f'--{name}' for name in names])}: give "
            "the arguments of its run.yaml, or choose another --output"
        )


def labels_of(data: TaskData) -> tuple[str, ...]:
    """All labels, if there are any: as the data numbers them, or else in alphabetical order."""
    names = (example["label"] for example in data.train.examples if isinstance(example.get("label"), str))
    return data.labels or tuple(sorted(set(names)))

"""How right a model is with 0, 1, 2, 4 … examples in its prompt: draws and orders, means and intervals, files."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from selfsup.data.labelled import Table
from selfsup.examples import TaskData
from selfsup.metrics.bootstrap import bootstrap
from selfsup.metrics.metric import TallyMetric
from selfsup.prompting.demonstrations import Choice, Demonstrations, apart
from selfsup.prompting.respondent import Respondent
from selfsup.prompting.room import Answers
from selfsup.prompting.wording import Wording
from selfsup.prompting.writer import Writer
from selfsup.task import Task

SHOWN, BY_CHANCE = "their own labels", "labels by chance"
Interval = tuple[float, float, float]  # mean, low, high
INTERVAL_SEED = 0  # the same draws for all: equal answers have equal intervals


@dataclass(frozen=True)
class ShotConfig:
    """How often is asked, and with which examples.

    Args:
        shots: numbers of examples in a prompt.
        orderings: draws of examples and their order, each asked about every query; without examples there is one.
        demonstrations: see `Demonstrations`.
        control: ask again with labels drawn by chance, to see whether those in the prompt are read.
        seed: of all draws.
    """

    shots: tuple[int, ...] = (0, 1, 2, 4, 8)
    orderings: int = 5
    demonstrations: Choice = "balanced"
    control: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.orderings < 1:
            raise ValueError(f"1 draw of examples or more is wanted, but --orderings {self.orderings} came")
        if not self.shots or len(set(self.shots)) < len(self.shots):
            raise ValueError(f"one number of examples or more is wanted, each once, but --shots {self.shots} came")


@dataclass
class Line:
    """What came of one number of examples, with their labels or with others.

    Args:
        shots: examples of a prompt.
        arm: SHOWN or BY_CHANCE.
        tallies: (draws, queries, k) of the metric.
        answered: labels by how often they were the answer.
        prompts: that were asked.
        shortened: of them, those that did not fit.
        left_out: examples that these did without.
        undescribed: prompts that did without the description, too.
    """

    shots: int
    arm: str
    tallies: np.ndarray
    answered: Counter[str] = field(default_factory=Counter)
    prompts: int = 0
    shortened: int = 0
    left_out: int = 0
    undescribed: int = 0

    def losses(self, max_tokens: int | None) -> str | None:
        """A sentence on what did not fit, if anything."""
        if not self.shortened:
            return None
        more = f"; {self.undescribed} of them lost their description too" if self.undescribed else ""
        return (
            f"{self.shots} shots, {self.arm}: {self.shortened} of {self.prompts} prompts are longer than the "
            f"{max_tokens} tokens that the model reads; {self.left_out} examples were left out, the first of a prompt "
            f"first{more}"
        )


def measure(
    respondent: Respondent | Writer,
    metric: TallyMetric,
    pool: Table,
    queries: Table,
    config: ShotConfig,
    *,
    write: Callable[[dict[str, Any]], None] = lambda row: None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Line]:
    """Ask about every query with every number of examples and every draw.

    Args:
        respondent: who answers.
        metric: of the task.
        pool: examples to show; none may say what a query says, see `apart`.
        queries: to ask about.
        config: how often, and with which examples.
        write: takes each answer as a row.
        say: takes each line of progress.
    """
    demonstrations = Demonstrations(config.demonstrations, pool.examples, seed=config.seed)
    for number in config.shots:
        demonstrations.check(number)
    lines: list[Line] = []
    answer_role = respondent.wording.answer_role
    references = [references_of(example, answer_role) for example in queries.examples]
    for number in sorted(config.shots):
        for arm in (SHOWN, BY_CHANCE)[: 2 if config.control and number else 1]:
            line = Line(number, arm, np.zeros((0, 0, 0)))
            tallies = []
            for draw in range(config.orderings if number else 1):
                places = [
                    demonstrations.places(query, number, draw=draw, query_number=at)
                    for at, query in enumerate(queries.examples)
                ]
                shown_as = _shown_as(pool, respondent.wording, arm, np.random.default_rng((config.seed, draw, 1)))
                shown = [[(pool.examples[place], shown_as[place]) for place in some] for some in places]
                answers = respondent.answer(queries.examples, shown)
                tallies.append(metric.tallies(answers.texts, references))
                _count(line, answers, counted=answer_role == "label")
                for row in _rows(line, draw, answers, places, pool, queries, respondent.wording):
                    write(row)
            line.tallies = np.stack(tallies)
            lines.append(line)
            say(f"{number:>4} shots, {arm}: {metric.main} {100 * interval(metric, line)[0]:.1f}")
            if told := line.losses(respondent.room.max_tokens):
                say(told)
    return lines


def interval(metric: TallyMetric, line: Line, against: Line | None = None) -> Interval:
    """Mean over draws and 95 % interval over draws and queries; or of a paired difference.

    Without examples there is one draw: the difference to it holds it for each of the others.
    """
    other = None if against is None else np.broadcast_to(against.tallies, line.tallies.shape)
    return bootstrap(line.tallies, other, rng=np.random.default_rng(INTERVAL_SEED), figure=metric.figure)


def open_metric(task: Task, labels: Sequence[str]) -> TallyMetric:
    """The first metric of a task, over its labels.

    Raises:
        ValueError: it cannot score them.
    """
    metric = task.metrics[0]()
    if getattr(metric, "labels", ()) is None:
        metric.labels = list(labels)
    metric.check_labels(sorted(labels))
    sought = getattr(metric, "positive", None)
    if sought is not None and sought not in labels:
        raise ValueError(
            f"{type(metric).__name__} looks for the label {sought!r}, but the labels are {', '.join(labels)}: call "
            "them so in the data (numbered ones with --data.labels)"
        )
    return metric


def without_reading(metric: TallyMetric, train: Table, queries: Table, labels: Sequence[str]) -> dict[str, float]:
    """What can be had without a model: the most frequent label of training, and chance, which is what tallies are
    expected to be when every label is as probable; nothing where there are no labels."""
    if not labels:
        return {}
    references = [example["label"] for example in queries.examples]
    most = Counter(example["label"] for example in train.examples).most_common(1)[0][0]
    sums = {label: metric.tallies([label] * len(references), references).sum(axis=0) for label in labels}
    return {
        "most frequent label": float(metric.figure(sums[most])),
        "chance": float(metric.figure(np.mean(list(sums.values()), axis=0))),
    }


def to_show(data: TaskData) -> tuple[Table, str | None]:
    """Examples to learn from that say what no query says, and a sentence on the others, if there are any."""
    kept = apart(data.train.examples, data.held_out.examples)
    lost = len(data.train) - len(kept)
    told = f"{lost} of {len(data.train)} examples to learn from say word for word what is asked about: none is shown"
    return data.train.part(kept), told if lost else None


def table(lines: Sequence[Line], metric: TallyMetric, without: Mapping[str, float]) -> str:
    """A line for each number of examples, in hundredths."""
    by = {(line.shots, line.arm): line for line in lines}
    zero, control = by.get((0, SHOWN)), any(line.arm == BY_CHANCE for line in lines)
    head = ["shots", metric.main, *(["more than with 0"] if zero else []), *([BY_CHANCE] if control else [])]
    rows = [head]
    for (number, arm), line in by.items():
        if arm == SHOWN:
            row = [str(number), _words(interval(metric, line))]
            if zero:
                row.append(_words(interval(metric, line, zero), "+") if number else "")
            if control:
                other = by.get((number, BY_CHANCE))
                row.append(_words(interval(metric, other)) if other else "")
            rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if without:
        texts.append(", ".join(f"{name} {100 * figure:.1f}" for name, figure in without.items()))
    return "\n".join(texts)


def results(
    lines: Sequence[Line],
    metric: TallyMetric,
    without: Mapping[str, float],
    config: ShotConfig,
    respondent: Respondent | Writer,
) -> dict[str, Any]:
    """All figures, as results.json holds them."""
    wording = respondent.wording
    zero = next((line for line in lines if not line.shots), None)
    found = []
    for line in lines:
        gain = interval(metric, line, zero) if zero and line.shots else None
        found.append(
            {
                "shots": line.shots,
                "arm": line.arm,
                "interval": interval(metric, line),
                "draws": [float(metric.figure(draw)) for draw in line.tallies.sum(axis=1)],
                "more_than_with_0": gain,
                "answers": dict(line.answered),
                "prompts": line.prompts,
                "shortened": line.shortened,
                "left_out": line.left_out,
                "undescribed": line.undescribed,
            }
        )
    asked = {**asdict(config), "scoring": respondent.scoring, "max_tokens": respondent.room.max_tokens}
    prompt = {**asdict(wording.prompt), "verbalisers": wording.words}
    return {"metric": metric.main, "lines": found, "baselines": dict(without), "asked": asked, "prompt": prompt}


def curve(lines: Sequence[Line], metric: TallyMetric) -> dict[str, list[tuple[float, float, float, float]]]:
    """By arm: shots, mean, low and high in hundredths; both arms begin with no examples."""
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for arm in dict.fromkeys(line.arm for line in lines):
        for line in lines:
            if line.arm == arm or not line.shots:
                mean, low, high = interval(metric, line)
                found.setdefault(arm, []).append((line.shots, 100 * mean, 100 * low, 100 * high))
    return found


def references_of(example: Mapping[str, Any], answer_role: str) -> Any:
    """What metrics compare an answer with: a label, a target, or a list of answers that are right."""
    return list(example["answers"]["text"]) if answer_role == "answers" else example[answer_role]


def _shown_as(pool: Table, wording: Wording, arm: str, rng: np.random.Generator) -> list[str]:
    """What each example of a pool is shown with; by chance that is any label, or the answer to another question."""
    right = [wording.right_answer(example) for example in pool.examples]
    if arm == SHOWN:
        return right
    if wording.labels:
        return [wording.labels[number] for number in rng.integers(len(wording.labels), size=len(pool))]
    return [right[place] for place in rng.permutation(len(pool))]


def _count(line: Line, answers: Answers, *, counted: bool) -> None:
    line.answered.update(answers.texts if counted else ())
    line.prompts += len(answers.texts)
    line.left_out += sum(answers.left_out)
    line.undescribed += sum(answers.undescribed)
    line.shortened += sum(map(bool, np.array(answers.left_out) + np.array(answers.undescribed)))


def _rows(
    line: Line,
    draw: int,
    answers: Answers,
    places: Sequence[Sequence[int]],
    pool: Table,
    queries: Table,
    wording: Wording,
) -> list[dict[str, Any]]:
    """Answers as predictions.jsonl holds them."""
    rows = []
    for at, example in enumerate(queries.examples):
        stood = [str(pool.places[place]) for place in places[at]]
        lost = answers.left_out[at]
        row = {
            "query": str(queries.places[at]),
            "shots": line.shots,
            "arm": line.arm,
            "draw": draw,
            wording.answer_role: references_of(example, wording.answer_role),
            "answer": answers.texts[at],
        }
        if wording.labels:
            probabilities = np.exp(answers.log_probs[at]).round(6).tolist()
            row["probabilities"] = dict(zip(wording.labels, probabilities, strict=True))
        rows.append(row | {"shown": stood[lost:], "left_out": stood[:lost], "described": not answers.undescribed[at]})
    return rows


def _words(found: Interval, sign: str = "") -> str:
    mean, low, high = (format(100 * value, f"{sign}.1f") for value in found)
    return f"{mean}  ({low} to {high})"

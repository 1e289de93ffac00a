"""How good and how fast the ways to write a target are: greedy, beams, and all tokens at once in a few rounds."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import default_rng
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from selfsup.benchmark.counts import check_counts
from selfsup.generation.beam import BeamConfig, beam_search
from selfsup.generation.parallel import mask_predict
from selfsup.metrics.bootstrap import bootstrap
from selfsup.objectives.objective import Example
from selfsup.objectives.sequences import Sequences
from selfsup.predicting.translating import is_parallel, read_source
from selfsup.task import Task
from selfsup.training.summary import table

Interval = tuple[float, float, float]  # mean, low, high
COPIED = "source as it stands"


@dataclass(frozen=True)
class DecodingConfig:
    """Which ways, and how they are timed.

    Args:
        beams: of each search; 1 is greedy.
        rounds: of guessing, of each way of a parallel model.
        lengths: that a parallel model tries.
        max_new_tokens: of a target.
        batch_size: sources that are written for at once, sorted by length.
        laps: times that every way writes all targets; the order turns round with each.
    """

    beams: tuple[int, ...] = (1, 5)
    rounds: tuple[int, ...] = (1, 4, 10)
    lengths: int = 5
    max_new_tokens: int = 100
    batch_size: int = 32
    laps: int = 1

    def __post_init__(self) -> None:
        check_counts(**asdict(self))


@dataclass
class Way:
    """One way to write.

    Args:
        write: (sources) token ids of each to ids of its target.
        tokenizer: of its model.
        sources: token ids of each.
        targets: that were written, once they are.
        seconds: of each lap.
    """

    write: Callable[[Sequence[list[int]]], list[list[int]]]
    tokenizer: PreTrainedTokenizerBase
    sources: list[list[int]]
    targets: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def sides_of(task: Task, examples: Sequence[Example]) -> tuple[list[str], list[str]]:
    """Sources and targets of examples.

    Raises:
        ValueError: the task is not from text to text.
    """
    objective = task.objective()
    if not isinstance(objective, Sequences):
        raise ValueError(f"a task from text to text is wanted, but {task.name} is none: name another, like translation")
    return [objective.source(example) for example in examples], [objective.target(example) for example in examples]


def ways_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], config: DecodingConfig
) -> dict[str, Way]:
    """The ways to write of one model, by name: searches, or for a parallel one its rounds.

    Args:
        model: as `open_writer` gives it.
        tokenizer: its own.
        texts: sources.
        config: which ways.
    Raises:
        ValueError: a source is empty or too long.
    """
    sources = [read_source(tokenizer, model.config, text) for text in texts]

    def searching(beams: int) -> Callable[[Sequence[list[int]]], list[list[int]]]:
        search = BeamConfig(beams, max_new_tokens=config.max_new_tokens)
        return lambda rows: [best.ids for best, *_ in beam_search(model, rows, search, batch_size=config.batch_size)]

    def filling(rounds: int) -> Callable[[Sequence[list[int]]], list[list[int]]]:
        return lambda rows: mask_predict(
            model,
            tokenizer,
            rows,
            rounds=rounds,
            lengths=config.lengths,
            max_new_tokens=config.max_new_tokens,
            batch_size=config.batch_size,
        )

    if is_parallel(model.config):
        return {f"mask-predict, T = {n}": Way(filling(n), tokenizer, sources) for n in config.rounds}
    names = {beams: "greedy" if beams == 1 else f"{beams} beams" for beams in config.beams}
    return {name: Way(searching(beams), tokenizer, sources) for beams, name in names.items()}


def told_apart(ways: Mapping[str, Mapping[str, Way]]) -> dict[str, Way]:
    """The ways of all models in one.

    Args:
        ways: by the name of their model, then as `ways_of` calls them.
    Returns:
        the same by their own name; where two models have one of that name, with the name of the model before it.
    """
    times = Counter(name for some in ways.values() for name in some)
    return {
        name if times[name] == 1 else f"{model}: {name}": way
        for model, some in ways.items()
        for name, way in some.items()
    }


def write_all(ways: Mapping[str, Way], config: DecodingConfig) -> Iterator[str]:
    """Let every way write every target in turn, and time it; a batch before is not counted. Gives each name when it is
    done."""
    for way in ways.values():
        way.write(way.sources[: config.batch_size])
    for lap in range(config.laps):
        for name in list(ways)[:: -1 if lap % 2 else 1]:
            way = ways[name]
            began = time.perf_counter()
            ids = way.write(way.sources)
            way.seconds.append(time.perf_counter() - began)
            way.targets = [text.strip() for text in way.tokenizer.batch_decode(ids, skip_special_tokens=True)]
            yield name


def figures(
    ways: Mapping[str, Way], sources: Sequence[str], references: Sequence[str]
) -> tuple[dict[str, dict[str, Interval]], str]:
    """By way: BLEU and chrF (0-1), length over that of the references, seconds for all and sentences a second; each
    a mean with its interval: over sentences (95 %), but of seconds the least and the most.

    Returns:
        the figures, and sacrebleu's signature.
    """
    from selfsup.metrics import Bleu, Chrf  # here: evaluate takes seconds, and --help scores nothing

    bleu, chrf = Bleu(), Chrf()
    found = {}
    for name, targets in {**{name: way.targets for name, way in ways.items()}, COPIED: list(sources)}.items():
        tallies = bleu.tallies(targets, references)
        found[name] = {
            "BLEU": bootstrap(tallies[None], rng=default_rng(0), figure=bleu.figure),
            "chrF": bootstrap(chrf.tallies(targets, references)[None], rng=default_rng(0), figure=chrf.figure),
            "length": (float(tallies[:, 0].sum() / tallies[:, 1].sum()),) * 3,
        }
        if name in ways:
            seconds = ways[name].seconds
            rates = [len(sources) / lap for lap in seconds]
            for what, values in (("seconds", seconds), ("sentences/s", rates)):
                found[name][what] = (float(np.mean(values)), min(values), max(values))
    return found, bleu.signature()


def report(found: Mapping[str, Mapping[str, Interval]], signature: str) -> str:
    """The table."""
    rows: list[tuple[str, ...]] = [("", "BLEU (95 %)", "chrF (95 %)", "length", "seconds", "sentences/s")]
    for name, of_way in found.items():
        scores = [f"{100 * m:.1f}  ({100 * low:.1f} to {100 * high:.1f})" for m, low, high in
                  (of_way["BLEU"], of_way["chrF"])]  # fmt: skip
        speed = [f"{of_way[what][0]:.1f}" if what in of_way else "" for what in ("seconds", "sentences/s")]
        rows.append((name, *scores, f"{of_way['length'][0]:.2f}", *speed))
    return f"{table(rows)}\n\nsignature {signature}"


def keep(
    ways: Mapping[str, Way], results: Mapping[str, Any], examples: Sequence[Example], folder: Path, *, title: str
) -> None:
    """Write results.json, every target beside its example in targets.jsonl, and BLEU against speed as ways.png."""
    from selfsup.pictures.tradeoff import draw_tradeoff  # here: matplotlib takes seconds, and --help draws nothing

    found = results["found"]
    hundredths = {name: tuple(100 * side for side in of["BLEU"]) for name, of in found.items()}
    points = {name: (found[name]["sentences/s"], hundredths[name]) for name in ways}
    draw_tradeoff(points, folder / "ways.png", title=title, across="sentences a second", up="BLEU",
                  level=(COPIED, hundredths[COPIED][0]))  # fmt: skip
    rows = zip(examples, *(way.targets for way in ways.values()), strict=True)
    lines = [json.dumps({**row, **dict(zip(ways, said, strict=True))}, ensure_ascii=False) for row, *said in rows]
    (folder / "targets.jsonl").write_text("".join(line + "\n" for line in lines), "utf-8")
    (folder / "results.json").write_text(json.dumps(results, indent=1))

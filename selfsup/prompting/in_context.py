"""Learning from a prompt that can be seen in a small model: problems that only their own examples solve.

A problem gives every one of its names a label by chance, and reads `name label name label …`. The same name has another
label in the next problem, so weights cannot hold the answer: a model that answers has read the examples before it.

Problems are written as documents of an ordinary corpus, with one token for each word, and a decoder is pretrained on
them by `NextToken` like on any other text. That shows more than an objective of their own would: nothing but
predicting the next token has taught the model to learn from its prompt.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from selfsup.data.plan import Plan
from selfsup.data.texts import DataConfig, find_texts, open_plans
from selfsup.metrics.bootstrap import bootstrap
from selfsup.objectives.objective import Objective
from selfsup.tokenization.train import SPECIAL
from selfsup.training.summary import table

FAMILIES = tuple("bdfgklmn")  # what a name begins with
ENDINGS = ("a", "e", "i", "o", "u", "ai", "au", "oi")
NAMES = tuple(family + ending for family in FAMILIES for ending in ENDINGS)
LABELS = ("red", "green", "blue", "white")
TRAIN, FRESH = 0, 1_000_033  # seeds of problems to learn from, and of those to measure on (1_000_003 chose the recipe)
READ, SHUFFLED, ZERO_SHOT = "examples in the prompt", "labels shuffled", "no examples"
PERFECT = "perfect reader"
CHECKS = (
    f"{SHUFFLED}, {ZERO_SHOT}: labels are drawn by chance, so every model is at chance there; what stands there checks "
    "that nothing leaks, and says nothing of the model"
)
MET, KIN = "names that met in training", "names that never met"
TIMES = range(4)  # a name was shown, for which figures are given
DRAWS = 1000  # of the bootstrap


@dataclass(frozen=True)
class ProblemConfig:
    """What problems are like, and how many there are.

    Args:
        min_names: fewest names of a problem.
        max_names: most of them, at most 8.
        num_pairs: names with their label that a problem shows; a name comes up again by chance.
        num_train: problems to pretrain on.
        num_fresh: problems of each kind to measure on.
    """

    min_names: int = 2
    max_names: int = 8
    num_pairs: int = 16
    num_train: int = 60_000
    num_fresh: int = 2000

    def __post_init__(self) -> None:
        if not 1 <= self.min_names <= self.max_names <= len(FAMILIES):
            raise ValueError(
                f"min_names and max_names must rise and lie between 1 and {len(FAMILIES)}, the number of families and "
                f"of names in each, but {self.min_names} and {self.max_names} came"
            )
        if self.num_pairs < 9 or self.num_train < 100 or self.num_fresh < 2:
            raise ValueError(
                "num_pairs must be at least 9 (a block has 19 tokens or more), num_train 100 (one of them "
                f"is held out for validation) and num_fresh 2 (they exchange their labels), but {self} came"
            )


@dataclass(frozen=True)
class Problems:
    """Some problems, one a row.

    Args:
        names: (problems, pairs) int64, numbers in `NAMES`.
        labels: (problems, pairs) int64, numbers in `LABELS`; the same for the same name of a row.
    """

    names: np.ndarray
    labels: np.ndarray

    def texts(self) -> list[str]:
        """What the problems read like."""
        return [
            " ".join(f"{NAMES[name]} {LABELS[label]}" for name, label in zip(*row, strict=True))
            for row in zip(self.names.tolist(), self.labels.tolist(), strict=True)
        ]

    def mappings(self) -> list[frozenset[tuple[int, int]]]:
        """What each problem asks to be learnt: its names with their labels."""
        rows = zip(self.names.tolist(), self.labels.tolist(), strict=True)
        return [frozenset(zip(names, labels, strict=True)) for names, labels in rows]

    def shuffled(self) -> "Problems":
        """The same names with the labels of the row before: they say nothing of the mapping any more, but are as many
        and as frequent as they were.

        Raises:
            ValueError: there are fewer than two problems.
        Source:
            Min et al. 2022, "Rethinking the Role of Demonstrations", section 4 (labels that do not belong).
        """
        if len(self.names) < 2:
            raise ValueError(f"two problems or more are needed to exchange labels, but {len(self.names)} came")
        return Problems(self.names, np.roll(self.labels, 1, axis=0))

    def times_shown(self) -> np.ndarray:
        """(problems, pairs) int64: how often the name of a pair stood in the pairs before it."""
        same = self.names[:, :, None] == self.names[:, None, :]
        return np.tril(same, -1).sum(axis=-1)


def draw_problem(seed: int, index: int, config: ProblemConfig, *, kin: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """One problem: a few names, a label for each by chance, and an order in which they come up.

    Args:
        seed, index: the key of all its chance.
        config: how many names and pairs.
        kin: take all names from one family. Otherwise every one is of another family, so that no two names of a
            family ever stand together in what is trained on.
    Returns:
        numbers in `NAMES` and in `LABELS`, both (pairs) int64.
    """
    rng = np.random.default_rng((seed, index))
    number = rng.integers(config.min_names, config.max_names, endpoint=True)
    distinct, free = rng.permutation(len(FAMILIES))[:number], rng.integers(len(ENDINGS), size=number)
    names = int(free[0]) * len(ENDINGS) + distinct if kin else distinct * len(ENDINGS) + free
    mapping = rng.integers(len(LABELS), size=number)
    order = rng.integers(number, size=config.num_pairs)
    return names[order], mapping[order]


def draw_problems(seed: int, number: int, config: ProblemConfig, *, kin: bool = False) -> Problems:
    """The first `number` problems of a seed, see `draw_problem`."""
    names, labels = zip(*(draw_problem(seed, index, config, kin=kin) for index in range(number)), strict=True)
    return Problems(np.stack(names), np.stack(labels))


def fresh_problems(config: ProblemConfig) -> dict[str, Problems]:
    """What is measured on, by what is held out.

    `MET`: the mapping of no problem is that of one in training; its names have stood together there, two by two. `KIN`:
    no two of its names ever have. So a model that tells names apart only from those that it has met them with fails.

    Raises:
        ValueError: so few mappings are possible that training holds nearly all of them.
    """
    learnt = set(draw_problems(TRAIN, config.num_train, config).mappings())
    fresh = {}
    for kind in (MET, KIN):
        drawn = draw_problems(FRESH, 2 * config.num_fresh, config, kin=kind == KIN)
        new = [row for row, mapping in enumerate(drawn.mappings()) if mapping not in learnt][: config.num_fresh]
        if len(new) < config.num_fresh:
            raise ValueError(
                f"{config.num_fresh} problems with a mapping that training lacks are wanted, but of twice as many only "
                f"{len(new)} were new: raise min_names and max_names, or lower num_train"
            )
        fresh[kind] = Problems(drawn.names[new], drawn.labels[new])
    return fresh


def word_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """One token for each name and label, between spaces; saved, and opened again from its folder.

    Args:
        folder: where it is kept.
    """
    backend = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate((*SPECIAL, *NAMES, *LABELS))}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pad, unk, cls, sep, mask = SPECIAL
    backend.post_processor = processors.TemplateProcessing(  # a prompt begins, and is left open
        single=f"{cls} $A", pair=f"{cls} $A $B", special_tokens=[(cls, SPECIAL.index(cls))]
    )
    words = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=pad, unk_token=unk, cls_token=cls, sep_token=sep, mask_token=mask,
        bos_token=cls, eos_token=sep,
    )  # fmt: skip
    words.save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def write_problems(config: ProblemConfig, file: Path) -> None:
    """The problems to pretrain on as a text: each is a document, a line of JSON.

    Args:
        config: how many, and what they are like.
        file: ends in .jsonl; replaced, unless something was learnt from it.
    Raises:
        ValueError: runs beside the file have learnt from other problems.
    """
    texts = draw_problems(TRAIN, config.num_train, config).texts()
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    if file.exists() and file.read_text() == lines:
        return
    if file.exists() and any(file.parent.glob("seed-*/checkpoints/checkpoint-*")):
        raise ValueError(
            f"{file.parent} holds runs that learnt from other problems: give the --problems of those (they are in its "
            "run.yaml), or choose another output folder"
        )
    aside = file.with_name(f".{file.name}")
    aside.write_text(lines)
    aside.replace(file)


def open_problems(
    file: Path,
    words: PreTrainedTokenizerBase,
    objective: Objective,
    config: ProblemConfig,
    *,
    batch_size: int,
    seed: int,
) -> tuple[Plan, Plan]:
    """The plans of training and of validation, with whole problems.

    Args:
        file: of `write_problems`.
        words: of `word_tokenizer`.
        objective: bound.
        config: of the problems.
        batch_size: problems of a step.
        seed: of the order of training.
    """
    block_size = 2 * config.num_pairs + 1  # with [CLS], which [SEP] is asked for: a problem fills a row
    data = DataConfig(block_size=block_size, batch_size=batch_size, validation_share=0.01)
    return open_plans(find_texts(str(file), data), words, data, seed=seed, **objective.reading)


def choose(
    model: PreTrainedModel, problems: Problems, words: PreTrainedTokenizerBase, *, batch_size: int = 256
) -> np.ndarray:
    """The label that a causal model finds likeliest after every name, having read the pairs before it.

    A causal model sees nothing of what follows, so one pass over a problem answers with 0, 1, 2 … examples at once.

    Args:
        model: with `logits` (batch, tokens, vocab); it is put into evaluation mode, and its weights stay as they are.
        problems: to answer.
        words: that it reads; holds all of `NAMES` and `LABELS`.
        batch_size: problems of a pass; changes nothing but speed.
    Returns:
        (problems, pairs) int64, numbers in `LABELS`.
    """
    names, labels = (np.array(words.convert_tokens_to_ids(list(known))) for known in (NAMES, LABELS))
    rows = np.full((len(problems.names), 2 * problems.names.shape[1]), words.bos_token_id)
    rows[:, 1::2] = names[problems.names]
    rows[:, 2::2] = labels[problems.labels[:, :-1]]
    model.eval()
    chosen = []
    with torch.no_grad():
        for start in range(0, len(rows), batch_size):
            part = torch.from_numpy(rows[start : start + batch_size]).to(model.device)
            logits = model(input_ids=part).logits[:, 1::2].float()
            chosen.append(logits[..., torch.from_numpy(labels).to(model.device)].argmax(dim=-1).cpu().numpy())
    return np.concatenate(chosen)


def measure(model: PreTrainedModel, problems: Problems, words: PreTrainedTokenizerBase) -> dict[str, np.ndarray]:
    """Which names a model gives their label: having read the pairs before, the same with shuffled labels, and nothing.

    Args:
        model, problems, words: as for `choose`.
    Returns:
        (problems, pairs) bool by `READ`, `SHUFFLED` and `ZERO_SHOT`; right is what the problem says, also where the
        prompt says something else.
    """
    kinds, place = np.unique(problems.names, return_inverse=True)
    alone = choose(model, Problems(kinds[:, None], np.zeros_like(kinds)[:, None]), words)[:, 0]
    answers = {
        READ: choose(model, problems, words),
        SHUFFLED: choose(model, problems.shuffled(), words),
        ZERO_SHOT: alone[place.reshape(problems.names.shape)],
    }
    return {name: chosen == problems.labels for name, chosen in answers.items()}


Interval = tuple[float, float, float]  # mean, lower and upper bound


def by_examples(hits: np.ndarray, against: np.ndarray | None = None) -> dict[int, Interval]:
    """Share of right answers by the number of examples in the prompt, and its 95 % interval over seeds and problems.

    Args:
        hits: (seeds, problems, pairs) bool; at place k stand the answers with k examples.
        against: the same under another treatment, to be subtracted.
    """
    return {
        k: bootstrap(hits[..., k], None if against is None else against[..., k],
                     rng=np.random.default_rng((FRESH, k)), num_draws=DRAWS)
        for k in range(hits.shape[-1])
    }  # fmt: skip


def by_times_shown(hits: np.ndarray, shown: np.ndarray) -> dict[int, Interval]:
    """Share of right answers by how often the name had been shown with its label, as `by_examples`.

    Args:
        hits: (seeds, problems, pairs) bool.
        shown: (problems, pairs) int64, see `Problems.times_shown`.
    """
    figures = {}
    for times in (times for times in TIMES if (shown == times).any()):
        asked = shown == times
        tallies = np.stack(np.broadcast_arrays((hits & asked).sum(axis=-1), asked.sum(axis=-1)), axis=-1)
        figures[times] = bootstrap(
            tallies, rng=np.random.default_rng((FRESH, times)), num_draws=DRAWS,
            figure=lambda sums: sums[..., 0] / np.maximum(sums[..., 1], 1),
        )  # fmt: skip
    return figures


def summarise_problems(
    measured: Sequence[Mapping[str, Mapping[str, np.ndarray]]],
    fresh: Mapping[str, Problems],
    config: ProblemConfig,
    folder: Path,
    *,
    title: str,
) -> dict[str, Any]:
    """Print how accuracy grows with examples, and leave results.json and in_context.png.

    Args:
        measured: for each seed, by the names of `fresh`, what `measure` returned.
        fresh: of `fresh_problems`.
        config: of the problems.
        folder: where they go.
        title: of the picture.
    Returns:
        `chance`, `seeds`, `problems`, and by what is held out: (mean, low, high) `by_examples` and `by_times_shown`
        for each way of asking, `gain` over no examples, what a `perfect_reader` gets, and shares `by_seed`.
    """
    from selfsup.pictures.efficiency import draw_bands  # here: matplotlib takes seconds, and --help draws nothing

    results: dict[str, Any] = {"chance": 1 / len(LABELS), "seeds": len(measured), "problems": asdict(config)}
    panels: dict[str, dict[str, list]] = {}
    for kind, problems in fresh.items():
        shown = problems.times_shown()
        hits = {name: np.stack([seed[kind][name] for seed in measured]) for name in (READ, SHUFFLED, ZERO_SHOT)}
        found = {name: by_examples(rows) for name, rows in hits.items()}
        perfect = np.where(shown > 0, 1.0, 1 / len(LABELS)).mean(axis=0)
        results[kind] = {
            "by_examples": found,
            "by_times_shown": {name: by_times_shown(rows, shown) for name, rows in hits.items()},
            "gain": by_examples(hits[READ], hits[ZERO_SHOT]),
            "perfect_reader": dict(enumerate(perfect.tolist())),
            "by_seed": hits[READ].mean(axis=1).tolist(),
        }
        lines = {name: [(k, *figure) for k, figure in line.items()] for name, line in found.items()}
        panels[f"share right, {kind}"] = lines | {
            PERFECT: [(k, share, share, share) for k, share in enumerate(perfect)]
        }
        print(f"\n{kind}, {len(problems.names):,} fresh problems, {len(measured)} seeds (95 % interval)")
        print(f"{table(_rows(found, perfect))}\n{CHECKS}")
        print("\nby how often the name was shown before")
        print(table(_rows(results[kind]["by_times_shown"])))
    draw_bands(
        panels, folder / "in_context.png", title=title, across="examples in the prompt", logarithmic=False,
        baselines={panel: ("chance", 1 / len(LABELS)) for panel in panels},
    )  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    print(f"\npicture  {folder / 'in_context.png'}\nfigures  {folder / 'results.json'}")
    return results


def _rows(found: Mapping[str, Mapping[int, Interval]], perfect: np.ndarray | None = None) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("", *found, *((PERFECT,) if perfect is not None else ()))]
    for k in next(iter(found.values())):
        cells = ["{:.1f} %  ({:.1f} to {:.1f})".format(*(100 * bound for bound in line[k])) for line in found.values()]
        rows.append((str(k), *cells, *((f"{100 * perfect[k]:.1f} %",) if perfect is not None else ())))
    return rows

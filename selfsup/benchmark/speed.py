"""Tokens a second of contestants that take steps in turn on the same text, and the table of them."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from selfsup.benchmark.counts import check_counts
from selfsup.benchmark.setting import Setting, row_bounds
from selfsup.benchmark.turns import Contestant
from selfsup.benchmark.work import matmul_peak, step_flops
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.objectives import Joint, MaskedTokens
from selfsup.training.batches import Share, Steps
from selfsup.training.export import open_tokenizer
from selfsup.training.summary import table

BERT = {  # the architecture of BertForMaskedLM in our classes
    "activation": "gelu",
    "position_type": "learned",
    "norm_position": "post",
    "use_bias": True,
    "dropout": 0.1,
    "norm_eps": 1e-12,
}
OURS = {"activation": "relu2"}
RECIPE = OURS | {"qk_norm": True, "mark_shared": True}  # of pretrain_small.yaml, as are the pairs of segments
IN_RECIPE = {"precision": "bf16", "num_segments": 2, "rate": 0.4, "name": "Muon", "momentum": 0.95}  # rate: on average
EAGER = {"attn_implementation": "eager"}  # which is faster on some CPUs, see attention.py
HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}  # the same allocator for all


@dataclass(frozen=True)
class Shape:
    """Size of the model and of a step, the same for all contestants.

    Args:
        hidden_size: width; heads are 64 wide.
        num_layers: blocks.
        block_size: tokens of a row.
        batch_size: rows of a step.
    """

    hidden_size: int = 256
    num_layers: int = 4
    block_size: int = 128
    batch_size: int = 64

    def __post_init__(self) -> None:
        check_counts(64, hidden_size=self.hidden_size)
        check_counts(num_layers=self.num_layers, block_size=self.block_size, batch_size=self.batch_size)

    def __str__(self) -> str:
        return f"{self.num_layers} x {self.hidden_size}, {self.batch_size} rows of {self.block_size} tokens"

    def model(self, vocab_size: int) -> dict[str, Any]:
        """Fields that our configuration and BERT's share."""
        return {
            "vocab_size": vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.hidden_size // 64,
            "intermediate_size": 4 * self.hidden_size,
            "max_position_embeddings": 512,
        }

    def flops(self, vocab_size: int) -> float:
        """Of a step, see `step_flops`."""
        tokens = self.batch_size * self.block_size
        return step_flops(tokens, self.block_size, self.hidden_size, self.num_layers, 4 * self.hidden_size, vocab_size)


Entry = tuple[str, dict[str, Any], dict[str, Any]]


def contestants(*, compiled: bool, without: Sequence[str] = ()) -> dict[str, Entry]:
    """By name: the program, fields of its model besides those of the shape, and how it trains.

    Args:
        compiled: those with compiled graphs too, which take minutes to get ready.
        without: leave out all whose names hold one of these words.
    """
    entries: dict[str, Entry] = {
        "run_mlm as shipped (fp32)": ("run_mlm", {}, {}),
        "run_mlm, bf16": ("run_mlm", {}, {"bf16": True}),
        "run_mlm, bf16, eager attention": ("run_mlm", EAGER, {"bf16": True}),
        "run_mlm, bf16, one line a row, padded": ("run_mlm", {}, {"bf16": True, "lines": True}),
        "BERT's architecture in our loop, bf16": ("ours", BERT, {"precision": "bf16"}),
        "ours, bf16": ("ours", OURS, {"precision": "bf16"}),
        "ours as in pretrain_small, bf16": ("ours", RECIPE, IN_RECIPE),
    }
    further: dict[str, Entry] = {
        "run_mlm, bf16, compiled": ("run_mlm", {}, {"bf16": True, "torch_compile": True}),
        "run_mlm, bf16, eager attention, compiled": ("run_mlm", EAGER, {"bf16": True, "torch_compile": True}),
        "BERT's architecture in our loop, bf16, compiled": ("ours", BERT, {"precision": "bf16", "compile": "inductor"}),
        "ours, bf16, compiled": ("ours", OURS, {"precision": "bf16", "compile": "inductor"}),
        "ours as in pretrain_small, bf16, compiled": (
            "ours",
            RECIPE,
            IN_RECIPE | {"compile": "inductor"},
        ),
    }
    entries |= further if compiled else {}
    return {name: entry for name, entry in entries.items() if not any(word in name for word in without)}


def enter(setting: Setting, shape: Shape, entries: Mapping[str, Entry]) -> dict[str, Contestant]:
    """Write down what each is told, and make the commands that `contest` starts.

    Args:
        setting: with corpus, tokenizer, output, threads and the fields that all models share.
        shape: of all.
        entries: see `contestants`; the first is what the others are compared with.
    """
    entered = {}
    for number, (name, (program, model, how)) in enumerate(entries.items()):
        output = Path(setting.output) / f"{number}-{program}"
        own = replace(
            setting,
            output=str(output),
            block_size=shape.block_size,
            batch_size=shape.batch_size,
            model=setting.model | model,
            how=how,
        )
        command = [sys.executable, "-m", f"selfsup.benchmark.{program}", str(own.save())]
        entered[name] = Contestant(command, output / "log", HUGE_PAGES)
    return entered


def step_tokens(setting: Setting, entries: Mapping[str, Entry]) -> dict[str, float]:
    """How many tokens a step of each reads on average, padding not counted.

    Args:
        setting: of all.
        entries: see `contestants`.
    """
    plan, _ = setting.plans()
    lengths = np.diff(row_bounds(plan, setting.block_size, lines=True)) + 2
    of_lines, full = float(lengths.mean() * setting.batch_size), float(setting.block_size * setting.batch_size)
    return {name: of_lines if how.get("lines") else full for name, (_, _, how) in entries.items()}


def report(
    shape: Shape,
    flops: float,
    timed: Mapping[str, Contestant],
    tokens: Mapping[str, float],
    peaks: Mapping[str, float],
) -> str:
    """The table of a race.

    Args:
        shape: of all.
        flops: of a step that is full.
        timed: contestants; the first is compared with.
        tokens: that a step of each reads, see `step_tokens`.
        peaks: operations a second of matrix products, by the name of the precision.
    """
    full = shape.block_size * shape.batch_size
    rates = {name: tokens[name] / np.array(one.seconds) for name, one in timed.items()}
    first = next(iter(rates.values()))
    rows: list[tuple[str, ...]] = [("", "tokens/s", "times the first (95 %)", "of the bf16 peak", "GiB", "disturbed")]
    for name, one in timed.items():
        rate = float(np.median(rates[name]))
        ratio, low, high = ratio_of_medians(rates[name], first)
        rows.append(
            (
                name,
                f"{rate:,.0f}",
                f"{ratio:.2f} ({low:.2f} to {high:.2f})",
                f"{flops * rate / full / peaks['bf16']:.0%}",
                f"{one.memory / 2**30:.2f}",
                f"{np.median(one.disturbed):.0%}",
            )
        )
    said = ", ".join(f"{name} {value / 1e9:,.0f}" for name, value in peaks.items())
    return f"{shape}; matrix products, GFLOP/s: {said}\n\n{table(rows)}\n"


def ratio_of_medians(
    first: np.ndarray, second: np.ndarray, *, num_draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Median of the first over that of the second, and a 95 % interval; rounds are drawn again, both sides' together.

    Args:
        first: (rounds) seconds or rates.
        second: (rounds) likewise.
        num_draws: of rounds.
        seed: of the draws.
    """
    rounds = np.random.default_rng(seed).integers(len(first), size=(num_draws, len(first)))
    drawn = np.median(first[rounds], axis=1) / np.median(second[rounds], axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(np.median(first) / np.median(second)), float(low), float(high)


def input_seconds(setting: Setting, steps: int) -> float:
    """What it takes to draw, hide and collate the rows of a step of ours: the median of some steps."""
    objective = Joint({"tokens": MaskedTokens(rate=0.15)})
    objective.bind(open_tokenizer(setting.tokenizer), TextEncoderConfig(**setting.model))
    plan, _ = setting.plans(**objective.reading)
    drawn = Steps(plan, objective, Share(), None, warmup_steps=steps)
    taken = []
    for step in range(steps):
        began = time.perf_counter()
        drawn[step]
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def peaks(threads: int) -> dict[str, float]:
    """What a square matrix product reaches on this machine, by precision."""
    torch.set_num_threads(threads)
    return {"fp32": matmul_peak(torch.float32), "bf16": matmul_peak(torch.bfloat16)}


def keep(path: Path, shape: Shape, timed: Mapping[str, Contestant], tokens: Mapping[str, float]) -> None:
    """Write down every second, for whoever wants another statistic, as bench_learning does."""
    lines = {
        name: {"seconds": one.seconds, "disturbed": one.disturbed, "tokens": tokens[name]}
        for name, one in timed.items()
    }
    path.write_text(json.dumps({"shape": asdict(shape), "contestants": lines}, indent=1))

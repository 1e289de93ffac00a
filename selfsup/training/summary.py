"""What a run reached, beside what can be had without learning: a table to read, and results.json."""

import json
import math
import resource
import sys
from pathlib import Path
from typing import Any

import torch

from selfsup.data.dealing import Dealer
from selfsup.data.plan import Plan
from selfsup.objectives.objective import Objective
from selfsup.training.evaluation import Score, targets_of, unigram_loss
from selfsup.training.report import read_metrics

Rows = list[tuple[str, ...]]
_BLIND = {
    "view": "by chance",
    "turn": "by chance",
}  # what a guess is called that reads nothing; "always the same" where nothing is said


def summarise(
    score: Score, plan: Dealer, held_out: Dealer, objective: Objective, eval_rows: int, folder: Path
) -> dict[str, Any]:
    """Print what a run reached as a table, and keep the figures as results.json.

    Args:
        score: of the last step.
        plan: of what was learnt from.
        held_out: of what was scored on.
        objective: bound.
        eval_rows: rows that were scored.
        folder: of the run; its metrics.jsonl is read.
    Returns:
        the figures.
    """
    unit = plan.unit
    lines = [line for line in read_metrics(folder / "metrics.jsonl") if f"{unit}_per_second" in line]
    speeds = sorted(line[f"{unit}_per_second"] for line in lines) or [0.0]
    figures: dict[str, Any] = {
        **score.figures(),
        "steps": lines[-1]["step"] if lines else 0,
        unit: lines[-1][unit] if lines else 0,
        f"{unit}_per_second": speeds[len(speeds) // 2],
        f"corpus_{unit}": plan.size,
        "held_out": held_out.corpus is plan.corpus,  # or one of its own
        "peak_memory_gib": peak_memory_gib(),
    }
    rows: Rows = [("", "this run", "without learning")]
    if isinstance(plan, Plan):
        assert isinstance(held_out, Plan)
        of_text, more = _of_text(score, plan, held_out, objective, eval_rows)
        figures |= of_text
        rows += more
    for name in (name for name in score.losses if not score.in_nats and score.counts[name]):
        blind = score.blind_losses.get(name)
        beside = "" if blind is None else f"{blind:.4f}  (the mean of what is visible)"
        rows.append((f"{name}: error of a pixel", f"{score.losses[name]:.4f}", beside))
    for name in (name for name in score.hits if score.counts[name]):
        low, high = score.interval(name)
        blind = figures.get(f"validation_{name}_blind_accuracy")
        chance = "" if blind is None else f"{100 * blind:.1f} %  ({_BLIND.get(name, 'always the same')})"
        share = f"{100 * score.accuracy(name):.1f} %  ({100 * low:.1f} to {100 * high:.1f})"
        rows.append((f"{name}: share right (95 % interval)", share, chance))
    rows.append((f"{unit} read, {unit}/s", f"{figures[unit]:,}, {figures[f'{unit}_per_second']:,.0f}", ""))
    padding, memory = plan.padding_share(), f"{figures['peak_memory_gib']:.2f} GiB"
    if padding is None:
        rows.append(("peak memory", memory, ""))
    else:
        figures["padding_share"] = padding
        rows.append(("padding, peak memory", f"{padding:.1%}, {memory}", ""))
    print("\n" + table(rows) + f"\n\nmodel    {folder / 'model'}\ncurves   {folder / 'curves.png'}")
    (folder / "results.json").write_text(json.dumps(figures, indent=1))
    return figures


def _of_text(
    score: Score, plan: Plan, held_out: Plan, objective: Objective, eval_rows: int
) -> tuple[dict[str, Any], Rows]:
    """Figures and lines of the table that only a text has: perplexity, bits per byte, and unigrams beside them."""
    figures: dict[str, Any] = {}
    rows: Rows = []
    if "tokens" in score.losses:
        counts = plan.corpus.counts(plan.regions)
        unigram = math.exp(unigram_loss(counts, held_out.corpus, held_out.epoch(eval_rows), objective))
        figures["unigram_perplexity"] = unigram
        rows.append(("masked-token perplexity", f"{score.perplexity('tokens'):.1f}", f"{unigram:.1f}  (unigram)"))
    if "next_token" in score.losses:
        asked = targets_of(held_out.corpus, held_out.epoch(eval_rows), objective)
        members = getattr(objective, "members", [objective])
        # An int of Python's own: what is reckoned with numpy's is written to YAML as a pickle, which the Hub refuses.
        num_bytes = int(next(member for member in members if member.name == "next_token").piece_bytes[asked].sum())
        counts = plan.corpus.counts(plan.regions)
        unigram = unigram_loss(counts, held_out.corpus, held_out.epoch(eval_rows), objective)
        bits = len(asked) / math.log(2) / max(num_bytes, 1)  # a byte, for each nat of a token
        figures |= {"unigram_perplexity": math.exp(unigram), "unigram_bits_per_byte": unigram * bits}
        figures |= {"validation_bits_per_byte": score.losses["next_token"] * bits, "validation_bytes": num_bytes}
        told = f"{score.perplexity('next_token'):.1f}", f"{math.exp(unigram):.1f}  (unigram)"
        rows.append(("next-token perplexity", *told))
        rows.append(("loss in nats a token", f"{score.losses['next_token']:.4f}", f"{unigram:.4f}  (unigram)"))
        told = f"{figures['validation_bits_per_byte']:.3f}", f"{unigram * bits:.3f}  (unigram)"
        rows.append((f"bits per byte, {num_bytes:,} bytes scored", *told))
    if "denoised" in score.losses:
        counts = plan.corpus.counts(plan.regions)
        unigram = unigram_loss(counts, held_out.corpus, held_out.epoch(eval_rows), objective)
        figures["unigram_perplexity"] = math.exp(unigram)
        told = f"{score.losses['denoised']:.4f}", f"{unigram:.4f}  (unigram)"
        rows.append(("mended text: loss in nats a token", *told))
    return figures, rows


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows of words as columns, the first row ruled off."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def peak_memory_gib() -> float:
    """Most memory held at once: the device's on a GPU, else the process's own."""
    if torch.cuda.is_available() and (most := torch.cuda.max_memory_allocated()):
        return most / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss counts bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30

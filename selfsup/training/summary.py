"""What a run reached, beside what can be had without learning: a table to read, and results.json."""

import json
import math
import resource
import sys
from pathlib import Path
from typing import Any

import torch

from selfsup.data.plan import Plan
from selfsup.objectives.objective import Objective
from selfsup.training.evaluation import Score, targets_of, unigram_loss
from selfsup.training.report import read_metrics


def summarise(
    score: Score, plan: Plan, held_out: Plan, objective: Objective, eval_rows: int, folder: Path
) -> dict[str, Any]:
    """Print what a run reached as a table, and keep the figures as results.json.

    Args:
        score: of the last step.
        plan: of the training text.
        held_out: of the validation text.
        objective: bound.
        eval_rows: rows that were scored.
        folder: of the run; its metrics.jsonl is read.
    Returns:
        the figures.
    """
    lines = [line for line in read_metrics(folder / "metrics.jsonl") if "tokens_per_second" in line]
    speeds = sorted(line["tokens_per_second"] for line in lines) or [0.0]
    figures: dict[str, Any] = {
        **score.figures(),
        "steps": lines[-1]["step"] if lines else 0,
        "tokens": lines[-1]["tokens"] if lines else 0,
        "tokens_per_second": speeds[len(speeds) // 2],
        "corpus_tokens": sum(end - start for start, end in plan.regions),
        "held_out": held_out.corpus is plan.corpus,  # or a text of its own
        "padding_share": plan.padding_share(),
        "peak_memory_gib": peak_memory_gib(),
    }
    rows: list[tuple[str, ...]] = [("", "this run", "without learning")]
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
    for name in (name for name in score.hits if score.counts[name]):
        low, high = score.interval(name)
        blind = figures.get(f"validation_{name}_blind_accuracy")
        chance = "" if blind is None else f"{100 * blind:.1f} %  (always the same)"
        share = f"{100 * score.accuracy(name):.1f} %  ({100 * low:.1f} to {100 * high:.1f})"
        rows.append((f"{name}: share right (95 % interval)", share, chance))
    rows.append(("tokens read, tokens/s", f"{figures['tokens']:,}, {figures['tokens_per_second']:,.0f}", ""))
    rows.append(("padding, peak memory", f"{figures['padding_share']:.1%}, {figures['peak_memory_gib']:.2f} GiB", ""))
    print("\n" + table(rows) + f"\n\nmodel    {folder / 'model'}\ncurves   {folder / 'curves.png'}")
    (folder / "results.json").write_text(json.dumps(figures, indent=1))
    return figures


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

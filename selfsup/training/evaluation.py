"""Scores on a fixed set with fixed masks; every example counts once, on any number of processes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from selfsup.data.corpus import Corpus
from selfsup.data.plan import Draw
from selfsup.metrics.wilson import wilson
from selfsup.objectives.objective import Objective, Players
from selfsup.training.batches import VALIDATION_SEED, Share, batch_of


@dataclass(frozen=True)
class Score:
    """What a model got right, by the names of the answers.

    Args:
        losses: mean loss in nats.
        hits: how many answers were right, where that makes sense.
        counts: how many answers there were.
        weights: of the losses in their sum.
        blind_hits: how many answers a constant guess got right, where that makes sense.
    """

    losses: dict[str, float]
    hits: dict[str, int]
    counts: dict[str, int]
    weights: dict[str, float]
    blind_hits: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """The weighted sum of the losses, which training makes small."""
        return sum(self.weights[name] * loss for name, loss in self.losses.items())

    def perplexity(self, name: str) -> float:
        """exp(mean loss)."""
        return math.exp(min(self.losses[name], 700.0))

    def accuracy(self, name: str) -> float:
        """Share of right answers."""
        return self.hits[name] / max(self.counts[name], 1)

    def interval(self, name: str) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return wilson(self.hits[name], self.counts[name])

    def figures(self) -> dict[str, Any]:
        """Everything by name, for logs; the interval of an accuracy as a pair."""
        figures: dict[str, Any] = {"validation_loss": self.total}
        for name, loss in self.losses.items():
            figures |= {f"validation_{name}_loss": loss, f"validation_{name}_count": self.counts[name]}
            figures[f"validation_{name}_perplexity"] = self.perplexity(name)
        for name in self.hits:
            figures[f"validation_{name}_accuracy"] = self.accuracy(name)
            figures[f"validation_{name}_interval"] = self.interval(name)
        for name, hits in self.blind_hits.items():
            figures[f"validation_{name}_blind_accuracy"] = hits / max(self.counts[name], 1)
        return figures


def evaluate(
    players: Players,
    objective: Objective,
    corpus: Corpus,
    rows: Sequence[list[Draw]],
    *,
    accelerator: Accelerator,
    micro_batch_size: int,
) -> Score:
    """Score a model on some rows.

    Args:
        players: prepared modules; they are in training mode again afterwards if they were before.
        objective: bound.
        corpus: that the rows read.
        rows: of draws without progress.
        accelerator: of the run; all processes call together.
        micro_batch_size: rows of one forward pass.
    Returns:
        the same score on every process.
    """
    names = list(objective.weights)
    sums = torch.zeros(4, len(names), dtype=torch.float64)  # losses, hits, counts, blind hits
    scored: set[str] = set()
    blind: set[str] = set()
    share = Share(accelerator.process_index, accelerator.num_processes, micro_batch_size)
    modes = {name: player.training for name, player in players.items()}
    for player in players.values():
        player.eval()
    with torch.no_grad():
        for part in share.of(rows):
            batch = batch_of(corpus, part, objective, VALIDATION_SEED)
            counts = {k: n for turn in objective.turns for k, n in objective.counts(batch, turn).items()}
            batch = {name: value.to(accelerator.device) for name, value in batch.items()}
            for turn in objective.turns:
                outputs = objective.forward(players, batch, turn)
                for name, value in objective.loss(outputs, batch, turn).items():
                    sums[0, names.index(name)] += float(value)
                for name, value in objective.hits(outputs, batch, turn).items():
                    sums[1, names.index(name)] += float(value)
                    scored.add(name)
                for name, value in objective.blind_hits(outputs, batch, turn).items():
                    sums[3, names.index(name)] += float(value)
                    blind.add(name)
            for name, count in counts.items():
                sums[2, names.index(name)] += count
    for name, player in players.items():
        player.train(modes[name])
    losses, hits, counts_, blind_hits = accelerator.reduce(sums.to(accelerator.device), "sum").cpu().tolist()
    return Score(
        losses={name: loss / max(n, 1) for name, loss, n in zip(names, losses, counts_, strict=True)},
        hits={name: round(h) for name, h in zip(names, hits, strict=True) if name in scored},
        counts={name: round(n) for name, n in zip(names, counts_, strict=True)},
        weights=dict(objective.weights),
        blind_hits={name: round(h) for name, h in zip(names, blind_hits, strict=True) if name in blind},
    )


def unigram_loss(counts: np.ndarray, corpus: Corpus, rows: Sequence[list[Draw]], objective: Objective) -> float:
    """The loss of the best guess that does not read: every hidden token by its frequency in training.

    Args:
        counts: (vocab) of the training tokens; each is taken one higher, so that none is 0.
        corpus: that the rows read.
        rows: the ones that a model is scored on.
        objective: bound; with `labels` or `targets` in its batches.
    Returns:
        mean cross-entropy in nats over the tokens that are asked for.
    """
    smoothed = counts + 1.0
    nats = -np.log(smoothed / smoothed.sum())
    return float(nats[targets_of(corpus, rows, objective)].mean())


def targets_of(corpus: Corpus, rows: Sequence[list[Draw]], objective: Objective) -> np.ndarray:
    """(answers) int64: all tokens that some rows ask for, hidden ones or next ones."""
    found = []
    for row in rows:
        batch = batch_of(corpus, [row], objective, VALIDATION_SEED)
        asked = batch["targets" if "targets" in batch else "labels"]
        found.append(asked[asked != -100].numpy())
    return np.concatenate(found)

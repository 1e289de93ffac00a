"""Scores on a fixed set with fixed masks; every example counts once, on any number of processes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from selfsup.data.dealing import Row, Source
from selfsup.metrics.wilson import wilson
from selfsup.objectives.objective import Objective, Players
from selfsup.training.batches import VALIDATION_SEED, Share, batch_of


@dataclass(frozen=True)
class Score:
    """What a model got right, by the names of the answers.

    Args:
        losses: mean loss; in nats, unless `in_nats` says otherwise.
        hits: how many answers were right, where that makes sense.
        counts: how many answers there were.
        weights: of the losses in their sum.
        blind_hits: how many answers a guess that reads nothing gets right, where that makes sense.
        blind_losses: mean loss of such a guess, where it is known.
        in_nats: losses are logarithms of probabilities, so that there are perplexities.
    """

    losses: dict[str, float]
    hits: dict[str, int]
    counts: dict[str, int]
    weights: dict[str, float]
    blind_hits: dict[str, float] = field(default_factory=dict)
    blind_losses: dict[str, float] = field(default_factory=dict)
    in_nats: bool = True

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
            if self.in_nats:
                figures[f"validation_{name}_perplexity"] = self.perplexity(name)
        for name in self.hits:
            figures[f"validation_{name}_accuracy"] = self.accuracy(name)
            figures[f"validation_{name}_interval"] = self.interval(name)
        for name, hits in self.blind_hits.items():
            figures[f"validation_{name}_blind_accuracy"] = hits / max(self.counts[name], 1)
        for name, loss in self.blind_losses.items():
            figures[f"validation_{name}_blind_loss"] = loss
        return figures


def evaluate(
    players: Players,
    objective: Objective,
    corpus: Source,
    rows: Sequence[Row],
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
    kinds = ("losses", "hits", "blind_hits", "blind_losses")  # methods of an objective, but for the first
    sums = torch.zeros(len(kinds) + 1, len(names), dtype=torch.float64)  # the last line: counts
    told: dict[str, set[str]] = {kind: set() for kind in kinds}
    share = Share(accelerator.process_index, accelerator.num_processes, micro_batch_size)
    modes = {name: player.training for name, player in players.items()}
    for player in players.values():
        player.eval()
    with torch.no_grad():
        for part in share.at_once(rows):
            batch = batch_of(corpus, part, objective, VALIDATION_SEED)
            counts = {k: n for turn in objective.turns for k, n in objective.counts(batch, turn).items()}
            batch = {name: value.to(accelerator.device) for name, value in batch.items()}
            for turn in objective.turns:
                outputs = objective.forward(players, batch, turn)
                for line, kind in enumerate(kinds):
                    ask = objective.loss if kind == "losses" else getattr(objective, kind)
                    for name, value in ask(outputs, batch, turn).items():
                        sums[line, names.index(name)] += float(value)
                        told[kind].add(name)
            for name, count in counts.items():
                sums[-1, names.index(name)] += count
    for name, player in players.items():
        player.train(modes[name])
    *lines, counted = accelerator.reduce(sums.to(accelerator.device), "sum").cpu().tolist()
    found = {
        kind: {name: value for name, value in zip(names, line, strict=True) if name in told[kind]}
        for kind, line in zip(kinds, lines, strict=True)
    }
    counts = {name: round(count) for name, count in zip(names, counted, strict=True)}
    return Score(
        losses={name: found["losses"].get(name, 0.0) / max(counts[name], 1) for name in names},
        hits={name: round(hits) for name, hits in found["hits"].items()},
        counts=counts,
        weights=dict(objective.weights),
        blind_hits=found["blind_hits"],
        blind_losses={name: loss / max(counts[name], 1) for name, loss in found["blind_losses"].items()},
        in_nats=objective.in_nats,
    )


def unigram_loss(counts: np.ndarray, corpus: Source, rows: Sequence[Row], objective: Objective) -> float:
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


def targets_of(corpus: Source, rows: Sequence[Row], objective: Objective) -> np.ndarray:
    """(answers) int64: all tokens that some rows ask for, hidden ones or next ones."""
    found = []
    for row in rows:
        batch = batch_of(corpus, [row], objective, VALIDATION_SEED)
        asked = batch["targets" if "targets" in batch else "labels"]
        found.append(asked[asked != -100].numpy())
    return np.concatenate(found)

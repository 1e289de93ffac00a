"""The steps of a run as lists of micro-batches, this process's share of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

from torch.utils.data import DataLoader, Dataset

from selfsup.data.collate import collate
from selfsup.data.dealing import Dealer, Draw, Row, Source
from selfsup.objectives.objective import Batch, Example, Objective, text_rng

Some = TypeVar("Some")
VALIDATION_SEED = 0  # masks and pairs of validation are the same in every run


@dataclass(frozen=True)
class Share:
    """Which of the rows of a step belong to this process.

    Args:
        process: number of this process, from 0.
        num_processes: of the run.
        micro_batch_size: rows of one forward pass; None for all at once.
    """

    process: int = 0
    num_processes: int = 1
    micro_batch_size: int | None = None

    def of(self, rows: Sequence[Some]) -> list[Sequence[Some]]:
        """The micro-batches of this process: neighbours stay together, no row comes twice or never.

        All processes get the same number of them, since sharded players gather their weights for each. (So where
        processes cannot share evenly and `micro_batch_size` is 1, some micro-batches have two rows.)

        Raises:
            ValueError: a process would get none, and the others would wait for it in vain.
        """
        self._check(rows)
        first = len(rows) * self.process // self.num_processes
        last = len(rows) * (self.process + 1) // self.num_processes
        fewest, most = len(rows) // self.num_processes, -(-len(rows) // self.num_processes)
        number = min(-(-most // (self.micro_batch_size or most)), fewest)
        edges = [first + (last - first) * place // number for place in range(number + 1)]
        return [rows[start:stop] for start, stop in pairwise(edges)]

    def at_once(self, rows: Sequence[Some]) -> list[Sequence[Some]]:
        """As `of`, but what all processes read at one time are neighbours: what an objective compares with all else
        that is read at that time is then the same on any number of processes.

        Raises:
            ValueError: as `of`.
        """
        self._check(rows)
        together = (self.micro_batch_size or len(rows)) * self.num_processes
        number = min(-(-len(rows) // together), len(rows) // self.num_processes)
        edges = [len(rows) * place // number for place in range(number + 1)]
        alone = replace(self, micro_batch_size=None)
        return [part for start, stop in pairwise(edges) for part in alone.of(rows[start:stop])]

    def _check(self, rows: Sequence[Any]) -> None:
        if len(rows) < self.num_processes:
            raise ValueError(
                f"{len(rows)} row(s) cannot be shared among {self.num_processes} processes: raise batch_size or "
                "eval_rows, give more data, or launch fewer processes"
            )


def read(corpus: Source, draw: Draw, objective: Objective, seed: int) -> Example:
    """One example as numbers, with its answers hidden."""
    rng = text_rng(seed, draw.epoch, draw.index)
    return objective.corrupt(objective.encode(corpus.example(draw)), rng=rng, progress=draw.progress)


def batch_of(corpus: Source, rows: Sequence[Row], objective: Objective, seed: int) -> Batch:
    """The batch of some rows."""
    return collate([[read(corpus, draw, objective, seed) for draw in row] for row in rows], padding=objective.padding)


@dataclass(frozen=True)
class Steps(Dataset):
    """Micro-batches by step; a loader reads it in order, from any step on.

    Args:
        plan: what a step reads.
        objective: bound.
        share: of this process.
        num_steps: of the run; None while it is not known.
        warmup_steps: progress is 0 until then, so nothing before depends on `num_steps`.
    """

    plan: Dealer
    objective: Objective
    share: Share
    num_steps: int | None
    warmup_steps: int

    def __getitem__(self, step: int) -> list[Batch]:
        rows = self.plan.rows(step, self.num_steps, progress=progress(step, self.warmup_steps, self.num_steps))
        return [batch_of(self.plan.corpus, part, self.objective, self.plan.seed) for part in self.share.of(rows)]

    def iterate(self, steps: range, workers: int = 0) -> Iterator[list[Batch]]:
        """Read some steps in order.

        Args:
            steps: which.
            workers: processes that prepare batches ahead; 0 for none.
        """
        # Forked workers share the memory-mapped corpus; spawned ones would be sent a copy of all of it.
        context = "fork" if workers else None
        return iter(
            DataLoader(
                self,
                batch_size=None,
                sampler=steps,
                num_workers=workers,
                multiprocessing_context=context,
            )
        )


def progress(step: int, warmup_steps: int, num_steps: int | None) -> float:
    """Share of the run after its warm-up that has passed, 0-1."""
    if num_steps is None or step <= warmup_steps:
        return 0.0
    return min(1.0, (step - warmup_steps) / max(num_steps - warmup_steps, 1))

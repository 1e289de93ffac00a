"""What every plan of a run promises: the rows of each step, as one pure function of (seed, step)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Protocol, TypeAlias


class Draw(Protocol):
    """One example of a step; (seed, epoch, index) is the key of all its chance."""

    @property
    def epoch(self) -> int:
        """How many times all was read before."""

    @property
    def index(self) -> int:
        """Number of the example, another one for each of an epoch."""

    @property
    def progress(self) -> float | None:
        """Share of the run that has passed, 0-1; None in validation."""


class Stage(Protocol):
    """A stretch of training with one batch size."""

    @property
    def batch_size(self) -> int:
        """Rows of a step, over all processes."""

    @property
    def until(self) -> float:
        """The share of the run at which the stage ends, at most 1."""


class Source(Protocol):
    """Where the examples of draws are kept."""

    @property
    def name(self) -> str:
        """What people call it."""

    def example(self, draw: Any) -> dict[str, Any]:
        """The raw example that a draw asks for, as objectives read it."""


Row: TypeAlias = Sequence[Draw]  # that share a block


class Dealer(ABC):
    """Rows of draws for every step. Nothing of it has to be saved: the step alone says where a run stands.

    Args:
        corpus: what the draws are of.
        stages: batch sizes, in order; the last one ends at 1.
        seed: of everything drawn here.
    Raises:
        ValueError: the stages do not cover the run.
    """

    unit: ClassVar[str]  # what is counted: "tokens", "pictures"
    stages: Sequence[Stage]
    longest: int | None = None  # tokens of the longest row, where rows have tokens

    def __init__(self, corpus: Source, stages: Sequence[Stage], seed: int) -> None:
        ends = [stage.until for stage in stages]
        if not ends or ends != sorted(set(ends)) or ends[0] <= 0 or ends[-1] != 1:
            raise ValueError(f"stages must end at rising shares of the run, the last at 1, but they end at {ends}")
        self.corpus, self.stages, self.seed = corpus, list(stages), seed

    @abstractmethod
    def rows(self, step: int, num_steps: int | None = None, *, progress: float = 0.0) -> Sequence[Row]:
        """What one step reads.

        Args:
            step: from 0.
            num_steps: of the whole run; None while it is not known yet, in the first stage.
            progress: handed on to the draws.
        Returns:
            `batch_size` rows.
        """

    @abstractmethod
    def epoch(self, most: int | None = None) -> Sequence[Row]:
        """Rows of the first epoch, for validation: the same whenever and wherever they are asked for.

        Args:
            most: of them; all if absent.
        """

    @property
    @abstractmethod
    def size(self) -> int:
        """How many tokens or pictures an epoch reads."""

    @abstractmethod
    def identity(self, held_out: "Dealer") -> dict[str, Any]:
        """Names what is read and in which order, by the flag that sets each; see `resume.identity`.

        Args:
            held_out: of the validation part.
        """

    def padding_share(self) -> float | None:
        """Share of the positions that hold no token; None where there is no padding."""
        return None

    def steps_before(self, step: int, num_steps: int | None) -> list[int]:
        """How many steps of each stage were done before one; the last number is of the stage that it lies in.

        Args:
            step: from 0.
            num_steps: of the whole run; None while it is not known, in the first stage.
        """
        ends = [round(stage.until * num_steps) for stage in self.stages[:-1]] if num_steps else []
        return [after - before for before, after in pairwise([0, *(end for end in ends if end <= step), step])]

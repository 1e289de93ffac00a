"""Which pictures every step of a run reads: one pure function of (seed, step), as for text, see `plan`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, ClassVar

import numpy as np

from selfsup.data.dealing import Dealer
from selfsup.data.images import Picture

TELLING = 256  # pictures whose pixels tell one collection from another


@dataclass(frozen=True)
class Album:
    """Pictures of one size, without what they show.

    Args:
        name: what people call them.
        pictures: all of them.
        origin: hex digest of what they were read from.
    """

    name: str
    pictures: Sequence[Picture]
    origin: str

    def example(self, draw: "PictureDraw") -> dict[str, Any]:
        """The picture that a draw asks for."""
        return {"image": self.pictures[draw.index]}

    def fingerprint(self) -> str:
        """Changes with what was read, and with the size and the mode it was read in."""
        digest = blake2b(f"{self.origin} {len(self.pictures)}".encode(), digest_size=16)
        for picture in self.pictures[:TELLING]:
            digest.update(f"{picture.pixels.shape} {picture}".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class PictureStage:
    """A stretch of training with one batch size.

    Args:
        batch_size: pictures of a step, over all processes.
        until: the share of the run at which the stage ends, at most 1.
    """

    batch_size: int = 64
    until: float = 1.0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, but {self.batch_size} came")


@dataclass(frozen=True)
class PictureDraw:
    """One picture of a step.

    Args:
        epoch: how many times all pictures were read before.
        index: number of the picture; (seed, epoch, index) is the key of all its chance.
        progress: share of the run that has passed, 0-1; None in validation.
    """

    epoch: int
    index: int
    progress: float | None


class PicturePlan(Dealer):
    """Rows of one picture each; every epoch reads each picture once, in an order of its own, whatever the stages.

    Args:
        corpus: the pictures.
        numbers: of those that are read.
        stages: batch sizes, in order; the last one ends at 1.
        seed: of the order.
    Raises:
        ValueError: the stages do not cover the run, there is nothing to read, or a step would read pictures twice.
    """

    unit: ClassVar[str] = "pictures"
    corpus: Album
    stages: Sequence[PictureStage]

    def __init__(
        self,
        corpus: Album,
        numbers: Sequence[int],
        *,
        stages: Sequence[PictureStage] = (PictureStage(),),
        seed: int = 0,
    ) -> None:
        super().__init__(corpus, stages, seed)
        self.numbers = np.array(sorted(numbers), dtype=np.int64)
        if not len(self.numbers):
            raise ValueError(f"pictures to read were wanted, but there are none of {corpus.name}: give more")
        largest = max(stage.batch_size for stage in stages)
        if largest > len(self.numbers):
            raise ValueError(
                f"a step must not read a picture twice, but batch_size is {largest} and {corpus.name} has "
                f"{len(self.numbers)} pictures to learn from: lower --data.batch_size, or give more pictures"
            )
        self.order = lru_cache(maxsize=2)(self._order)

    def rows(self, step: int, num_steps: int | None = None, *, progress: float = 0.0) -> list[list[PictureDraw]]:
        done = self.steps_before(step, num_steps)
        sizes = [stage.batch_size for stage in self.stages[: len(done)]]
        first = sum(count * size for count, size in zip(done, sizes, strict=True))
        return [[self._draw(place, progress)] for place in range(first, first + sizes[-1])]

    def epoch(self, most: int | None = None) -> list[list[PictureDraw]]:
        return [[self._draw(place, None)] for place in range(min(most or self.size, self.size))]

    @property
    def size(self) -> int:
        return len(self.numbers)

    def identity(self, held_out: Dealer) -> dict[str, Any]:
        assert isinstance(held_out, PicturePlan)
        alone = self.stages[0].batch_size if len(self.stages) == 1 else None
        own = held_out.corpus is not self.corpus
        held = blake2b(self.numbers.tobytes() + held_out.numbers.tobytes(), digest_size=8).hexdigest()
        return {
            "--corpus": {"name": self.corpus.name, "fingerprint": self.corpus.fingerprint()},
            "--data.validation": {"name": held_out.corpus.name, "fingerprint": held_out.corpus.fingerprint()}
            if own
            else None,
            "--data.validation_share": {"name": f"{held_out.size:,} pictures held out", "fingerprint": held},
            "--data.batch_size": alone,
            "--data.stages": None if alone else [list(asdict(stage).values()) for stage in self.stages],
            "--train.seed": self.seed,
        }

    def _draw(self, place: int, progress: float | None) -> PictureDraw:
        """The picture at some place of the endless sequence of epochs."""
        epoch, place = divmod(place, self.size)
        return PictureDraw(epoch, int(self.order(epoch)[place]), progress)

    def _order(self, epoch: int) -> np.ndarray:
        """(pictures) int64: their numbers in the order of an epoch."""
        # No picture has the last of these numbers: its chance is that of the order alone.
        return np.random.default_rng((self.seed, epoch, len(self.corpus.pictures))).permutation(self.numbers)

"""Which tokens every step of a run reads: one pure function of (seed, step).

The plan owns shuffling, blocks, pairs of segments, packing, the sequence-length schedule and the batch ramp. Nothing of
it has to be saved: the step alone says where a run stands, on any number of processes.

An epoch is made shelf by shelf: the text is cut into slices at sentence starts, the slices are shuffled, some dozens
of them make a shelf, and the rows of a shelf are shuffled too. So memory holds a few shelves, however large the text.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from selfsup.data.corpus import Corpus, Region
from selfsup.data.dealing import Dealer
from selfsup.data.layout import SHORTEST_PAIR, Layout, lay_out, num_special

SLICE_TOKENS = 2**16
SHELF_SLICES = 64


@dataclass(frozen=True)
class Stage:
    """A stretch of training with one block size and one batch size.

    Args:
        block_size: tokens of a row, special tokens included.
        batch_size: rows of a step, over all processes.
        until: the share of the run at which the stage ends, at most 1.
    """

    block_size: int = 128
    batch_size: int = 64
    until: float = 1.0

    def __post_init__(self) -> None:
        if self.block_size < SHORTEST_PAIR + 3 or self.batch_size < 1:
            raise ValueError(f"a stage needs block_size >= {SHORTEST_PAIR + 3} and batch_size >= 1, but {self} came")


@dataclass(frozen=True)
class Draw:
    """One example: which tokens, split where, and what its chance is keyed by.

    Args:
        segments: one range of tokens of the corpus, or two: A, then B of the same document unless a `stranger`.
        epoch: how many times the text was read before.
        index: number of the example in its epoch; (seed, epoch, index) is the key of all its chance.
        progress: share of the run that has passed, 0-1; None in validation.
        stranger: is the second segment of another document? None where the plan was not asked to draw any.
    """

    segments: tuple[Region, ...]
    epoch: int
    index: int
    progress: float | None
    stranger: bool | None = None


class Plan(Dealer):
    """Rows of draws for every step; the draws of a row share a block.

    Args:
        corpus: the text.
        regions: the ranges of its tokens to read; each begins at a sentence start.
        stages: block and batch sizes, in order; the last one ends at 1.
        num_segments: 1, or 2 for pairs.
        pack: let short examples share a row (the model must keep their attention apart).
        seed: of everything drawn here.
        strangers: take the second segment of half of the pairs from another document.
        framed: special tokens stand around every segment, which takes room.
    Raises:
        ValueError: the stages do not cover the run, there is nothing to read, or no other document.
    """

    unit: ClassVar[str] = "tokens"
    corpus: Corpus
    stages: Sequence[Stage]

    def __init__(
        self,
        corpus: Corpus,
        regions: Sequence[Region],
        *,
        stages: Sequence[Stage] = (Stage(),),
        num_segments: int = 2,
        pack: bool = True,
        seed: int = 0,
        strangers: bool = False,
        framed: bool = True,
    ) -> None:
        super().__init__(corpus, stages, seed)
        self.regions, self.longest = list(regions), max(stage.block_size for stage in stages)
        self.num_segments, self.pack, self.strangers, self.framed = num_segments, pack, strangers, framed
        self.slices = _slices(corpus, regions)
        if not len(self.slices):
            raise ValueError(f"{corpus.name} has nothing to read in {list(regions)}")
        if strangers and np.ptp(self._documents(self.slices - [0, 1])) == 0:
            raise ValueError(
                f"segments from other documents are wanted, but {corpus.name} has a single document here: give more "
                "documents (one a file or row), or a validation text with several"
            )
        self.num_shelves = -(-int(np.diff(self.slices).sum()) // (SHELF_SLICES * SLICE_TOKENS))
        self._layouts: OrderedDict[tuple[int, int, int], Layout] = OrderedDict()
        self._counts: dict[tuple[int, int, int], int] = {}

    def rows(self, step: int, num_steps: int | None = None, *, progress: float = 0.0) -> list[list[Draw]]:
        *earlier, done = self.steps_before(step, num_steps)
        size = self.stages[len(earlier)].batch_size
        return self._span(len(earlier), done * size, (done + 1) * size, progress)

    def epoch(self, most: int | None = None) -> list[list[Draw]]:
        rows: list[list[Draw]] = []
        for shelf in range(self.num_shelves):
            for row in range(self._layout(0, 0, shelf).num_rows):
                rows.append(self._row(0, 0, shelf, row, None))
                if len(rows) == most:
                    return rows
        return rows

    @property
    def size(self) -> int:
        return sum(stop - start for start, stop in self.regions)

    def identity(self, held_out: Dealer) -> dict[str, Any]:
        assert isinstance(held_out, Plan)
        whole, alone = held_out.corpus is self.corpus, self.stages[0] if len(self.stages) == 1 else None
        origin = self.corpus.origin
        regions = blake2b(self.slices.tobytes() + held_out.slices.tobytes(), digest_size=8).hexdigest()
        return {
            "--corpus": self._name(),
            "--tokenizer": {"name": "a tokenizer", "fingerprint": origin.get("tokenizer", "")},
            "--data.language": origin.get("language"),
            "--data.validation": None if whole else held_out._name(),
            "--data.validation_share": {
                "name": f"{int(np.diff(held_out.slices).sum()):,} tokens held out",
                "fingerprint": regions,
            },
            "--data.block_size": alone.block_size if alone else None,
            "--data.batch_size": alone.batch_size if alone else None,
            "--data.stages": None if alone else [list(asdict(stage).values()) for stage in self.stages],
            "--train.seed": self.seed,
            "pairs of segments": self.num_segments == 2,
            "several examples in a row": self.pack,
        }

    def _name(self) -> dict[str, str]:
        """The text by what it holds; its name is only shown."""
        return {"name": self.corpus.name, "fingerprint": self.corpus.origin.get("text", self.corpus.folder.name)}

    def padding_share(self) -> float:
        """Share of the positions of the first shelf that hold no token."""
        layout, block_size = self._layout(0, 0, 0), self.stages[0].block_size
        bounds = layout.bounds
        text = (bounds[:, 1] - bounds[:, 0] + bounds[:, 3] - bounds[:, 2]).sum()
        special = num_special(bounds, self.framed).sum()
        return float(1 - (text + special) / (layout.num_rows * block_size))

    def _span(self, stage: int, first: int, last: int, progress: float) -> list[list[Draw]]:
        """Rows `first` to `last` of the endless sequence of rows of a stage."""
        rows: list[list[Draw]] = []
        place = epoch = shelf = 0  # `place`: how many rows lie before this shelf
        while place < last:
            count = self._count(stage, epoch, shelf)
            for row in range(max(first - place, 0), min(last - place, count)):
                rows.append(self._row(stage, epoch, shelf, row, progress))
            place += count
            epoch, shelf = (epoch, shelf + 1) if shelf + 1 < self.num_shelves else (epoch + 1, 0)
        return rows

    def _row(self, stage: int, epoch: int, shelf: int, row: int, progress: float | None) -> list[Draw]:
        layout = self._layout(stage, epoch, shelf)
        draws = []
        for example in layout.row(row).tolist():
            a_start, a_stop, b_start, b_stop = layout.bounds[example].tolist()
            segments = ((a_start, a_stop), (b_start, b_stop)) if b_start < b_stop else ((a_start, a_stop),)
            # A shelf has fewer than 2**24 tokens, so fewer examples; the stage keeps its chance apart from others'.
            index = ((stage * self.num_shelves + shelf) << 24) + example
            stranger = int(layout.strangers[example])
            draws.append(Draw(segments, epoch, index, progress, None if stranger < 0 else bool(stranger)))
        return draws

    def _count(self, stage: int, epoch: int, shelf: int) -> int:
        key = (stage, epoch, shelf)
        if key not in self._counts:
            self._counts[key] = self._layout(*key).num_rows
        return self._counts[key]

    def _layout(self, stage: int, epoch: int, shelf: int) -> Layout:
        key = (stage, epoch, shelf)
        if key not in self._layouts:
            order = np.random.default_rng((self.seed, stage, epoch)).permutation(len(self.slices))
            slices = self.slices[np.sort(np.array_split(order, self.num_shelves)[shelf])]
            units, starts = _units(self.corpus, slices)
            self._layouts[key] = lay_out(
                units,
                starts,
                self.stages[stage].block_size,
                num_segments=self.num_segments,
                pack=self.pack,
                rng=np.random.default_rng((self.seed, stage, epoch, shelf)),
                documents=self._documents(units[:, 0]) if self.strangers else None,
                framed=self.framed,
            )
            if len(self._layouts) > 3:
                self._layouts.popitem(last=False)
        return self._layouts[key]

    def _documents(self, places: np.ndarray) -> np.ndarray:
        """(places) int64: numbers of the documents that some places of the corpus lie in."""
        return np.searchsorted(self.corpus.documents, places, side="right") - 1


def _slices(corpus: Corpus, regions: Sequence[Region]) -> np.ndarray:
    """(slices, 2) int64: the regions cut near every `SLICE_TOKENS`, at sentence starts."""
    slices = []
    for start, stop in regions:
        cuts = np.searchsorted(corpus.sentences, np.arange(start + SLICE_TOKENS, stop, SLICE_TOKENS))
        edges = [start, *(int(corpus.sentences[c]) for c in cuts if c < len(corpus.sentences)), stop]
        slices += [(a, b) for a, b in pairwise(edges) if a < b <= stop]
    return np.array(slices, dtype=np.int64).reshape(-1, 2)


def _units(corpus: Corpus, slices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The documents' parts in some slices, (units, 2), and the starts of their sentences, both rising."""
    units, starts = [], []
    for start, stop in slices.tolist():
        low, high = np.searchsorted(corpus.documents, (start + 1, stop))
        edges = np.concatenate(([start], corpus.documents[low:high], [stop]))
        units.append(np.stack((edges[:-1], edges[1:]), axis=1))
        low, high = np.searchsorted(corpus.sentences, (start, stop))
        starts.append(np.asarray(corpus.sentences[low:high]))
    return np.concatenate(units), np.concatenate(starts)

"""What a contestant is told: the same text, rows and shape for all, and how this one trains."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from selfsup.data.plan import Plan
from selfsup.data.texts import DataConfig, find_texts, open_plans
from selfsup.training.export import open_tokenizer


@dataclass(frozen=True)
class Setting:
    """Of one contestant; it travels as a file of JSON.

    Args:
        corpus: name of the text, with its `data_root`.
        tokenizer: folder or Hub id.
        output: folder that it may write to.
        block_size: tokens of a row.
        batch_size: rows of a step.
        threads: of the process.
        model: fields of its configuration.
        how: what else its program takes.
    """

    corpus: str
    data_root: str | None
    tokenizer: str
    output: str
    block_size: int
    batch_size: int
    threads: int
    model: dict[str, Any] = field(default_factory=dict)
    how: dict[str, Any] = field(default_factory=dict)

    def save(self) -> Path:
        """Write it into its output folder, which is made."""
        path = Path(self.output) / "setting.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1))
        return path

    @classmethod
    def load(cls, path: str) -> Self:
        """Of a file that `save` wrote."""
        return cls(**json.loads(Path(path).read_text()))

    def plans(self, **reading: Any) -> tuple[Plan, Plan]:
        """The text as rows, and what is held out of it; from the cache, if it was read before.

        Args:
            reading: see `Objective.reading`; by default single segments.
        """
        data = DataConfig(block_size=self.block_size, batch_size=self.batch_size)
        texts = find_texts(self.corpus, data, Path(self.data_root) if self.data_root else None)
        words = open_tokenizer(self.tokenizer)
        return open_plans(texts, words, data, seed=0, **{"num_segments": 1, "pack": True} | reading)


def row_bounds(plan: Plan, block_size: int, *, lines: bool) -> np.ndarray:
    """Where the text of every row begins and ends.

    Args:
        plan: its corpus, and the first of its regions.
        block_size: longest row, with two special tokens.
        lines: a row is a sentence, and padded to the longest of its batch; else every row is full.
    Returns:
        (rows, 2) int64.
    """
    room, (start, stop) = block_size - 2, plan.regions[0]
    if not lines:
        begins = np.arange(start, stop - room + 1, room)
        return np.stack((begins, begins + room), axis=1)
    sentences = plan.corpus.sentences
    begins = sentences[(sentences >= start) & (sentences < stop)]
    return np.stack((begins, np.minimum(np.append(begins[1:], stop), begins + room)), axis=1)

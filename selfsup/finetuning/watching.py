"""What sequence to sequence learns, seen from other sides: where it looks, and how it goes on after a mistake."""

from collections.abc import Sequence
from typing import Any, ClassVar

import datasets
import numpy as np
import torch
from numpy.random import default_rng
from torch import Tensor

from selfsup.generation.beam import BeamConfig, beam_search
from selfsup.metrics.metric import TallyMetric, both, ratio
from selfsup.objectives import SequenceToSequence
from selfsup.objectives.objective import Batch, Example, Players
from selfsup.objectives.sequences import bare, real_tokens


class Alignment(SequenceToSequence):
    """Learns as `SequenceToSequence` does, and concludes where the model looks when it copies.

    A token that stands once in the source and once in the target has one right place to look at, and the one before
    it is as right: the encoder reads both ways, so what stands there tells what follows. (A model that finds the token
    that it wrote last looks there.) A conclusion counts the tokens of an example that were looked up so, those that
    stand so on the diagonal (where an attention that knows nothing but places would look), and all of them. The
    attention is the mean of all heads and blocks, behind the true target.
    """

    def forward(self, players: Players, batch: Batch, turn: str) -> Any:
        if "learnt" in batch:
            return super().forward(players, batch, turn)
        return players["model"](**self.inputs(batch), output_attentions=True)

    def answer(self, players: Players, batch: Batch, outputs: Any) -> list[Any]:
        attention = torch.stack([layer.float().mean(dim=1) for layer in outputs.cross_attentions]).mean(dim=0)
        sizes = zip(real_tokens(batch).sum(dim=1).tolist(), (batch["targets"] != -100).sum(dim=1).tolist(), strict=True)
        return [
            found_again(batch["input_ids"][row, :read], batch["targets"][row, :asked], attention[row, :asked, :read])
            for row, (read, asked) in enumerate(sizes)
        ]

    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        return predictions[0]

    def reference(self, example: Example) -> Any:
        return [0, 0, 0]  # what is concluded is counted already


class Aligned(TallyMetric):
    """Copied tokens that are looked up where they stand or just before; `diagonal` is what looking straight across
    would reach."""

    main = "aligned"
    takes: ClassVar[list[datasets.Features]] = [both(datasets.List(datasets.Value("int64")))]

    def tallies(self, predictions: Sequence[Any], references: Sequence[Any]) -> np.ndarray:
        return np.array(predictions, dtype=float)

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        asked = totals[..., 2]
        return {"aligned": ratio(totals[..., 0], asked), "diagonal": ratio(totals[..., 1], asked)}


def found_again(source: Tensor, target: Tensor, attention: Tensor) -> list[int]:
    """Of the tokens that stand once on each side, how many are looked up where they stand or one place before, how many
    would be by looking straight across, and how many there are.

    Args:
        source: (source tokens) ids, without padding.
        target: (tokens) ids, without padding.
        attention: (tokens, source tokens) of the step that is to write each.
    Example:
        >>> found_again(torch.tensor([5, 6, 7]), torch.tensor([7, 6]), torch.eye(3)[[0, 0]])
        [1, 1, 2]
    """
    same = target[:, None] == source[None]
    once = same & (same.sum(dim=0, keepdim=True) == 1) & (same.sum(dim=1, keepdim=True) == 1)
    written = once.any(dim=1).nonzero().squeeze(1)
    places = once[written].int().argmax(dim=1)
    looked = attention[written].argmax(dim=1)
    across = (written * len(source)) // max(1, len(target))
    return [*(int(((places - at == 0) | (places - at == 1)).sum()) for at in (looked, across)), len(written)]


class OfFirstWord(SequenceToSequence):
    """Learns and writes as `SequenceToSequence` does; what is wanted of a text is the first word of its source."""

    def reference(self, example: Example) -> Any:
        return self.source(example).split()[0]


class AfterMistakes(SequenceToSequence):
    """Concludes how a model goes on behind the first half of the true target, some tokens of which are wrong.

    The text that is scored is the second half alone. A wrong token is any ordinary one, drawn by a generator keyed by
    the target, so that every model reads the same mistakes.

    Args:
        share: of the tokens of the first half that are wrong, 0-1.
        beams: as for `SequenceToSequence`.
    """

    def __init__(self, share: float = 0.3, beams: int = 1) -> None:
        super().__init__(beams=beams)
        self.share = share

    def bind(self, tokenizer, config) -> None:
        super().bind(tokenizer, config)
        special = set(tokenizer.all_special_ids)
        self.ordinary = np.array([number for number in range(len(tokenizer)) if number not in special])

    def beginning(self, target: Sequence[int]) -> list[int]:
        """The first half of a target's tokens, with its mistakes."""
        half = np.array(target[: len(target) // 2], dtype=np.int64)
        rng = default_rng(list(target))
        wrong = rng.random(len(half)) < self.share
        return np.where(wrong, rng.choice(self.ordinary, len(half)), half).tolist()

    def answer(self, players: Players, batch: Batch, outputs: Any) -> list[Any]:
        sources = [ids[mask].tolist() for ids, mask in zip(batch["input_ids"], real_tokens(batch), strict=True)]
        begun = [self.beginning(row[row != -100].tolist()) for row in batch["targets"]]
        config = BeamConfig(self.beams, max_new_tokens=self.num_written)
        found = beam_search(bare(players), sources, config, prefix=begun, batch_size=len(sources))
        return [best.ids[len(prefix) :] for (best, *_), prefix in zip(found, begun, strict=True)]

    def reference(self, example: Example) -> Any:
        target = self.target_ids(example).tolist()
        return self.tokenizer.decode(target[len(target) // 2 :], skip_special_tokens=True).strip()

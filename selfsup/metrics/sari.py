"""SARI: whether a text keeps, deletes and adds the words that a reference keeps, deletes and adds, given the source."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import datasets
import numpy as np
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from selfsup.metrics.metric import TallyMetric, check_pairs

ORDER = 4  # words of the longest runs


class Sari(TallyMetric):
    """SARI of texts that say a source in other words, in 0-1, with its parts: F1 of runs of words kept, precision of
    those deleted, F1 of those added, each a mean over runs of one to four words; the mean over texts.

    A copy of the source keeps all and adds nothing, however like the target it is. Text is to come as people write it:
    it is cut into words here as BLEU's are ("13a"), without regard to capitals. Who had nothing to do and did nothing
    is right; who deletes nothing where there was something to delete has a precision of 0. (Tools differ here, and in
    how runs that come twice count: only figures of one tool can be compared.) With several targets that differ nobody
    reaches 1.

    A tally is (kept, deleted, added, 1).

    Source:
        Xu et al. 2016, "Optimizing Statistical Machine Translation for Text Simplification", what it says
        of SARI; F1 of each order before their mean, as the authors' program has it.
    Example:
        >>> source, target = "It rained and we left.", "It rained. We left."
        >>> Sari().compute(predictions=[source], references=[{"source": source, "targets": [target]}])["sari"]
        0.25492424242424244
    """

    main = "sari"
    takes: ClassVar[list[datasets.Features]] = [
        datasets.Features(
            {
                "predictions": datasets.Value("string"),
                "references": {
                    "source": datasets.Value("string"),
                    "targets": datasets.List(datasets.Value("string")),
                },
            }
        )
    ]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.tokenizer = Tokenizer13a()

    def tallies(self, predictions: Sequence[str], references: Sequence[Mapping[str, Any]]) -> np.ndarray:
        check_pairs(predictions, references)
        rows = []
        for row, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
            if not isinstance(prediction, str) or not _is_reference(reference):
                raise ValueError(
                    "a text, and its source and targets as {source: ..., targets: [...]}, are wanted by SARI, but "
                    f"{prediction!r} and {reference!r} came for example {row}"
                )
            source, said = self._words(reference["source"]), self._words(prediction)
            targets = [self._words(target) for target in reference["targets"]]
            orders = [of_order(order, source, said, targets) for order in range(1, ORDER + 1)]
            rows.append((*np.mean(orders, axis=0), 1))
        return np.array(rows, dtype=float)

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        parts = totals[..., :3] / totals[..., 3:]
        names = ("sari_kept", "sari_deleted", "sari_added")
        return {"sari": parts.mean(axis=-1)} | {name: parts[..., place] for place, name in enumerate(names)}

    def signature(self) -> str:
        return f"tok:13a|case:lc|orders:1-{ORDER}|counts:summed|kept:f1|deleted:precision|added:f1"

    def _words(self, text: str) -> list[str]:
        return self.tokenizer(text.lower()).split()


def of_order(
    order: int, source: Sequence[str], said: Sequence[str], targets: Sequence[Sequence[str]]
) -> tuple[float, float, float]:
    """F1 of what is kept, precision of what is deleted, F1 of what is added, of runs of so many words.

    Counts of source and text are multiplied by the number of targets, so that a run in one of two counts half. Of what
    is added it counts only whether it is there.

    Example:
        >>> of_order(1, ["a", "b"], ["a", "c"], [["a", "d"]])
        (1.0, 1.0, 0.0)
    """
    before, after = (_runs(words, order, len(targets)) for words in (source, said))
    wanted = sum((_runs(words, order) for words in targets), Counter())
    kept, to_keep = before & after, before & wanted
    deleted, to_delete = before - after, before - wanted
    added, to_add = after.keys() - before.keys(), wanted.keys() - before.keys()
    return (
        _f1((kept & wanted).total(), kept.total(), to_keep.total()),
        (deleted & to_delete).total() / deleted.total() if deleted else float(not to_delete),
        _f1(len(added & to_add), len(added), len(to_add)),
    )


def _runs(words: Sequence[str], order: int, times: int = 1) -> Counter[tuple[str, ...]]:
    found = Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))
    return Counter({run: times * number for run, number in found.items()})


def _f1(right: int, done: int, due: int) -> float:
    """Of precision right / done and recall right / due; 1 where nothing was to do and nothing was done."""
    return 2 * right / (done + due) if done + due else 1.0


def _is_reference(reference: Any) -> bool:
    if not isinstance(reference, Mapping) or not {"source", "targets"} <= reference.keys():
        return False
    texts = [reference["source"], *reference["targets"]]
    return len(texts) > 1 and all(isinstance(text, str) for text in texts)

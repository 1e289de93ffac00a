"""BLEU: how many runs of one to four words stand in a reference, too, and a penalty for being short."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import datasets
import numpy as np
from sacrebleu.metrics import BLEU

from selfsup.metrics.metric import TallyMetric, check_texts, one_or_several, ratio

ORDER = 4  # words of the longest runs


class Bleu(TallyMetric):
    """BLEU of a corpus as sacrebleu has it, in 0-1: 36.2 is 0.362. A reference is a text, or a list of several.

    Text is to come as people write it: it is cut into words here. An order of runs without any match is smoothed
    ("exp"); an empty prediction matches nothing, and counts.

    A tally is (words, words of the reference nearest in length, matches of each order, runs of each order). The figure
    is of the sums: a mean of sentences' BLEUs is another figure.

    Args:
        tokenize: how text is cut into words: "13a" as WMT does, "intl", "zh" for Chinese, "char", or "none" at spaces.
        lowercase: without regard to capitals.
        options: of evaluate.Metric.
    Source:
        Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation"; Post 2018, "A Call for
        Clarity in Reporting BLEU Scores".
    Example:
        >>> Bleu().compute(predictions=["the dog sat on the mat"], references=[["the dog sat on a mat"]])
        {'bleu': 0.537284965911771}
    """

    main = "bleu"
    takes: ClassVar[list[datasets.Features]] = one_or_several()

    def __init__(
        self,
        tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a",
        *,
        lowercase: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if tokenize not in ("13a", "intl", "zh", "char", "none"):
            raise ValueError(f"13a, intl, zh, char or none is wanted for words of BLEU, but {tokenize!r} came")
        self.scorer = BLEU(lowercase=lowercase, tokenize=tokenize, max_ngram_order=ORDER, force=True)
        self.numbers: set[int] = set()

    def tallies(self, predictions: Sequence[str], references: Sequence[Any]) -> np.ndarray:
        pairs = check_texts(predictions, references)
        self.numbers |= {len(golds) for _, golds in pairs}
        return sentence_statistics(self.scorer, pairs)

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        length, wanted = totals[..., 0], totals[..., 1]
        matches, runs = totals[..., 2 : 2 + ORDER], totals[..., 2 + ORDER :]
        # The k-th order without a match counts as if it had 1 / 2^k of one.
        smoothed = np.where(matches == 0, 0.5 ** np.cumsum(matches == 0, axis=-1), matches)
        scored = (matches[..., 0] > 0) & (runs > 0).all(axis=-1)
        precisions = np.where(scored[..., None], ratio(smoothed, runs), 1.0)
        short = np.exp(np.minimum(0.0, 1 - ratio(wanted, length)))  # without words nothing matches either
        return {"bleu": np.where(scored, short * np.exp(np.log(precisions).mean(axis=-1)), 0.0)}

    def signature(self) -> str:
        """All that the figure depends on, as papers are to give it; `nrefs` of what was scored so far."""
        return signature(self.scorer, self.numbers)


def sentence_statistics(scorer: Any, pairs: Sequence[tuple[str, list[str]]]) -> np.ndarray:
    """What each sentence adds to a figure of a corpus, from sacrebleu.

    Args:
        scorer: of sacrebleu.
        pairs: predictions, each with its references.
    Returns:
        (sentences, k) float64.
    """
    # Private there, but what its own bootstrap is made of; one by one, as sentences may differ in their references.
    rows = [scorer._extract_corpus_statistics([text], [[gold] for gold in golds])[0] for text, golds in pairs]
    return np.array(rows, dtype=float)


def signature(scorer: Any, numbers: set[int]) -> str:
    """Sacrebleu's line on its settings.

    Args:
        scorer: of sacrebleu.
        numbers: of references that examples had.
    Example:
        >>> signature(BLEU(), {1}).rpartition("|")[0]
        'nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp'
    """
    few = -1 if len(numbers) > 1 else None  # which it writes as "var", and leaves out
    scorer.num_refs = next(iter(numbers)) if len(numbers) == 1 else few
    return str(scorer.get_signature())

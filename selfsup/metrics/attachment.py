"""Attachment scores: how many words of a sentence hang on the right word, in trees that were written as text."""

from collections.abc import Sequence
from typing import ClassVar

import datasets
import numpy as np

from selfsup.metrics.metric import TallyMetric, both, check_texts, ratio
from selfsup.metrics.trees import read_tree


class Attachment(TallyMetric):
    """The shares of words with the right head, and with the right head and relation; and of lines that are trees.

    Predictions and references are lines as `trees.write_tree` writes them. A word of the reference counts as right
    where the prediction has the same word at the same place; in a line that is no tree, none does. Punctuation counts.

    A tally is (words with the right head, with the right relation, too, words, 1 if it is a tree, 1).

    Source:
        Kübler, McDonald & Nivre 2009, "Dependency Parsing", section 6.1.
    Example:
        >>> Attachment().compute(
        ...     predictions=["We nsubj+1 saw root+0 it iobj-1"], references=["We nsubj+1 saw root+0 it obj-1"]
        ... )["labelled_attachment"]
        0.6666666666666666
    """

    main = "labelled_attachment"
    takes: ClassVar[list[datasets.Features]] = [both(datasets.Value("string"))]

    def tallies(self, predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
        tallies = np.zeros((len(predictions), 5))
        for row, (prediction, golds) in enumerate(check_texts(predictions, references)):
            try:
                (wanted,) = map(read_tree, golds)
            except ValueError as error:
                raise ValueError(
                    f"one tree is wanted as reference of example {row}, but {golds!r} came: {error}"
                ) from error
            tallies[row, 2], tallies[row, 4] = len(wanted.words), 1
            try:
                tree = read_tree(prediction)
            except ValueError:
                continue
            tallies[row, 3] = 1
            columns = zip(tree.words, tree.heads, tree.relations, strict=True)
            gold_columns = zip(wanted.words, wanted.heads, wanted.relations, strict=True)
            for (word, head, relation), (gold_word, gold_head, gold_relation) in zip(
                columns, gold_columns, strict=False
            ):
                if (word, head) == (gold_word, gold_head):
                    tallies[row, :2] += 1, relation == gold_relation
        return tallies

    def figures(self, totals: np.ndarray) -> dict[str, np.ndarray]:
        heads, relations, words, trees, lines = np.moveaxis(totals, -1, 0)
        return {
            "labelled_attachment": ratio(relations, words),
            "unlabelled_attachment": ratio(heads, words),
            "well_formed": ratio(trees, lines),
        }

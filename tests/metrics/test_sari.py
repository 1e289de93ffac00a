"""SARI: by hand, against the formulas of the paper written out with loops, and what copies come to."""

import itertools
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng

from selfsup.metrics import Bleu, Sari
from selfsup.metrics.sari import of_order

KNOWN = "About 95 species are currently accepted ."
GOLDS = [
    "About 95 species are currently known .",
    "About 95 species are now accepted .",
    "95 species are now accepted .",
]


def count(words, run) -> int:
    return sum(list(words[place : place + len(run)]) == list(run) for place in range(len(words)))


def by_the_paper(order, source, said, targets):
    """Sums over all runs there could be, of counts by exact fractions; F1 from precision and recall."""
    runs = [*itertools.product("abc", repeat=order)]
    sums: Counter[Any] = Counter()
    for run in runs:
        before, after = count(source, run), count(said, run)
        wanted: Any = Fraction(sum(count(target, run) for target in targets), len(targets))
        is_new, is_due = after > 0 and not before, wanted > 0 and not before
        sums["keep"] += min(before, after, wanted)
        sums["kept"] += min(before, after)
        sums["to keep"] += min(before, wanted)
        sums["delete"] += min(max(before - after, 0), max(before - wanted, 0))
        sums["deleted"] += max(before - after, 0)
        sums["to delete"] += max(before - wanted, 0)
        sums["add"] += is_new and is_due
        sums["added"] += is_new
        sums["to add"] += is_due

    def f1(right, done, due):
        if not done and not due:
            return 1
        precision, recall = Fraction(right) / done if done else 0, Fraction(right) / due if due else 0
        return 2 * precision * recall / (precision + recall) if precision + recall else 0

    nothing = int(not sums["to delete"])
    return (
        f1(sums["keep"], sums["kept"], sums["to keep"]),
        Fraction(sums["delete"]) / sums["deleted"] if sums["deleted"] else nothing,
        f1(sums["add"], sums["added"], sums["to add"]),
    )


def test_the_formulas_of_the_paper():
    rng = default_rng(0)
    for _ in range(60):
        source, said, *targets = (list(rng.choice(list("abc"), rng.integers(7))) for _ in range(2 + rng.integers(1, 4)))
        for order in (1, 2):
            wanted = [float(part) for part in by_the_paper(order, source, said, targets)]
            assert of_order(order, source, said, targets) == pytest.approx(wanted)


def test_by_hand():
    """a b -> a c, where a d was wanted: single words keep a, delete b, add c and not d; "a b" is deleted and "a c"
    added in place of "a d"; of longer runs there are none, and nothing was to do."""
    found = Sari().compute(predictions=["A c"], references=[{"source": "a b", "targets": ["a d"]}])
    assert found == {"sari": (1 + 1 + 1 / 2) / 3, "sari_kept": 1, "sari_deleted": 1, "sari_added": 1 / 2}


def test_the_example_of_the_authors_program():
    """Figures that its texts have in evaluate's "sari", where no run comes twice and something is always deleted."""
    said = "About 95 you now get in ."
    found = Sari().compute(predictions=[said], references=[{"source": KNOWN, "targets": GOLDS}])
    assert found["sari"] == pytest.approx(0.26953601953601954)


def test_a_copy_is_near_in_bleu_and_far_in_sari():
    source = "It had rained for days and so we left the old house by the river ."
    target = "It had rained for days . So we left the old house by the river ."
    reference = {"source": source, "targets": [target]}
    copied = Sari().compute(predictions=[source], references=[reference])
    assert copied["sari_kept"] > 0.8
    assert (copied["sari_deleted"], copied["sari_added"]) == (0, 0.25)  # no single word is new
    assert copied["sari"] < 0.4
    assert Bleu().compute(predictions=[source], references=[target])["bleu"] > 0.7
    right = Sari().compute(predictions=[target], references=[reference])
    assert right == dict.fromkeys(("sari", "sari_kept", "sari_deleted", "sari_added"), 1.0)
    silent = Sari().compute(predictions=[""], references=[reference])
    assert (silent["sari_kept"], silent["sari_added"]) == (0, 0.25)
    assert 0 < silent["sari_deleted"] < 1


def test_it_is_a_mean_over_texts():
    said, references = ["a b", "c"], [{"source": "a c", "targets": ["a b"]}, {"source": "a b", "targets": ["a"]}]
    alone = [Sari().compute(predictions=[one], references=[other]) for one, other in zip(said, references, strict=True)]
    together = Sari().compute(predictions=said, references=references)
    assert together["sari"] == pytest.approx(np.mean([one["sari"] for one in alone]))


@pytest.mark.parametrize("reference", ["a b", ["a b"], {"source": "a"}, {"source": "a", "targets": []}])
def test_what_has_no_source_is_refused(reference):
    with pytest.raises(ValueError, match=r"its source and targets .* are wanted by SARI, but 'a' and .* for example 0"):
        Sari().tallies(["a"], [reference])

"""Accuracy, F1 and Matthews correlation: against scikit-learn."""

import numpy as np
import pytest
from numpy.random import default_rng
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
)

from selfsup.metrics import F1, Accuracy, Matthews

LABELS = ["entailment", "neutral", "contradiction", "unsure"]


def drawn(seed: int, number: int = 60) -> tuple[list[str], list[str]]:
    """Predictions that are right two times of three, and references; some labels are rare."""
    rng = default_rng(seed)
    labels = LABELS[: rng.integers(2, 5)]
    shares = rng.dirichlet(np.full(len(labels), 0.7))
    references = rng.choice(labels, p=shares, size=number)
    predictions = np.where(rng.random(number) < 2 / 3, references, rng.choice(labels, size=number))
    return predictions.tolist(), references.tolist()


@pytest.mark.parametrize("seed", range(8))
def test_with_one_label_they_are_those_of_scikit_learn(seed):
    predictions, references = drawn(seed, number=6 + 20 * seed)
    pair = {"predictions": predictions, "references": references}
    assert Accuracy().compute(**pair)["accuracy"] == pytest.approx(accuracy_score(references, predictions))
    matthews = matthews_corrcoef(references, predictions)
    assert Matthews().compute(**pair)["matthews"] == pytest.approx(matthews, abs=1e-12)
    assert Matthews(LABELS).compute(**pair)["matthews"] == pytest.approx(matthews, abs=1e-12)
    for metric in (F1(positive="neutral"), F1(LABELS, positive="neutral")):
        figures = metric.compute(**pair)
        assert figures["macro_f1"] == pytest.approx(f1_score(references, predictions, average="macro"))
        assert figures["micro_f1"] == pytest.approx(f1_score(references, predictions, average="micro"))
        assert figures["exact_match"] == pytest.approx(accuracy_score(references, predictions))
        precision, recall, f1, _ = precision_recall_fscore_support(
            references, predictions, labels=["neutral"], zero_division=0.0
        )
        assert (figures["precision"], figures["recall"], figures["f1"]) == pytest.approx(
            (precision[0], recall[0], f1[0])
        )


@pytest.mark.parametrize("seed", range(4))
def test_several_labels_are_those_of_scikit_learn(seed):
    rng = default_rng(seed)
    references = rng.random((50, 4)) < [0.5, 0.2, 0.02, 0.3]
    predictions = references ^ (rng.random((50, 4)) < 0.1) & (references.any(axis=0) | (rng.random(4) < 0.5))
    names = [[[LABELS[i] for i in np.flatnonzero(row)] for row in side] for side in (predictions, references)]
    figures = F1(LABELS).compute(predictions=names[0], references=names[1])
    occurring = {"average": "macro", "zero_division": np.nan}  # labels that never come up have no F1
    assert figures["macro_f1"] == pytest.approx(f1_score(references, predictions, **occurring))
    assert figures["micro_f1"] == pytest.approx(f1_score(references, predictions, average="micro"))
    assert figures["exact_match"] == pytest.approx(accuracy_score(references, predictions))


def test_f1_by_hand():
    """yes: one of two found, one of two right; no: two of three and two of three."""
    predictions, references = ["yes", "yes", "no", "no", "no"], ["yes", "no", "yes", "no", "no"]
    assert F1(["no", "yes"], positive="yes").compute(predictions=predictions, references=references) == {
        "f1": 0.5,
        "precision": 0.5,
        "recall": 0.5,
        "macro_f1": pytest.approx((1 / 2 + 2 / 3) / 2),
        "micro_f1": 0.6,
        "exact_match": 0.6,
    }


def test_the_main_figure_is_that_of_the_label_that_is_looked_for():
    assert F1().main == "macro_f1"
    assert F1(positive=1).main == "f1"


def test_what_is_never_there_scores_nothing():
    """As scikit-learn's zero_division says; and always the same label is no correlation."""
    assert F1(["a", "b"], positive="b").compute(predictions=["a"], references=["a"])["f1"] == 0
    assert F1(["a", "b"]).compute(predictions=["a"], references=["a"])["macro_f1"] == 1
    assert Matthews().compute(predictions=["a", "a"], references=["a", "b"]) == {"matthews": 0}


def test_matthews_of_the_opposite_is_minus_one():
    assert Matthews().compute(predictions=[0, 1, 1, 0], references=[1, 0, 0, 1])["matthews"] == pytest.approx(-1)


@pytest.mark.parametrize("metric", [F1(["a", "b"]), Matthews(["a", "b"])], ids=["F1", "Matthews"])
def test_an_unknown_label_is_refused(metric):
    with pytest.raises(ValueError, match=r"^one of the labels 'a', 'b' is wanted, but reference 1 is 'c'$"):
        metric.tallies(["a", "b"], ["a", "c"])


@pytest.mark.parametrize("metric", [F1(), Matthews()], ids=["F1", "Matthews"])
def test_tallies_need_all_labels(metric):
    """Else the columns of two parts would be those of different labels."""
    with pytest.raises(ValueError, match=r"^the names of all labels are wanted, so that all parts are counted alike"):
        metric.tallies(["a", "b"], ["a", "c"])


def test_a_positive_label_must_be_one():
    with pytest.raises(ValueError, match=r"^`positive` is to be one of the labels 'a', 'b', but 'c' came$"):
        F1(["a", "b"], positive="c")


def test_names_and_numbers_are_not_compared():
    with pytest.raises(ValueError, match=r"but prediction 1 is 'b' and the reference 1$"):
        Accuracy().tallies(["a", "b"], ["a", 1])

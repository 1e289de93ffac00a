"""BLEU and chrF: against sacrebleu's own figures of the same sentences, and by hand."""

import math

import numpy as np
import pytest
import sacrebleu
from numpy.random import default_rng

from selfsup.metrics import Bleu, Chrf

SENTENCES = [
    "Zwei junge Männer stehen im Freien, in der Nähe vieler Büsche.",
    "Ein kleines Mädchen klettert in ein Spielhaus aus Holz.",
    "Ein Mann in einem blauen Hemd steht auf einer Leiter und putzt ein Fenster.",
    "Zwei Männer stehen am Herd und bereiten Essen zu.",
    "Der Mann sagt: \"It's 3,000 m-high, isn't it?\"",
    "Ja.",
]
KINDS = [
    (Bleu, {}, sacrebleu.BLEU, {}),
    (Bleu, {"lowercase": True}, sacrebleu.BLEU, {"lowercase": True}),
    (Bleu, {"tokenize": "char"}, sacrebleu.BLEU, {"tokenize": "char"}),
    (Chrf, {}, sacrebleu.CHRF, {}),
    (Chrf, {"word_order": 2, "lowercase": True}, sacrebleu.CHRF, {"word_order": 2, "lowercase": True}),
]


def spoilt(text: str, rng: np.random.Generator) -> str:
    """A hypothesis: words dropped, doubled, swapped, in other capitals; sometimes none at all."""
    words = text.split()
    kept = [word.lower() if rng.random() < 0.1 else word for word in words if rng.random() < 0.85]
    if len(kept) > 2 and rng.random() < 0.5:
        kept[0], kept[1] = kept[1], kept[0]
    return "" if rng.random() < 0.1 else " ".join(kept + kept[:1] * int(rng.random() < 0.2))


def corpus(seed: int, most: int) -> tuple[list[str], list[list[str]]]:
    """Hypotheses, and up to `most` references of each."""
    rng = default_rng(seed)
    golds = [
        [text] + [spoilt(text, rng) or "Nein." for _ in range(rng.integers(most))]
        for text in SENTENCES
        for _ in range(4)
    ]
    return [spoilt(texts[0], rng) for texts in golds], golds


def streams(golds: list[list[str]]) -> list[list[str | None]]:
    """References as sacrebleu takes them: the first of all sentences, the second, with None where there is none."""
    most = max(map(len, golds))
    return [[texts[number] if number < len(texts) else None for texts in golds] for number in range(most)]


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize(("kind", "ours", "other", "theirs"), KINDS)
def test_a_corpus_scores_as_sacrebleu_scores_it(kind, ours, other, theirs, most):
    texts, golds = corpus(most, most)
    metric, independent = kind(**ours), other(**theirs)
    wanted = independent.corpus_score(texts, streams(golds)).score / 100
    assert metric.compute(predictions=texts, references=golds)[metric.main] == pytest.approx(wanted, abs=1e-9)
    assert 0.2 < wanted < 0.95
    assert metric.signature() == str(independent.get_signature())
    assert ("nrefs:var" in metric.signature()) == (most > 1)


@pytest.mark.parametrize(("kind", "ours", "other", "theirs"), KINDS)
def test_sums_of_drawn_sentences_score_as_those_sentences(kind, ours, other, theirs):
    """As a bootstrap asks; draws of a few short sentences, where orders go without a match."""
    texts, golds = corpus(5, 1)
    tallies = kind(**ours).tallies(texts, golds)
    chosen = default_rng(0).integers(len(texts), size=(2, 40, 3))
    figures = kind(**ours).figure(tallies[chosen].sum(axis=-2))
    assert figures.shape == (2, 40)
    for place in np.ndindex(2, 40):
        some = chosen[place]
        wanted = other(**theirs).corpus_score([texts[n] for n in some], [[golds[n][0] for n in some]]).score / 100
        assert figures[place] == pytest.approx(wanted, abs=1e-9)


def test_bleu_by_hand():
    """Matches: 4 of 5 words, 2 of 4 pairs, 1 of 3 triples, 0 of 2 fours, which count as half a match; 5 words for 6."""
    figure = Bleu().compute(predictions=["a b c x d"], references=["a b c d e f"])["bleu"]
    assert figure == pytest.approx(math.exp(1 - 6 / 5) * (4 / 5 * 2 / 4 * 1 / 3 * (1 / 2) / 2) ** 0.25)


@pytest.mark.parametrize("kind", [Bleu, Chrf])
def test_what_matches_nothing_scores_nothing(kind):
    for text in ("", "   ", "qqq", "q z y q z"):
        assert kind().compute(predictions=[text], references=["Two men."])[kind.main] == 0
    assert kind().compute(predictions=["Two men."], references=[""])[kind.main] == 0


def test_an_empty_prediction_counts():
    whole = "Two men stand by the river."
    assert Bleu().compute(predictions=[whole, ""], references=[whole, whole])["bleu"] == pytest.approx(math.exp(-1))


@pytest.mark.parametrize("kind", [Bleu, Chrf])
@pytest.mark.parametrize(("text", "gold"), [(None, "a"), ("a", None), ("a", []), ("a", [None]), (["a"], "a"), ("a", 3)])
def test_what_is_no_text_is_refused(kind, text, gold):
    with pytest.raises(ValueError, match=r"^a text and the text or texts that it may be are wanted, but .* example 1$"):
        kind().tallies(["a", text], ["a", gold])


def test_settings_that_there_are_not_are_refused():
    with pytest.raises(ValueError, match="13a, intl, zh, char or none is wanted for words of BLEU, but 'moses' came"):
        Bleu("moses")
    with pytest.raises(ValueError, match="a word_order of at least 0 is wanted, but -1 came"):
        Chrf(-1)


def test_a_signature_says_what_was_asked():
    assert Bleu(lowercase=True).signature().startswith("case:lc|eff:no|tok:13a|smooth:exp|version:")
    assert Chrf(2).signature().startswith("case:mixed|eff:yes|nc:6|nw:2|space:no|version:")

"""Kneser-Ney: all sums to one, and equals what dictionaries and a sheet of paper give."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from selfsup.benchmark.ngram import KneserNey

VOCAB = 7


def text(seed: int = 0, tokens: int = 400, documents: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    words = rng.choice(VOCAB - 1, size=tokens, p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.04])  # the last is never seen
    return words, np.sort(np.append(0, rng.choice(np.arange(1, tokens), documents - 1, replace=False)))


def slow(tokens: np.ndarray, starts: np.ndarray, order: int):
    """The same from dictionaries: P(word after a history), "s" marks heads."""
    documents = [["s", *part.tolist()] for part in np.split(tokens, starts[1:])]
    raw = [Counter(tuple(d[i : i + n]) for d in documents for i in range(len(d) - n + 1)) for n in range(order + 2)]
    tables, discounts = {}, {}
    for n in range(1, order + 1):
        before: dict[tuple, set] = defaultdict(set)
        for gram in raw[n + 1]:
            before[gram[1:]].add(gram[0])
        adjusted = {g: c if n == order or g[0] == "s" else len(before[g]) for g, c in raw[n].items() if g != ("s",)}
        n1, n2, n3, n4 = (sum(c == k for c in adjusted.values()) for k in (1, 2, 3, 4))
        tables[n], discounts[n] = adjusted, (0.5, 1.0, 1.5)
        if n1 and n2 and n3 and n4:
            y = n1 / (n1 + 2 * n2)
            found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
            if 0 <= found[0] <= 1 and 0 <= found[1] <= 2 and 0 <= found[2] <= 3:
                discounts[n] = found

    def probability(word, history: tuple, n: int = order) -> float:
        if n == 0:
            return 1 / VOCAB
        if len(history) < n - 1:
            return probability(word, history, n - 1)
        context = history[len(history) - n + 1 :]
        follow = {g: c for g, c in tables[n].items() if g[:-1] == context}
        if not follow:
            return probability(word, history, n - 1)
        total = sum(follow.values())
        take = {g: discounts[n][min(c, 3) - 1] for g, c in follow.items()}
        gram = (*context, word)
        own = (follow[gram] - take[gram]) / total if gram in follow else 0
        return own + sum(take.values()) / total * probability(word, history, n - 1)

    return probability


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_it_equals_dictionaries(order):
    tokens, starts = text()
    probability = slow(tokens, starts, order)
    held, held_starts = text(seed=1, tokens=60, documents=4)
    held[[7, 30]] = VOCAB - 1
    expected = []
    for part in np.split(held, held_starts[1:]):
        whole = ["s", *part.tolist()]
        expected += [probability(whole[i], tuple(whole[:i])) for i in range(1, len(whole))]
    found = KneserNey(tokens, starts, VOCAB, order).log_probs(held, held_starts)
    assert found == pytest.approx(np.log(expected), abs=1e-12)


@pytest.mark.parametrize("history", [[], [0], [0, 0, 1], [0, 1, 0, 2, 0, 0], [6], [5, 6, 5, 5, 5], [6, 6, 6, 6, 0]])
def test_probabilities_sum_to_one(history):
    model = KneserNey(*text(), VOCAB)
    after = [model.log_probs(np.array([*history, word]), [0])[-1] for word in range(VOCAB)]
    assert np.exp(after).sum() == pytest.approx(1, abs=1e-12)


def test_order_one_by_hand():
    # Counts 4, 2 and 1 are no counts of counts to estimate from: discounts 1.5, 1 and 0.5, so 3 of 7 are given away.
    model = KneserNey(np.array([0, 0, 1, 0, 0, 1, 2]), np.array([0, 3]), 4, order=1)
    found = np.exp(model.log_probs(np.arange(4), [0]))
    assert found == pytest.approx([2.5 / 7 + 3 / 28, 1 / 7 + 3 / 28, 0.5 / 7 + 3 / 28, 3 / 28])


def test_order_two_by_hand():
    # "a b a": a stands after the mark and b, b after a: of 3 pairs that end so, 2 in a. P(a) = (2 - 1) / 3 + rest / 2.
    model = KneserNey(np.array([0, 1, 0]), np.array([0]), 2, order=2)
    p_a, p_b = 1 / 3 + 1.5 / 3 / 2, 0.5 / 3 + 1.5 / 3 / 2
    assert p_a + p_b == pytest.approx(1)
    expected = [0.5 + 0.5 * p_a, 0.5 + 0.5 * p_b, 0.5 + 0.5 * p_a]  # each context was seen once, with one successor
    assert np.exp(model.log_probs(np.array([0, 1, 0]), [0])) == pytest.approx(expected)
    after_b = np.exp(model.log_probs(np.array([1, 1]), [0]))
    assert after_b == pytest.approx([0.5 * p_b, 0.5 * p_b])


def test_documents_do_not_see_each_other():
    tokens, starts = text()
    model = KneserNey(tokens, starts, VOCAB)
    apart = [model.log_probs(part, [0]) for part in np.split(tokens, starts[1:])]
    assert np.concatenate(apart) == pytest.approx(model.log_probs(tokens, starts), abs=1e-12)


def test_a_longer_memory_helps_where_there_is_something_to_remember():
    tokens = np.tile([0, 1, 2, 0, 3, 4], 50)
    losses = [-KneserNey(tokens, [0], 8, order).log_probs(tokens, [0]).mean() for order in (1, 2, 3)]
    assert losses[0] > 1.5 > losses[1] > 0.1 > losses[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": np.array([], dtype=int)}, "a text with tokens is wanted, but none came"),
        ({"tokens": np.array([0, 7])}, "tokens from 0 to 6 are wanted, but 0 to 7 came"),
        ({"starts": [1]}, "documents that begin at 0"),
        ({"starts": [0, 1, 1]}, "documents that begin at 0"),
        ({"starts": [0, 2]}, "documents that begin at 0"),
        ({"order": 0}, "an order of 0 came"),
    ],
)
def test_wrong_input_is_refused(change, message):
    given = {"tokens": np.array([0, 1]), "starts": [0], "vocab_size": VOCAB} | change
    with pytest.raises(ValueError, match=message):
        KneserNey(**given)

"""The baseline of language models that needs no network: n-grams of token ids, smoothed after Kneser and Ney."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_FALLBACK = (0.5, 1.0, 1.5)  # discounts where a text is too small to tell them


@dataclass(frozen=True)
class _Order:
    """What is known of n-grams of one length; `rows` of n-grams, `contexts` of what stands before their last token.

    Args:
        keys: (rows) int64, sorted; the number of the context times the number of symbols, plus the last token.
        shares: (rows) float64, discounted count over the sum of counts of the context.
        rest: (contexts) float64, what the discounts leave for shorter n-grams; 1 where nothing follows.
    """

    keys: np.ndarray
    shares: np.ndarray
    rest: np.ndarray


class KneserNey:
    """Interpolated modified Kneser-Ney: every length of context has its say, longer ones first.

    P_n(w | h) = max(a(hw) - D(a(hw)), 0) / sum_v a(hv) + rest(h) P_{n-1}(w | h without its first token), down to the
    even distribution 1 / vocabulary. a counts how often hw occurs for n-grams of full length and for those at the head
    of a document, else how many different tokens stand before it. D takes one value for counts of 1, of 2, and of 3
    and more, estimated for each length; rest(h) is what it takes away, so all sums to 1. A model of order 1 has
    P(w) = (count(w) - D) / tokens + rest / vocabulary. A document begins with a mark that is no token of it, and
    nothing is seen across its edge.

    Args:
        tokens: (tokens) integers, all documents one after the other.
        starts: (documents) the place in `tokens` where each begins; the first is 0.
        vocab_size: number of ids that can occur.
        order: most tokens of an n-gram.
    Raises:
        ValueError: no tokens, one outside of the vocabulary, starts that are none, or an order below 1.
    Source:
        Chen & Goodman 1999, "An Empirical Study of Smoothing Techniques for Language Modeling", section 3; counts at
        heads as in Heafield et al. 2013, "Scalable Modified Kneser-Ney Language Model Estimation".
    Example:
        >>> model = KneserNey(np.array([0, 1, 0, 1]), np.array([0, 2]), vocab_size=2, order=2)
        >>> model.log_probs(np.array([0, 1]), [0]).shape
        (2,)
    """

    def __init__(self, tokens: np.ndarray, starts: Sequence[int] | np.ndarray, vocab_size: int, order: int = 5) -> None:
        if order < 1:
            raise ValueError(f"n-grams of at least one token are wanted, but an order of {order} came")
        self.vocab_size, self.order = vocab_size, order
        symbols, depths = self._marked(tokens, starts)
        self._orders: list[_Order] = []
        grams = np.zeros(len(symbols), dtype=np.int64)  # the number of the n-gram that ends at each symbol, here n = 0
        longest = self._grams(symbols, depths, grams, 1)
        for n in range(1, order + 1):
            (keys, grams, counts), heads = longest, self._at_heads(longest, depths, n)
            if n < order:
                longest = self._grams(symbols, depths, grams, n + 1)
                # Every longer n-gram is one token more that stands before its end.
                inside = depths >= n
                ends = np.zeros(len(longest[0]), dtype=np.int64)
                ends[longest[1][inside]] = grams[inside]
                before = np.bincount(ends, minlength=len(keys))
                counts = np.where(heads, counts, before)
            if n == 1:
                counts[keys == vocab_size] = 0  # the mark is never predicted
            self._orders.append(self._smoothed(keys, counts))

    def log_probs(self, tokens: np.ndarray, starts: Sequence[int] | np.ndarray) -> np.ndarray:
        """Of every token after those before it in its document.

        Args:
            tokens, starts: as for the model.
        Returns:
            (tokens) float64, in nats.
        Raises:
            ValueError: no tokens, one outside of the vocabulary, or starts that are none.
        """
        symbols, depths = self._marked(tokens, starts)
        probabilities = np.full(len(symbols), 1 / self.vocab_size)
        contexts = np.zeros(len(symbols), dtype=np.int64)  # the number of the n-gram before each symbol; -1 if unseen
        for one in self._orders:
            seen = contexts >= 0
            rows = self._find(one, np.where(seen, contexts, 0), symbols)
            rows[~seen] = -1
            shares = np.where(rows >= 0, one.shares[rows], 0)
            rest = np.where(seen, one.rest[contexts], 1)
            probabilities = shares + rest * probabilities
            contexts = np.concatenate([[-1], rows[:-1]])
            contexts[depths == 0] = -1
        return np.log(probabilities[depths > 0])

    def _marked(self, tokens: np.ndarray, starts: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(symbols) tokens with the mark before each document, and how many symbols of it stand before each."""
        tokens, starts = np.asarray(tokens, dtype=np.int64), np.asarray(starts, dtype=np.int64)
        if not len(tokens):
            raise ValueError("a text with tokens is wanted, but none came")
        if tokens.min() < 0 or tokens.max() >= self.vocab_size:
            raise ValueError(
                f"tokens from 0 to {self.vocab_size - 1} are wanted, but {tokens.min()} to {tokens.max()} came: "
                "use one tokenizer throughout"
            )
        if not len(starts) or starts[0] != 0 or (np.diff(starts) < 1).any() or starts[-1] >= len(tokens):
            raise ValueError("documents that begin at 0 and have tokens are wanted, but their starts say otherwise")
        symbols = np.insert(tokens, starts, self.vocab_size)
        heads = starts + np.arange(len(starts))
        sizes = np.diff(np.append(heads, len(symbols)))
        return symbols, np.arange(len(symbols)) - np.repeat(heads, sizes)

    def _grams(
        self, symbols: np.ndarray, depths: np.ndarray, shorter: np.ndarray, n: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keys of the n-grams, the number of that which ends at each symbol (-1 where a document begins too late), and
        how often each occurs."""
        inside = np.flatnonzero(depths >= n - 1)
        before = shorter[inside - 1] if n > 1 else shorter[inside]
        keys, numbers, counts = np.unique(
            before * (self.vocab_size + 1) + symbols[inside], return_inverse=True, return_counts=True
        )
        grams = np.full(len(symbols), -1, dtype=np.int64)
        grams[inside] = numbers
        return keys, grams, counts

    def _at_heads(self, found: tuple[np.ndarray, np.ndarray, np.ndarray], depths: np.ndarray, n: int) -> np.ndarray:
        """(rows) Does the n-gram begin with the mark, so that nothing can stand before it?"""
        keys, grams, _ = found
        heads = np.zeros(len(keys), dtype=bool)
        heads[grams[depths == n - 1]] = True
        return heads

    def _smoothed(self, keys: np.ndarray, counts: np.ndarray) -> _Order:
        discounts = np.array([0.0, *_discounts(counts)])[np.minimum(counts, 3)]
        contexts = keys // (self.vocab_size + 1)
        size = len(self._orders[-1].keys) if self._orders else 1
        totals = np.bincount(contexts, weights=counts, minlength=size)
        taken = np.bincount(contexts, weights=discounts, minlength=size)
        followed = totals > 0
        rest = np.divide(taken, totals, out=np.ones(size), where=followed)
        shares = (counts - discounts) / np.where(followed, totals, 1)[contexts]
        return _Order(keys, shares, rest)

    def _find(self, one: _Order, contexts: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Numbers of n-grams; -1 for those never seen."""
        wanted = contexts * (self.vocab_size + 1) + symbols
        rows = np.minimum(np.searchsorted(one.keys, wanted), len(one.keys) - 1)
        return np.where(one.keys[rows] == wanted, rows, -1)


def _discounts(counts: np.ndarray) -> tuple[float, ...]:
    """What is taken from counts of 1, of 2, and of 3 and more; Chen & Goodman 1999, equation 26."""
    ones, twos, threes, fours = (int((counts == k).sum()) for k in (1, 2, 3, 4))
    if not (ones and twos and threes and fours):
        return _FALLBACK
    share = ones / (ones + 2 * twos)
    found = (1 - 2 * share * twos / ones, 2 - 3 * share * threes / twos, 3 - 4 * share * fours / threes)
    return found if all(0 <= each <= k for k, each in enumerate(found, 1)) else _FALLBACK

"""How varied texts are, and how often they repeat themselves: what needs no reference."""

from collections.abc import Hashable, Sequence


def runs(words: Sequence[Hashable], order: int) -> list[tuple[Hashable, ...]]:
    """All runs of `order` words, in order; none where there are fewer words."""
    return [tuple(words[start : start + order]) for start in range(len(words) - order + 1)]


def distinct(texts: Sequence[Sequence[Hashable]], order: int) -> float:
    """Different runs of words over all runs, of all texts together; it falls with their number and length, so only
    texts of one length compare.

    Args:
        texts: words of each.
        order: words of a run.
    Returns:
        0-1; nan where no text has so many words.
    Source:
        Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models", section 5.
    Example:
        >>> distinct([["a", "b", "a"], ["a", "b"]], order=2)  # ab, ba, ab
        0.6666666666666666
    """
    found = [run for words in texts for run in runs(words, order)]
    return len(set(found)) / len(found) if found else float("nan")


def repetition(words: Sequence[Hashable], order: int = 4) -> float:
    """The share of a text's runs of words that stood in it before.

    Args:
        words: of the text.
        order: words of a run.
    Returns:
        0-1; 0 where there is no run.
    Source:
        Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training", section 6 (seq-rep-n).
    Example:
        >>> repetition(["to", "be", "to", "be"], order=2)  # to be, be to, to be
        0.33333333333333337
    """
    found = runs(words, order)
    return 1 - len(set(found)) / len(found) if found else 0.0

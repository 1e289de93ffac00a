"""Tell which tokens make up a word, from the vocabulary alone: one look-up a token, any number of tokens at once."""

import unicodedata
from dataclasses import dataclass
from typing import Self

import numpy as np
from transformers import PreTrainedTokenizerBase

from selfsup.tokenization.encode import backend_state


@dataclass(frozen=True)
class Words:
    """What is known of each piece of a vocabulary, enough to find the words in any run of ids.

    Args:
        starts: (vocab) bool; the piece begins a new word, see `word_starts`.
        punctuation: (vocab) bool; the piece is punctuation, see `punctuation`.
        special: (vocab) bool; the piece is a special token.
    Example:
        >>> words = Words.of(AutoTokenizer.from_pretrained("run/tokenizer"))  # doctest: +SKIP
        >>> words.ids(tokenizer("Yes, don't.")["input_ids"])  # [CLS] ▁Yes , ▁don ' t . [SEP]  # doctest: +SKIP
        array([-1,  0,  1,  2,  3,  4,  5, -1])
    """

    starts: np.ndarray
    punctuation: np.ndarray
    special: np.ndarray

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Self:
        """Read them off a fast tokenizer.

        Args:
            tokenizer: of `train_tokenizer` or from the Hub.
        Returns:
            the three arrays, together.
        Raises:
            ValueError: the tokenizer is not a fast one.
        """
        special = np.zeros(_vocab_size(tokenizer), dtype=bool)
        special[tokenizer.all_special_ids] = True
        return cls(starts=word_starts(tokenizer), punctuation=punctuation(tokenizer), special=special)

    def ids(self, input_ids: np.ndarray) -> np.ndarray:
        """Number the words.

        A word begins at a piece that starts one, at the head, and after a special token. A punctuation mark is a word
        of its own and ends the one before, as in BERT's whole-word masking: "don't." is four words.

        Args:
            input_ids: (..., tokens) integers; each row is numbered for itself.
        Returns:
            (..., tokens) int64; the word each token belongs to, counted from 0, and -1 for special tokens.
        Source:
            Devlin et al. 2019, "BERT", whole-word masking in the code published with it.
        """
        input_ids = np.asarray(input_ids)
        special, alone = self.special[input_ids], self.punctuation[input_ids]
        begins = self.starts[input_ids] | alone
        begins[..., :1] = True
        begins[..., 1:] |= (special | alone)[..., :-1]
        return np.where(special, -1, np.cumsum(begins & ~special, axis=-1) - 1)


def word_starts(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Tell which pieces begin a new word.

    Args:
        tokenizer: a fast tokenizer whose pieces mark the space before a word ("▁" of SentencePiece, "Ġ" of byte-level
            BPE) or the lack of one (WordPiece's "##").
    Returns:
        (vocab) bool; False for special tokens.
    Raises:
        ValueError: the tokenizer is not a fast one.
    Example:
        >>> word_starts(tokenizer)[tokenizer.convert_tokens_to_ids(["▁dog", "s"])]  # doctest: +SKIP
        array([ True, False])
    """
    mark, marks_start = _mark(tokenizer)
    starts = np.zeros(_vocab_size(tokenizer), dtype=bool)
    for piece, i in tokenizer.get_vocab().items():
        starts[i] = piece.startswith(mark) == marks_start
    starts[tokenizer.all_special_ids] = False
    return starts


def punctuation(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Tell which pieces hold no letter, digit or combining sign, their mark apart: "▁(", ".", "€", a line break.

    Args:
        tokenizer: a fast tokenizer.
    Returns:
        (vocab) bool; False for special tokens, for a mark alone, and for bytes, which are part of some character.
    Raises:
        ValueError: the tokenizer is not a fast one.
    Example:
        >>> punctuation(tokenizer)[tokenizer.convert_tokens_to_ids(["▁(", "'s", "▁"])]  # doctest: +SKIP
        array([ True, False, False])
    """
    mark, _ = _mark(tokenizer)
    decoder = tokenizer.backend_tokenizer.decoder if mark == "Ġ" else None
    found = np.zeros(_vocab_size(tokenizer), dtype=bool)
    for piece, i in tokenizer.get_vocab().items():
        body = piece.removeprefix(mark)
        text = decoder.decode([body]) if decoder else body  # a byte-level piece that cuts a character gives U+FFFD
        found[i] = bool(text) and "\ufffd" not in text and not any(unicodedata.category(c)[0] in "LMN" for c in text)
    found[tokenizer.all_special_ids] = False
    return found


def _mark(tokenizer: PreTrainedTokenizerBase) -> tuple[str, bool]:
    """Find how pieces tell where a word starts: the prefix, and whether those that have it start one."""
    state = backend_state(tokenizer)
    if state["model"]["type"] == "WordPiece":
        return state["model"]["continuing_subword_prefix"], False
    return ("Ġ" if '"ByteLevel"' in tokenizer.backend_tokenizer.to_str() else "▁"), True


def _vocab_size(tokenizer: PreTrainedTokenizerBase) -> int:
    """Count ids to the highest; a vocabulary may have gaps."""
    return max(tokenizer.get_vocab().values()) + 1

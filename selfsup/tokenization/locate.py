"""Tell where in a text each piece of it lies, with the very ids that pretraining saw."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase

from selfsup.tokenization.encode import backend_state, batch_encoder
from selfsup.tokenization.train import ESCAPED, MARK, normalizer, pre_tokenizer

_CLUSTERS = pre_tokenizers.Split(Regex(r"\s|\X"), "isolated")  # white space never joins in, not even under an accent
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_SPACE = np.array(
    [chr(code).isspace() for code in range(0x3002)]
)  # U+3000 is the last; the one after it stands for all


@dataclass(frozen=True)
class Pieces:
    """A text in pieces.

    Args:
        ids: (tokens) int64, without special tokens.
        starts: (tokens) int64; where in the text each piece starts, in characters.
        stops: (tokens) int64; where it stops: where it starts, for one that holds white space alone.
    """

    ids: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    def touching(self, start: int, stop: int) -> np.ndarray:
        """Which pieces share a character with a stretch of the text.

        Args:
            start: of the stretch, in characters.
            stop: of the stretch.
        Returns:
            (some) int64 places of pieces, in order.
        """
        return np.flatnonzero((self.starts < self.stops) & (self.starts < stop) & (self.stops > start))


def locator(tokenizer: PreTrainedTokenizerBase) -> Callable[[list[str]], list[Pieces]]:
    """Choose how to cut texts into pieces that know their places; the ids are those of `batch_encoder`.

    White space before a word is in its mark, but not in its place. Places never cut a cluster of characters: a letter
    with its accents, an emoji with its skin colour, a family held together by invisible signs. Pieces that share a
    cluster, such as the bytes it is spelt in, all lie where it lies.

    Args:
        tokenizer: a fast tokenizer, of `train_tokenizer` or from the Hub.
    Returns:
        a function from texts to the pieces of each.
    Raises:
        ValueError: the tokenizer is not a fast one.
    Source:
        Unicode Standard Annex 29, "Unicode Text Segmentation" (extended grapheme clusters).
    Example:
        >>> locate = locator(AutoTokenizer.from_pretrained("google-bert/bert-base-uncased"))  # doctest: +SKIP
        >>> [pieces] = locate(["Don't go"])  # don ' t go  # doctest: +SKIP
        >>> pieces.starts, pieces.stops  # doctest: +SKIP
        (array([0, 3, 4, 6]), array([3, 4, 5, 8]))
    """
    if not _spells(tokenizer):
        return lambda texts: _with_offsets(tokenizer, texts)
    encode, (lengths, marks, continues) = batch_encoder(tokenizer), _sizes(tokenizer)

    def locate(text: str, ids: np.ndarray) -> Pieces:
        chars = np.concatenate([[0], _unescaped(text), [len(text)]])
        ends = np.cumsum(lengths[ids])
        if ends[-1:].sum() != (len(chars) - 1 if text else 0):  # tokens were added to the vocabulary by hand
            return _with_offsets(tokenizer, [text])[0]
        begins = ends - np.where(continues[ids], 1, lengths[ids]) + marks[ids]
        starts = chars[begins]
        return _tidy(text, ids, starts, np.where(begins < ends, chars[ends - 1] + 1, starts))

    return lambda texts: [
        locate(text, np.array(ids, dtype=np.int64)) for text, ids in zip(texts, encode(texts), strict=True)
    ]


def _spells(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Is it one of ours? One after the other, its pieces spell a mark and the escaped text.

    The offsets that the fast tokenizer gives for characters spelt in bytes take in their neighbours.
    """
    ours = Tokenizer(models.Unigram())
    ours.normalizer, ours.pre_tokenizer = normalizer(), pre_tokenizer()
    state, wanted = backend_state(tokenizer), json.loads(ours.to_str())
    return all(state[name] == wanted[name] for name in ("normalizer", "pre_tokenizer"))


def _with_offsets(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[Pieces]:
    if not texts:
        return []
    read = tokenizer(
        texts,
        add_special_tokens=False,
        split_special_tokens=True,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    tables = [np.array(pairs, dtype=np.int64).reshape(-1, 2) for pairs in read["offset_mapping"]]
    return [
        _tidy(text, np.array(ids, dtype=np.int64), *table.T)
        for text, ids, table in zip(texts, read["input_ids"], tables, strict=True)
    ]


def _sizes(tokenizer: PreTrainedTokenizerBase) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(vocab) each: the characters of a piece, how many of them are marks, and whether it is a byte within a character.

    Of the bytes of a character the first counts one character, the others none.
    """
    pieces = tokenizer.get_vocab()
    size = max(pieces.values()) + 1
    lengths, marks, continues = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size, bool)
    for piece, i in pieces.items():
        byte = int(piece[3:5], 16) if _BYTE.fullmatch(piece) else None
        continues[i] = byte is not None and 0x80 <= byte < 0xC0
        lengths[i] = len(piece) if byte is None else not continues[i]
        marks[i] = len(piece) - len(piece.lstrip(MARK))
    return lengths, marks, continues


def _unescaped(text: str) -> np.ndarray:
    """(escaped characters) int64: which character of the text each stands for, two for one that is escaped."""
    sizes: np.ndarray = np.ones(len(text), dtype=np.int64)
    sizes[[match.start() for match in ESCAPED.finditer(text)]] = 2
    return np.repeat(np.arange(len(text)), sizes)


def _tidy(text: str, ids: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> Pieces:
    """Leave white space at the edges of pieces out, and widen them to whole clusters."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    space, places = _SPACE[np.minimum(codes, len(_SPACE) - 1)], np.arange(len(text))
    following = np.minimum.accumulate(np.append(np.where(space, len(text), places), len(text))[::-1])[::-1]
    preceding = np.maximum.accumulate(np.insert(np.where(space, 0, places + 1), 0, 0))
    starts = np.minimum(following[starts], stops)
    stops = np.maximum(preceding[stops], starts)
    if not len(text) or codes.max() < 0x300:  # below, only "\r\n" is a cluster
        return Pieces(ids, starts, stops)
    bounds = np.array([bounds for _, bounds in _CLUSTERS.pre_tokenize_str(text)])
    cluster = np.repeat(np.arange(len(bounds)), bounds[:, 1] - bounds[:, 0])
    some = starts < stops
    starts[some], stops[some] = bounds[cluster[starts[some]], 0], bounds[cluster[stops[some] - 1], 1]
    return Pieces(ids, starts, stops)

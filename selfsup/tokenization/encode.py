"""Turn running text into ids, as fast as the tokenizer allows; name a tokenizer by what it does, weigh its pieces."""

import hashlib
import json
from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from transformers import PreTrainedTokenizerBase

from selfsup.tokenization.train import MARK, SENTENCEPIECE_FILE, convert, cut, escape


def batch_encoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[list[str]], list[list[int]]]:
    """Choose the fastest way to encode running text, without special tokens; a literal "[MASK]" is text.

    A tokenizer of ours is read by SentencePiece, several times faster than the fast tokenizer and with the same ids.
    With it, the ids of sentences (none empty) one after the other are those of the sentences joined by a space.

    Args:
        tokenizer: a fast tokenizer, of `train_tokenizer` or from the Hub.
    Returns:
        a function from texts to the ids of each.
    Raises:
        ValueError: the tokenizer is not a fast one.
    Example:
        >>> encode = batch_encoder(AutoTokenizer.from_pretrained("google-bert/bert-base-uncased"))  # doctest: +SKIP
        >>> encode(["Hello world", "[MASK]"])  # doctest: +SKIP
        [[7592, 2088], [1031, 7308, 1033]]
    """
    processor = _sentencepiece(tokenizer)
    if processor is None:
        return lambda texts: (
            tokenizer(
                texts,
                add_special_tokens=False,
                split_special_tokens=True,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )["input_ids"]
            if texts
            else []
        )

    def encode(texts: list[str]) -> list[list[int]]:
        parts = [list(cut(escape(text))) for text in texts]
        ids = iter(processor.encode(list(chain.from_iterable(parts))))
        return [next(ids) if len(of_text) == 1 else [*chain(*islice(ids, len(of_text)))] for of_text in parts]

    return encode


def needs_spaces(encode: Callable[[list[str]], list[list[int]]]) -> bool:
    """Whether texts that are encoded one by one lose the space between them, as byte-level and character pieces do.

    Args:
        encode: texts -> ids, see `batch_encoder`.
    Returns:
        False where pieces mark the start of every text ("▁") or no space at all (WordPiece).
    Example:
        >>> needs_spaces(batch_encoder(AutoTokenizer.from_pretrained("openai-community/gpt2")))  # doctest: +SKIP
        True
    """
    apart, together = encode(["a", "b"]), encode(["a b"])
    return [*chain(*apart)] != [*chain(*together)]


def adds_spaces(encode: Callable[[list[str]], list[list[int]]]) -> bool:
    """Whether lines that are encoded one by one gain a mark of a space, so that they do not come back as they were.

    Args:
        encode: texts -> ids, see `batch_encoder`.
    """
    apart, together = encode(["a\n", "b"]), encode(["a\nb"])
    return [*chain(*apart)] != [*chain(*together)]


def piece_bytes(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """(vocab) int64: how many bytes of UTF-8 each piece stands for; none for special tokens.

    Args:
        tokenizer: of ours, or one that writes a space as U+2581, or, as GPT-2's does, each byte as a character.
    """
    sizes = np.zeros(len(tokenizer), dtype=np.int64)
    by_byte = "ByteLevel" in str(tokenizer.backend_tokenizer.pre_tokenizer)
    special = set(tokenizer.all_special_ids)
    for piece, number in tokenizer.get_vocab().items():
        if number in special:
            continue
        is_byte = len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
        sizes[number] = 1 if is_byte else len(piece) if by_byte else len(piece.replace(MARK, " ").encode())
    return sizes


def fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Name a tokenizer by all that decides its ids: the same name, the same ids.

    Args:
        tokenizer: a fast tokenizer.
    Returns:
        64 hexadecimal digits; padding and truncation, which a call may leave behind, do not count.
    Raises:
        ValueError: the tokenizer is not a fast one.
    Example:
        >>> fingerprint(AutoTokenizer.from_pretrained("run/tokenizer"))[:8]  # doctest: +SKIP
        '5d41402a'
    """
    state = backend_state(tokenizer)
    decisive = {key: value for key, value in state.items() if key not in ("padding", "truncation")}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def backend_state(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Read what `tokenizer.json` holds, as it is now.

    Args:
        tokenizer: a fast tokenizer.
    Returns:
        its parts by name: "model", "normalizer", "pre_tokenizer", "decoder" ...
    Raises:
        ValueError: the tokenizer is not a fast one.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"A fast tokenizer is wanted, but {type(tokenizer).__name__} is written in Python: "
            "load one that has a tokenizer.json."
        )
    return json.loads(tokenizer.backend_tokenizer.to_str())


def _sentencepiece(tokenizer: PreTrainedTokenizerBase) -> sentencepiece.SentencePieceProcessor | None:
    """Load the SentencePiece model beside a tokenizer if the one is the other, converted by us; else None."""
    state = backend_state(tokenizer)
    file = Path(tokenizer.name_or_path, SENTENCEPIECE_FILE)
    kind = state["model"]["type"].lower()
    if kind not in ("unigram", "bpe") or not file.is_file():
        return None
    processor = sentencepiece.SentencePieceProcessor(model_file=str(file))
    ours = json.loads(convert(processor, kind).to_str())
    return processor if all(state[key] == ours[key] for key in ("model", "normalizer", "pre_tokenizer")) else None

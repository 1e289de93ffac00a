"""Tokenizers whose pieces are characters, and the bytes that any tokenizer's pieces stand for."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from selfsup.tokenization.train import MARK, SPECIAL


def train_characters(texts: Iterable[str], folder: str | Path) -> PreTrainedTokenizerFast:
    """A tokenizer with one piece for every character that occurs, line breaks and spaces too; all others are [UNK].

    Args:
        texts: read once.
        folder: where it goes; made if it is not there.
    Returns:
        the tokenizer as loaded from `folder`, which `AutoTokenizer.from_pretrained(folder)` opens as well.
    Raises:
        ValueError: there is no text.
    Example:
        >>> tokenizer = train_characters(["to be"], "run/tokenizer")  # doctest: +SKIP
        >>> tokenizer.tokenize("bet")  # doctest: +SKIP
        ['b', 'e', 't']
    """
    found: set[str] = set()
    for text in texts:
        found.update(text)
    if not found:
        raise ValueError("A tokenizer is learnt from text, but there is none in `texts`: check where it comes from.")
    pieces = {piece: number for number, piece in enumerate([*SPECIAL, *sorted(found)])}
    pad, unk, cls, sep, mask = SPECIAL
    backend = Tokenizer(models.WordLevel(pieces, unk_token=unk))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"(?m)."), behavior="isolated")
    backend.decoder = decoders.Fuse()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, number) for number, token in enumerate(SPECIAL) if token in (cls, sep)],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=pad, unk_token=unk, cls_token=cls, sep_token=sep, mask_token=mask,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def begin_texts(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Let a tokenizer of ours frame text as a decoder reads it: [CLS] in front and nothing behind, so that a prompt can
    be gone on with. Others stay as they are.

    Args:
        tokenizer: changed in place; its `bos_token` is [CLS] then, its `eos_token` [SEP].
    """
    if tokenizer.bos_token is None and tokenizer.cls_token is not None and tokenizer.sep_token is not None:
        begin = tokenizer.cls_token
        tokenizer.bos_token, tokenizer.eos_token = begin, tokenizer.sep_token
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", pair=f"{begin} $A $B:1", special_tokens=[(begin, tokenizer.bos_token_id)]
        )
    return tokenizer


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

"""Put special tokens around one or two segments, as the tokenizer's template does, or in front alone for decoders."""

from collections.abc import Sequence

import numpy as np
from tokenizers import processors
from transformers import PreTrainedTokenizerBase


def frame(segments: Sequence[np.ndarray], cls_id: int, sep_id: int, *, gap: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Join segments into `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`.

    Args:
        segments: one or two arrays (tokens) of ids.
        cls_id: id of the token that opens.
        sep_id: id of the token that closes each segment.
        gap: how many of them stand between two; RoBERTa has 2.
    Returns:
        `input_ids` and `token_type_ids`, (tokens) int64; type 0 up to the first `sep_id`, 1 after it.
    Raises:
        ValueError: there are not one or two segments.
    Source:
        Devlin et al. 2019, "BERT", figure 2.
    Example:
        >>> frame([np.array([7, 8]), np.array([9])], cls_id=2, sep_id=3)
        (array([2, 7, 8, 3, 9, 3]), array([0, 0, 0, 0, 1, 1]))
    """
    if len(segments) not in (1, 2):
        raise ValueError(f"One or two segments can be framed, but {len(segments)} came: join or split them first.")
    closed = [np.append(segment, [sep_id] * times) for segment, times in zip(segments[::-1], (1, gap), strict=False)]
    input_ids = np.concatenate([[cls_id], *closed[::-1]])
    token_type_ids = np.repeat([0, 1][: len(segments)], [len(segment) for segment in closed[::-1]])
    return input_ids.astype(np.int64), np.concatenate([[0], token_type_ids])


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

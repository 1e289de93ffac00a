"""Tokenizers whose pieces are characters."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from selfsup.tokenization.train import SPECIAL


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

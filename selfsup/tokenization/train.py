"""Train a lossless tokenizer: one vocabulary, read by SentencePiece (fast) and by Hugging Face (everywhere)."""

import heapq
import io
import os
import re
import struct
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Literal

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

MARK = "▁"  # U+2581 at the head of a piece stands for the space before a word
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # their place is their id
SENTENCEPIECE_FILE = "tokenizer.model"
EXACT_CHARS = 4_096  # a text up to this long is scored without rounding, see `_round_scores`

_NUM_RESERVED = len(SPECIAL) + 256
_ESCAPE = "\ufdd1"  # a noncharacter: Unicode keeps it for private use like this
# What must not reach the vocabulary as it is: the escape itself, the mark, and a literal name of a special token or a
# byte. In this order, each is applied to what the one before it left; the decoder goes through them backwards.
_STAND_INS = {
    _ESCAPE: (_ESCAPE, f"{_ESCAPE}0"),
    MARK: (MARK, f"{_ESCAPE}1"),
    "[": (r"\[(?=(?:PAD|UNK|CLS|SEP|MASK)\])", f"{_ESCAPE}2"),
    "<": (r"<(?=0x[0-9A-F]{2}>)", f"{_ESCAPE}3"),
}
ESCAPED = re.compile("|".join(pattern for pattern, _ in _STAND_INS.values()))


def train_tokenizer(
    texts: Iterable[str],
    folder: str | Path,
    *,
    vocab_size: int = 8192,
    kind: Literal["unigram", "bpe"] = "unigram",
    max_bytes: int = 10_000_000,
    seed: int = 0,
) -> PreTrainedTokenizerFast:
    """Learn a vocabulary from text and save it as a Hugging Face tokenizer with its SentencePiece model beside it.

    Every text comes back from its ids, character for character: nothing is normalised, and what has no piece is spelt
    in bytes. Lone surrogates are no text, and are refused.
    The same text under the same version of SentencePiece gives the same files.

    Args:
        texts: sentences, paragraphs or documents, read once; long ones are cut at a space.
        folder: where `tokenizer.model`, `tokenizer.json` and `tokenizer_config.json` go; made if it is not there.
        vocab_size: number of pieces, with the 5 special tokens and the 256 bytes.
        kind: "unigram" (slower to train, splits words better) or "bpe".
        max_bytes: learn from a random sample of about this many bytes, so that memory stays bounded.
        seed: of that sample.
    Returns:
        the tokenizer as loaded from `folder`, which `AutoTokenizer.from_pretrained(folder)` opens as well.
    Raises:
        ValueError: `kind` is unknown, there is no text, or the text supports no vocabulary of that size.
    Source:
        Kudo 2018, "Subword Regularization" (unigram); Sennrich et al. 2016, "Neural Machine Translation of Rare Words
        with Subword Units" (bpe); Kudo & Richardson 2018, "SentencePiece".
    Example:
        >>> tokenizer = train_tokenizer(["to be or not to be"] * 9, "run/tokenizer", vocab_size=268)  # doctest: +SKIP
        >>> tokenizer("to [MASK]").tokens()  # doctest: +SKIP
        ['[CLS]', '▁', 't', 'o', ' [MASK]', '[SEP]']
    """
    if kind not in ("unigram", "bpe"):
        raise ValueError(f"kind must be 'unigram' or 'bpe', but is {kind!r}: choose one of them.")
    if vocab_size <= _NUM_RESERVED:
        raise ValueError(
            f"vocab_size must exceed the {len(SPECIAL)} special tokens and 256 bytes, but is {vocab_size}: "
            f"ask for more than {_NUM_RESERVED}."
        )
    processor = _learn(_sample(texts, max_bytes=max_bytes, rng=Random(seed)), vocab_size=vocab_size, kind=kind)
    pad, unk, cls, sep, mask = SPECIAL
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=convert(processor, kind),
        pad_token=pad,
        unk_token=unk,
        cls_token=cls,
        sep_token=sep,
        mask_token=AddedToken(mask, lstrip=True, special=True, normalized=False),
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".tokenizer-") as aside:
        tokenizer.save_pretrained(aside)
        Path(aside, SENTENCEPIECE_FILE).write_bytes(processor.serialized_model_proto())
        for file in sorted(Path(aside).iterdir(), reverse=True):  # tokenizer.json, which readers look for, last
            os.replace(file, folder / file.name)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def escape(text: str) -> str:
    """Rewrite what SentencePiece or the vocabulary would take for a mark, so that it comes back as it was.

    U+2581 would turn into a space, and a literal "[MASK]" or "<0x41>" into a special token or a byte. The fast
    tokenizer does the same in its normalizer, and undoes it in its decoder.

    Args:
        text: any text.
    Returns:
        the text itself in nearly every case.
    Example:
        >>> escape("a [MASK] in [brackets]") == "a \\ufdd12MASK] in [brackets]"
        True
    """
    if not any(char in text for char in _STAND_INS):
        return text
    return ESCAPED.sub(lambda match: _STAND_INS[match[0]][1], text)


def convert(processor: sentencepiece.SentencePieceProcessor, kind: Literal["unigram", "bpe"]) -> Tokenizer:
    """Rebuild a SentencePiece model of ours as a Hugging Face tokenizer that gives the same ids.

    Args:
        processor: a model with identity normalisation, byte fallback and the special tokens in their places.
        kind: how it splits, which the processor does not tell.
    Returns:
        the tokenizer, with a template for one and two segments.
    """
    scores = {processor.id_to_piece(i): processor.get_score(i) for i in range(processor.get_piece_size())}
    tokenizer = Tokenizer(
        models.Unigram(list(scores.items()), unk_id=SPECIAL.index("[UNK]"), byte_fallback=True)
        if kind == "unigram"
        else models.BPE(
            {piece: i for i, piece in enumerate(scores)},
            _merges(list(scores)[_NUM_RESERVED:]),
            unk_token="[UNK]",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer(), pre_tokenizer()
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
        + [decoders.Replace(stand_in, char) for char, (_, stand_in) in reversed(_STAND_INS.items())]
        + [decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, i) for i, token in enumerate(SPECIAL) if token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def normalizer() -> normalizers.Normalizer:
    """The fast tokenizer's `escape`, and a mark for every space."""
    return normalizers.Sequence(
        [normalizers.Replace(Regex(pattern), stand_in) for pattern, stand_in in _STAND_INS.values()]
        + [normalizers.Replace(" ", MARK)]
    )


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """A mark before the first word, and a cut before every mark.

    The first `Metaspace` puts a mark before the first word. Its own mark is a space, of which none is left by then: so
    it also marks a text that starts with a space, and, unlike the normalizer `Prepend`, it leaves what follows a
    special token alone. In "[MASK]." the full stop stays glued.
    """
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(" ", prepend_scheme="first", split=False),
            pre_tokenizers.Metaspace(MARK, prepend_scheme="never", split=True),
        ]
    )


def cut(text: str) -> Iterator[str]:
    """Cut a text at single spaces into parts that are each scored without rounding.

    A part's own first mark takes the place of the space that is left out, so the ids of the parts, one after the
    other, are those of the text.

    Args:
        text: any text.
    Yields:
        parts of at most `EXACT_CHARS` characters; longer only where there is no space to cut at.
    """
    start = 0
    while len(text) - start > EXACT_CHARS:
        at = text.rfind(" ", start + 1, start + EXACT_CHARS)  # from + 1: an empty part would lose its mark
        if at < 0:
            at = text.find(" ", start + EXACT_CHARS, -1)
        if at < 0:
            break
        yield text[start:at]
        start = at + 1
    yield text[start:]


def _sample(texts: Iterable[str], *, max_bytes: int, rng: Random) -> list[str]:
    """Keep the parts that drew the lowest lots, as many as `max_bytes` holds, in the order in which they came."""
    kept: list[tuple[float, int, str]] = []  # a heap, the highest lot first
    size = 0
    for order, part in enumerate(part for text in texts for part in cut(escape(text)) if part.strip()):
        heapq.heappush(kept, (-rng.random(), order, part))
        size += len(part.encode())
        while size > max_bytes and len(kept) > 1:
            size -= len(heapq.heappop(kept)[2].encode())
    return [part for _, _, part in sorted(kept, key=lambda lot: lot[1])]


def _learn(sample: list[str], *, vocab_size: int, kind: str) -> sentencepiece.SentencePieceProcessor:
    """Run SentencePiece; its checks of the sample become sentences."""
    if not sample:
        raise ValueError("A tokenizer is learnt from text, but there is none in `texts`: check where it comes from.")
    pad, unk, cls, sep, mask = SPECIAL
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sample),
            model_writer=model,
            model_type=kind,
            vocab_size=vocab_size,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=True,
            byte_fallback=True,
            max_sentence_length=2**30,
            num_threads=4,  # fixed: sums over other shares of the sample would round differently
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            pad_piece=pad,
            unk_piece=unk,
            bos_piece=cls,
            eos_piece=sep,
            control_symbols=[mask],
            minloglevel=2,
        )
    except RuntimeError as error:
        if largest := re.search(r"too high .*<= (\d+)", str(error)):
            raise ValueError(
                f"vocab_size must be at most {largest[1]} for this text, but is {vocab_size}: "
                "lower it or give more text."
            ) from error
        if smallest := re.search(r"required_chars\. \d+ vs (\d+)", str(error)):
            raise ValueError(
                f"vocab_size must be at least {smallest[1]} to hold the characters of this text, "
                f"but is {vocab_size}: raise it."
            ) from error
        raise
    return sentencepiece.SentencePieceProcessor(model_proto=_round_scores(model.getvalue()))


def _round_scores(model: bytes) -> bytes:
    """Round the scores of a SentencePiece model to 1/128, so that float32 sums of them are exact.

    SentencePiece adds up the scores of a text in float32, which rounds more the longer the text is: the best split of
    a word would depend on what stands before it, and differ from the fast tokenizer's float64. Multiples of 1/128
    add up exactly to 131,072; a character costs at most about 27, so `EXACT_CHARS` of them stay below.

    The file is a protobuf message; the pieces are its fields 1 (piece: field 1, score: field 2), all of one byte's
    length and in order, so the scores are found and overwritten where they stand.
    """
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    rounded = bytearray(model)
    at = 0
    for i in range(processor.get_piece_size()):
        piece, score = processor.id_to_piece(i).encode(), processor.get_score(i)
        at = model.index(b"\x0a%c%b\x15%b" % (len(piece), piece, struct.pack("<f", score)), at) + 3 + len(piece)
        struct.pack_into("<f", rounded, at, round(score * 128) / 128)
    return bytes(rounded)


def _merges(pieces: list[str]) -> list[tuple[str, str]]:
    """Every way to join two pieces into a third, the earliest-learnt third first."""
    known = set(pieces)
    return [
        (piece[:at], piece[at:])
        for piece in pieces
        for at in range(1, len(piece))
        if piece[:at] in known and piece[at:] in known
    ]

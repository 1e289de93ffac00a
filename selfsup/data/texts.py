"""From the name of a text to what a run trains on and what it is scored on."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transformers import PreTrainedTokenizerBase

from selfsup.data.cleaning import paragraphs
from selfsup.data.corpus import Corpus, Region, open_corpus
from selfsup.data.places import has_split
from selfsup.data.plan import Plan, Stage
from selfsup.data.sentences import LANGUAGES
from selfsup.data.sources import Text, find_text
from selfsup.tokenization.characters import train_characters
from selfsup.tokenization.encode import adds_spaces, batch_encoder, fingerprint, needs_spaces
from selfsup.tokenization.train import train_tokenizer

_RAW = (
    "text as it stands (raw) wants pieces that add no spaces, but this tokenizer puts one before every line: set "
    "--data.pieces character, or --data.raw false"
)


@dataclass(frozen=True)
class DataConfig:
    """Which text, and how it is dealt out.

    Args:
        column: of tables that holds the text.
        language: rules of the sentence splitter: en, de, fr or es.
        raw: take the text as it stands, line breaks and all; by default it is cleaned and cut at sentences.
        pieces: of the tokenizer that is trained: "unigram", "bpe" or "character".
        validation: name of a text to score on; if absent, the text's own validation split, or else a part held out.
        validation_share: share of the tokens that is held out then.
        block_size: tokens of a row, special tokens included.
        batch_size: rows of a step, over all processes.
        stages: in place of the two before: block and batch sizes that change during the run.
        cache_dir: where token ids are kept; SELFSUP_CACHE, or .cache/selfsup in the home folder, if absent.
    """

    column: str = "text"
    language: str = "en"
    raw: bool = False
    pieces: Literal["unigram", "bpe", "character"] = "unigram"
    validation: str | None = None
    validation_share: float = 0.02
    block_size: int = 128
    batch_size: int = 64
    stages: list[Stage] | None = None
    cache_dir: Path | None = None

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise ValueError(
                f"language must be one of {', '.join(LANGUAGES)}, but {self.language!r} came: take the nearest one, "
                "it only decides where sentences end"
            )
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share must lie between 0 and 1, but {self.validation_share} came")
        self.all_stages()

    def all_stages(self) -> list[Stage]:
        """The stages, one of them unless they were given."""
        return self.stages or [Stage(self.block_size, self.batch_size)]

    def cache(self) -> Path:
        """The folder of all caches."""
        return self.cache_dir or Path(os.environ.get("SELFSUP_CACHE", Path.home() / ".cache" / "selfsup"))


def read_paragraphs(text: Text, *, raw: bool = False) -> Iterator[str]:
    """Clean paragraphs of all documents, or pieces as they stand, for whoever trains a tokenizer."""
    for _, piece in text.pieces():
        yield from [piece] if raw else paragraphs(piece)


def find_texts(name: str, config: DataConfig, data_root: Path | None = None) -> tuple[Text, Text | None]:
    """What a run trains on, and what it is scored on where that is a text of its own.

    Args:
        name: of the text, see `find_text`.
        config: which column, and which validation text.
        data_root: folder that mirrors data sets of the Hub as <id>/<config>/<split>.parquet.
    Returns:
        the training text; the validation text that the configuration names, else the split of that name, else None.
    Raises:
        ValueError: there is no such text, or both are the same.
    """

    def find(name: str, split: str = "train") -> Text:
        return find_text(name, split=split, data_root=data_root, column=config.column)

    named = config.validation or name
    if has_split(named, "validation", data_root):
        return find(name), find(named, "validation")
    if not config.validation:
        return find(name), None
    training, validation = find(name), find(config.validation)
    if training.fingerprint == validation.fingerprint:
        raise ValueError(f"validation must be another text than the corpus, but {name} came for both: leave it out")
    return training, validation


def own_tokenizer(text: Text, run: Path, vocab_size: int, data: DataConfig | None = None) -> str:
    """The tokenizer of a run that was not given one: trained on its text, the first time.

    Args:
        text: to learn from.
        run: folder of the run; the tokenizer goes to `tokenizer/` in it.
        vocab_size: number of pieces; characters are as many as occur.
        data: kind of the pieces, and whether the text is taken as it stands.
    Returns:
        its folder.
    Raises:
        ValueError: there is too little text for so many pieces, or they would add spaces to text as it stands.
        OSError: the folder cannot be written to.
    """
    data = data or DataConfig()
    if data.raw and data.pieces != "character":
        raise ValueError(_RAW)
    folder, learnt = run / "tokenizer", f"{text.fingerprint} {vocab_size}"
    learnt += f" {data.pieces} raw={data.raw}" if data.raw or data.pieces != "unigram" else ""
    mark = folder / "learnt_from"  # an earlier try in this folder may have had other text or another size
    if mark.exists() and any(run.glob("**/checkpoints/checkpoint-*")):
        return str(folder)  # models read it: whether they may go on is said where they are opened
    if not mark.exists() or mark.read_text() != learnt:
        texts = read_paragraphs(text, raw=data.raw)
        try:
            if data.pieces == "character":
                train_characters(texts, folder)
            else:
                print(f"training a tokenizer of {vocab_size:,} pieces on {text.name}")
                train_tokenizer(texts, folder, vocab_size=vocab_size, kind=data.pieces)
        except ValueError as error:
            flag = " The flag is --model.vocab_size." if "vocab_size" in str(error) else ""
            raise ValueError(f"{text.name}: {error}{flag}") from error
        except Exception as error:  # what is not an OSError, but says so, comes from the Rust of `tokenizers`
            if not isinstance(error, OSError) and "os error" not in str(error):
                raise
            raise OSError(
                f"the tokenizer could not be written to {folder} ({getattr(error, 'strerror', None) or error}): free "
                "some disk, or choose another output folder"
            ) from error
        mark.write_text(learnt)
    return str(folder)


def open_plans(
    texts: tuple[Text, Text | None],
    tokenizer: PreTrainedTokenizerBase,
    config: DataConfig,
    num_segments: int,
    *,
    pack: bool,
    seed: int,
    strangers: bool = False,
    framed: bool = True,
) -> tuple[Plan, Plan]:
    """What a run reads step by step, and what it is scored on.

    Args:
        texts: to train on, and to be scored on; without the second, a part of the first is held out.
        tokenizer: a fast one.
        config: how to deal the text out.
        num_segments: 1, or 2 for pairs.
        pack: let short examples share a row.
        seed: of the order of training; that of validation is always the same.
        strangers: take second segments from other documents too, see `Plan`.
        framed: special tokens stand around every segment.
    Returns:
        the plan of training and that of validation.
    Raises:
        ValueError: there is too little text, or the tokenizer cannot give it back as it stands.
    """
    encode, mark = batch_encoder(tokenizer), fingerprint(tokenizer)
    if config.raw and adds_spaces(encode):
        raise ValueError(_RAW)
    spaced = not config.raw and needs_spaces(encode)

    def cached(text: Text) -> Corpus:
        return open_corpus(
            text,
            encode,
            tokenizer_fingerprint=mark,
            vocab_size=len(tokenizer),
            cache_dir=config.cache(),
            language=config.language,
            raw=config.raw,
            spaced=spaced,
        )

    corpus, held_out = cached(texts[0]), cached(texts[1]) if texts[1] else None
    if held_out:
        regions, held_regions = [(0, len(corpus.tokens))], [(0, len(held_out.tokens))]
    else:
        regions, held_regions = corpus.split(config.validation_share)
    stages = config.all_stages()
    last = [Stage(stages[-1].block_size)]

    def plan(corpus: Corpus, regions: list[Region], stages: list[Stage], seed: int) -> Plan:
        return Plan(
            corpus, regions, stages=stages, num_segments=num_segments, pack=pack, seed=seed, strangers=strangers,
            framed=framed,
        )  # fmt: skip

    return plan(corpus, regions, stages, seed), plan(held_out or corpus, held_regions, last, 0)

"""From the name of a text to what a run trains on and what it is scored on."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from selfsup.data.cleaning import paragraphs
from selfsup.data.corpus import Corpus, Region, open_corpus
from selfsup.data.plan import Plan, Stage
from selfsup.data.sources import Text, find_text, has_split
from selfsup.tokenization.encode import batch_encoder, fingerprint
from selfsup.tokenization.train import train_tokenizer


@dataclass(frozen=True)
class DataConfig:
    """Which text, and how it is dealt out.

    Args:
        data_root: folder that mirrors data sets of the Hub as <id>/<config>/<split>.parquet; the environment variable
            SELFSUP_DATA_ROOT if absent.
        column: of tables that holds the text.
        language: rules of the sentence splitter: en, de, fr or es.
        validation: name of a text to score on; if absent, the text's own validation split, or else a part held out.
        validation_share: share of the tokens that is held out then.
        block_size: tokens of a row, special tokens included.
        batch_size: rows of a step, over all processes.
        stages: in place of the two before: block and batch sizes that change during the run.
        cache_dir: where token ids are kept; SELFSUP_CACHE, or .cache/selfsup in the home folder, if absent.
    """

    data_root: Path | None = None
    column: str = "text"
    language: str = "en"
    validation: str | None = None
    validation_share: float = 0.02
    block_size: int = 128
    batch_size: int = 64
    stages: list[Stage] | None = None
    cache_dir: Path | None = None

    def all_stages(self) -> list[Stage]:
        """The stages, one of them unless they were given."""
        return self.stages or [Stage(self.block_size, self.batch_size)]

    def text(self, name: str, split: str = "train") -> Text:
        """The text of a name, see `find_text`."""
        return find_text(name, split=split, data_root=self.data_root, column=self.column)

    def cache(self) -> Path:
        """The folder of all caches."""
        return self.cache_dir or Path(os.environ.get("SELFSUP_CACHE", Path.home() / ".cache" / "selfsup"))


def read_paragraphs(text: Text) -> Iterator[str]:
    """Clean paragraphs of all documents, for whoever trains a tokenizer."""
    for _, piece in text.pieces():
        yield from paragraphs(piece)


def own_tokenizer(name: str, run: Path, config: DataConfig, vocab_size: int) -> str:
    """The tokenizer of a run that was not given one: trained on its text, the first time.

    Args:
        name: of the text.
        run: folder of the run; the tokenizer goes to `tokenizer/` in it.
        config: where to look.
        vocab_size: number of pieces.
    Returns:
        its folder.
    Raises:
        ValueError: there is no such text, or too little of it for so many pieces.
    """
    folder = run / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        print(f"training a tokenizer of {vocab_size:,} pieces on {name}")
        try:
            train_tokenizer(read_paragraphs(config.text(name)), folder, vocab_size=vocab_size)
        except ValueError as error:
            raise ValueError(f"{error} The flag is --model.vocab_size.") from error
    return str(folder)


def open_plans(
    name: str, tokenizer: PreTrainedTokenizerBase, config: DataConfig, num_segments: int, *, pack: bool, seed: int
) -> tuple[Plan, Plan]:
    """What a run reads, and what it is scored on.

    Args:
        name: of the text.
        tokenizer: a fast one.
        config: where to look, what to hold out, and how to deal it out.
        num_segments: 1, or 2 for pairs.
        pack: let short examples share a row.
        seed: of the order of training; that of validation is always the same.
    Returns:
        the plan of training and that of validation.
    Raises:
        ValueError: there is no such text, or too little of it.
    """
    corpus, regions, held_out, held_regions = _open_texts(name, tokenizer, config)
    stages = config.all_stages()
    plan = Plan(corpus, regions, stages=stages, num_segments=num_segments, pack=pack, seed=seed)
    last = [Stage(stages[-1].block_size)]
    return plan, Plan(held_out, held_regions, stages=last, num_segments=num_segments, pack=pack, seed=0)


def _open_texts(
    name: str, tokenizer: PreTrainedTokenizerBase, config: DataConfig
) -> tuple[Corpus, list[Region], Corpus, list[Region]]:
    """Training corpus and its ranges to read, validation corpus (often the same one) and its ranges."""
    encode, mark = batch_encoder(tokenizer), fingerprint(tokenizer)

    def opened(text: Text) -> Corpus:
        return open_corpus(
            text,
            encode,
            tokenizer_fingerprint=mark,
            vocab_size=len(tokenizer),
            cache_dir=config.cache(),
            language=config.language,
        )

    corpus = opened(config.text(name))
    held_out: Corpus | None = None
    if config.validation:
        held_out = opened(config.text(config.validation))
    elif has_split(name, "validation", config.data_root):
        held_out = opened(config.text(name, "validation"))
    if held_out is None:
        training, validation = corpus.split(config.validation_share)
        return corpus, training, corpus, validation
    return corpus, [(0, len(corpus.tokens))], held_out, [(0, len(held_out.tokens))]

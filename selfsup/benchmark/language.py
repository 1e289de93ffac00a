"""How well held-out text is predicted: bits per byte of a decoder beside n-grams of the same text and tokenizer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers.models import WordPiece
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from selfsup.benchmark.ngram import KneserNey
from selfsup.data.corpus import Corpus, Region
from selfsup.data.sources import Text
from selfsup.data.texts import DataConfig, open_plans
from selfsup.generation.likelihood import beginning, running_log_probs
from selfsup.generation.scoring import window
from selfsup.metrics.bootstrap import bootstrap
from selfsup.tokenization.encode import piece_bytes
from selfsup.training.record import read_record
from selfsup.training.summary import table

FEWEST = 20  # slices that an interval wants
MOST_UNKNOWN = 0.05  # of the tokens: bits are asked for them, but no bytes stand for them
LONGEST = 1024  # tokens of a window, where neither the run nor the user says how many
SLICE = 1000  # tokens; neighbouring ones are not independent, so intervals are over slices of whole sentences


@dataclass(frozen=True)
class HeldOut:
    """Text to be scored.

    Args:
        tokens: (tokens) int64, all documents one after the other.
        starts: (documents) where each begins.
        slices: (slices) where each begins; some `SLICE` tokens of one document.
        num_bytes: (slices) that the tokens stand for, in UTF-8, the space before a sentence with it.
        num_unknown: tokens that stand for a character without a piece, and so for no bytes.
    """

    tokens: np.ndarray
    starts: np.ndarray
    slices: np.ndarray
    num_bytes: np.ndarray
    num_unknown: int = 0


def open_text(
    texts: tuple[Text, Text | None], tokenizer: PreTrainedTokenizerBase, data: DataConfig
) -> tuple[tuple[np.ndarray, np.ndarray], HeldOut]:
    """What n-grams learn from, and what is scored.

    Args:
        texts: to train on, and to score; without the second, a part of the first is held out as pretrain.py does.
        tokenizer: a fast one.
        data: of the run that made the decoder, so that the same is held out.
    Returns:
        (tokens) and (documents) of the training text, and the held-out text.
    Raises:
        ValueError: there is too little text, the pieces do not say which spaces stood between them, or more than
            `MOST_UNKNOWN` of the tokens are unknown characters.
    """
    if isinstance(tokenizer.backend_tokenizer.model, WordPiece):
        raise ValueError(
            "a tokenizer whose pieces give the text back is wanted, to count its bytes, but WordPiece loses spaces: "
            "score a model with another"
        )
    plan, held = open_plans(texts, tokenizer, data, 1, pack=False, seed=0)
    found = _held_out(held.corpus, held.regions, piece_bytes(tokenizer))
    unknown = 0 if tokenizer.unk_token_id is None else int((found.tokens == tokenizer.unk_token_id).sum())
    if unknown > MOST_UNKNOWN * len(found.tokens):
        raise ValueError(
            f"a text whose characters the tokenizer knows is wanted, but {unknown:,} of {len(found.tokens):,} tokens "
            f"stand for unknown ones, whose bytes cannot be counted (at most {MOST_UNKNOWN:.0%} may): score another "
            "text, or a model whose tokenizer knows them"
        )
    return documents(plan.corpus, plan.regions), replace(found, num_unknown=unknown)


class Window(NamedTuple):
    """What is read at once.

    Args:
        max_tokens: of a window.
        stride: tokens that it scores, its last ones; those before are context.
        why: so many tokens.
    """

    max_tokens: int
    stride: int
    why: str

    def __str__(self) -> str:
        return f"{self.max_tokens} tokens ({self.why}), the last {self.stride} of each are scored"


def window_of(model: str, network: PreTrainedModel, max_tokens: int | None = None, stride: int | None = None) -> Window:
    """As many tokens at once as in training, where that is known, since a model need not know what to do with more.

    Args:
        model: a run, whose run.yaml says how long its blocks were, or anything else.
        network: the same, opened.
        max_tokens: that were asked for.
        stride: that was asked for; half a window otherwise.
    Raises:
        ValueError: more is asked for than the model reads, or than a window has.
    """
    limit = window(network)
    if max_tokens is not None:
        most, why = max_tokens, "as asked for"
    elif blocks := _blocks(Path(model)):
        most, why = max(blocks), "as its run read"
    elif limit is None or limit > LONGEST:
        most, why = LONGEST, "though the model reads more: see --max_tokens"
    else:
        most, why = limit, "as many as the model reads"
    if limit is not None and most > limit:
        raise ValueError(f"the model reads at most {limit} tokens, but --max_tokens {most} came: lower it")
    stride = max(1, most // 2) if stride is None else stride
    if stride > most:
        raise ValueError(f"a window of {most} tokens scores at most all of them, but --stride {stride} came: lower it")
    return Window(most, stride, why)


def _blocks(run: Path) -> list[int]:
    """Tokens of a row in the stages of a run; none where its folder does not tell."""
    if not (run / "run.yaml").is_file():
        return []
    kept = read_record(run)[1].get("data") or {}
    return [stage["block_size"] for stage in kept.get("stages") or [kept] if stage.get("block_size")]


def data_of(model: str, asked: DataConfig | None = None) -> DataConfig:
    """How text is held out: as the run that left a model did, so that nothing it learnt from is scored.

    Args:
        model: a run, whose run.yaml says it, or anything else.
        asked: what was asked for besides.
    Raises:
        ValueError: something else was asked for than the run had.
    """
    asked = asked or DataConfig()
    if not (Path(model) / "run.yaml").is_file():
        return asked
    _, arguments = read_record(Path(model))
    kept = arguments.get("data") or {}
    named = ("column", "language", "raw", "pieces", "validation", "validation_share")
    had = {name: kept[name] for name in named if name in kept}
    usual = DataConfig()
    for name, value in had.items():
        if getattr(asked, name) not in (value, getattr(usual, name)):
            raise ValueError(
                f"what the run held out is scored, and it had --data.{name} {value}, but {getattr(asked, name)} came: "
                "leave that flag out, else text would be scored that the model has learnt from"
            )
    return replace(asked, **had)


def documents(corpus: Corpus, regions: Sequence[Region]) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of regions one after the other, and where documents, or what is left of them, begin."""
    tokens = np.concatenate([corpus.tokens[start:stop] for start, stop in regions]).astype(np.int64)
    return tokens, _starts(corpus.documents, regions)


def decoder_log_probs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    held_out: HeldOut,
    *,
    max_tokens: int,
    stride: int,
    batch_size: int,
    quiet: bool = False,
) -> np.ndarray:
    """(tokens) nats of a decoder; where nothing stands before a document, all first tokens are as probable.

    Raises:
        ValueError: the model gives something that is not a number.
    """
    parts = np.split(held_out.tokens, held_out.starts[1:])
    found = running_log_probs(
        model, parts, begin=beginning(tokenizer), max_tokens=max_tokens, stride=stride, batch_size=batch_size,
        quiet=quiet,
    )  # fmt: skip
    nats = np.concatenate(found)
    heads = held_out.starts[np.isnan(nats[held_out.starts])]
    nats[heads] = -np.log(model.config.vocab_size)
    if broken := int((~np.isfinite(nats)).sum()):
        raise ValueError(
            f"log-probabilities are wanted, but for {broken:,} of {len(nats):,} tokens the model gives none: its "
            "weights are broken, or a number overflowed; open it in float32, or train it with a lower learning rate"
        )
    return nats


def compare(
    log_probs: Mapping[str, np.ndarray], held_out: HeldOut, *, rng: np.random.Generator
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Bits per byte of each model, and what the first one has less than each other, with 95 % intervals.

    Args:
        log_probs: (tokens) nats, by model.
        held_out: that was scored.
        rng: the only source of chance.
    Returns:
        by model, `bits_per_byte` and `difference` as (mean, low, high) over slices of the text.
    """
    bits = {name: np.add.reduceat(-nats / np.log(2), held_out.slices) for name, nats in log_probs.items()}
    tallies = {name: np.stack([values, held_out.num_bytes], axis=1)[None] for name, values in bits.items()}
    first = next(iter(tallies.values()))

    def figure(sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / sums[..., 1]

    return {
        name: {
            "bits_per_byte": bootstrap(own, rng=rng, figure=figure),
            "difference": bootstrap(first, own, rng=rng, figure=figure),
        }
        for name, own in tallies.items()
    }


def ngram_log_probs(
    text: tuple[np.ndarray, np.ndarray], held_out: HeldOut, vocab_size: int, order: int = 5
) -> dict[str, np.ndarray]:
    """(tokens) nats of the baselines, by name: n-grams of an order, which see all that stands before, and unigrams."""
    return {
        name: KneserNey(*text, vocab_size, number).log_probs(held_out.tokens, held_out.starts)
        for name, number in {f"{order}-gram Kneser-Ney": order, "unigram": 1}.items()
    }


def report(found: Mapping[str, dict[str, tuple[float, float, float]]], held_out: HeldOut) -> str:
    """The table: bits per byte, bits per token, and the difference to the first model."""
    per_token, first = held_out.num_bytes.sum() / len(held_out.tokens), next(iter(found))
    rows: list[tuple[str, ...]] = [("", "bits per byte (95 %)", "bits per token", f"{first} less this (95 %)")]
    for name, figures in found.items():
        mean = figures["bits_per_byte"][0]
        less = "" if name == first else _between(figures["difference"], "+")
        rows.append((name, _between(figures["bits_per_byte"]), f"{mean * per_token:.3f}", less))
    lost = (
        f" ({held_out.num_unknown:,} of them unknown characters, which count no byte)" if held_out.num_unknown else ""
    )
    sizes = (
        f"{held_out.num_bytes.sum():,} bytes, {len(held_out.tokens):,} tokens{lost}, {len(held_out.starts)} documents"
    )
    trust = ", too few to trust them" if len(held_out.slices) < FEWEST else ", for text of the same documents"
    return f"{table(rows)}\n\nscored   {sizes}; intervals over {len(held_out.slices):,} slices of the text{trust}"


def _held_out(corpus: Corpus, regions: Sequence[Region], sizes: np.ndarray) -> HeldOut:
    """Cut regions, which begin and end with sentences, into slices; `sizes` (vocab) are bytes of pieces."""
    tokens, starts = documents(corpus, regions)
    sentences = _starts(corpus.sentences, regions)
    depths = sentences - starts[np.searchsorted(starts, sentences, side="right") - 1]
    opens = np.isin(sentences, starts)
    opens[1:] |= depths[1:] // SLICE != depths[:-1] // SLICE
    heads = np.flatnonzero(opens)
    return HeldOut(tokens, starts, sentences[heads], np.add.reduceat(sizes[tokens], sentences[heads]))


def _starts(places: np.ndarray, regions: Sequence[Region]) -> np.ndarray:
    """Where parts begin in the tokens of regions one after the other; a region begins one too."""
    found, total = [], 0
    for start, stop in regions:
        inside = places[np.searchsorted(places, start, side="right") : np.searchsorted(places, stop)]
        found.append(total + np.append(start, inside) - start)
        total += stop - start
    return np.concatenate(found).astype(np.int64)


def _between(interval: tuple[float, float, float], sign: str = "") -> str:
    mean, low, high = (f"{value:{sign}.3f}" for value in interval)
    return f"{mean} ({low} to {high})"

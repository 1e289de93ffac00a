"""Seconds that our beam search and that of transformers take with the same model, batch by batch in turn."""

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from selfsup.benchmark.speed import ratio_of_medians
from selfsup.data.files import called
from selfsup.data.inputs import find_input, kind_of, read_rows
from selfsup.generation.beam import BeamConfig, beam_search, padded
from selfsup.models.encoder_decoder import TextEncoderDecoderConfig, TextEncoderDecoderForSeq2SeqLM
from selfsup.predicting.translating import open_writer, read_source
from selfsup.training.summary import table

PAIRS = (("float32", "float32"), ("bfloat16", "bfloat16"), ("bfloat16", "float32"))  # ours, transformers


@dataclass(frozen=True)
class Lap:
    """One batch, written by both.

    Args:
        ours: seconds.
        theirs: seconds.
        sentences: in the batch.
        same: of them whose best sequence is the same.
    """

    ours: float
    theirs: float
    sentences: int
    same: int


def fresh_model(seed: int = 0) -> TextEncoderDecoderForSeq2SeqLM:
    """3 + 3 blocks of 256, 8,192 pieces and random weights; its end is made likely, so that texts have many lengths."""
    torch.manual_seed(seed)
    ids = {"bos_token_id": 2, "decoder_start_token_id": 2, "eos_token_id": 3}
    model = TextEncoderDecoderForSeq2SeqLM(
        TextEncoderDecoderConfig(**ids, zero_init_output=False, initializer_range=0.1)
    )
    with torch.no_grad():
        model.lm_head.weight[3] *= 8
    return model.eval()


def some_sources(number: int, vocab_size: int, seed: int = 0) -> list[list[int]]:
    """Random ids in the lengths of sentences that tell of a picture: 14 tokens, more or less."""
    rng = np.random.default_rng(seed)
    lengths = rng.poisson(12, number) + 2
    return [[2, *rng.integers(5, vocab_size, length - 2).tolist(), 3] for length in lengths]


def opened(name: str) -> tuple[TextEncoderDecoderForSeq2SeqLM, PreTrainedTokenizerBase]:
    """A trained model of ours, and its tokenizer.

    Raises:
        ValueError: nothing opens under that name, or what does is another kind of model.
    """
    model, tokenizer = open_writer(name)
    if not isinstance(model, TextEncoderDecoderForSeq2SeqLM):
        raise ValueError(
            f"a model of ours that writes token by token is wanted, but {name} is a {type(model).__name__}: name "
            "another"
        )
    return model, tokenizer


def sources_of(file: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids of the sources in a file, one a line.

    Raises:
        ValueError: the file is no text or has no line, or a line is empty or longer than the model reads.
    """
    path = find_input(str(file))
    if not kind_of(path).startswith(".txt"):
        raise ValueError(
            f"a .txt or .txt.gz file of sources is wanted, one a line, but {called(path)} came: convert it"
        )
    sources = []
    for place, row in read_rows(path):
        if isinstance(row, ValueError):
            raise row
        try:
            sources.append(read_source(tokenizer, model.config, row["text"]))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    if not sources:
        raise ValueError(f"sources are wanted, one a line, but {called(path)} has none")
    return sources


def contest(
    model: PreTrainedModel,
    sources: Sequence[Sequence[int]],
    config: BeamConfig,
    dtypes: tuple[str, str],
    *,
    batch_size: int,
    rounds: int,
) -> Iterator[Lap]:
    """Let both write one batch after the other, each sorted by length; one more before them is not counted.

    Who goes first changes with every round: the second finds what memory and caches the first left.

    Args:
        model: of ours, for pairs of texts.
        sources: token ids of each.
        config: of both searches.
        dtypes: of the weights, for ours and for transformers.
        batch_size: sources that are written for at once.
        rounds: batches that are counted; after the last the first comes again.
    """
    ours, theirs = (copy.deepcopy(model).to(getattr(torch, dtype)).eval() for dtype in dtypes)
    ordered = sorted(sources, key=len, reverse=True)
    sides = (("ours", by_ours, ours), ("theirs", by_transformers, theirs))
    batches = [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
    for number in range(rounds + 1):
        batch = batches[number % len(batches)]
        written, seconds = {}, {}
        for name, write, network in sides if number % 2 else sides[::-1]:
            began = time.perf_counter()
            written[name] = write(network, batch, config)
            seconds[name] = time.perf_counter() - began
        same = sum(one == other for one, other in zip(*written.values(), strict=True))
        if number:
            yield Lap(**seconds, sentences=len(batch), same=same)


def by_ours(model: PreTrainedModel, batch: Sequence[Sequence[int]], config: BeamConfig) -> list[list[int]]:
    """The best sequence of each source, as `beam_search` finds it."""
    return [best.ids for best, *_ in beam_search(model, batch, config, batch_size=len(batch))]


def by_transformers(model: PreTrainedModel, batch: Sequence[Sequence[int]], config: BeamConfig) -> list[list[int]]:
    """The best sequence of each source, as `generate` finds it, up to its end."""
    ids, mask = padded([list(source) for source in batch], model.config.pad_token_id or 0, device=model.device)
    mask = torch.ones_like(ids) if mask is None else mask
    written = model.generate(
        input_ids=ids, attention_mask=mask, num_beams=config.beams, max_new_tokens=config.max_new_tokens,
        length_penalty=config.length_penalty, do_sample=False,
    )  # fmt: skip
    end = model.config.eos_token_id
    rows = [row[1:] for row in written.tolist()]
    return [row[: row.index(end) + 1] if end in row else row for row in rows]


def report(laps: dict[tuple[str, str], list[Lap]], config: BeamConfig, batch_size: int) -> str:
    """The table: sentences a second of both and seconds of a round, how many times faster ours is, and how many
    sentences are the same."""
    rows: list[tuple[str, ...]] = [
        ("ours, transformers", "ours: sentences/s", "transformers", "ours: s/round", "transformers",
         "times (95 %)", "same best")
    ]  # fmt: skip
    for dtypes, some in laps.items():
        seconds = np.array([[lap.ours, lap.theirs] for lap in some]).T
        rates = np.array([lap.sentences for lap in some]) / seconds
        ratio, low, high = ratio_of_medians(*rates)
        same = sum(lap.same for lap in some) / sum(lap.sentences for lap in some)
        rows.append((", ".join(dtypes), *(f"{np.median(rate):.1f}" for rate in rates),
                     *(f"{np.median(side):.3f}" for side in seconds),
                     f"{ratio:.2f} ({low:.2f} to {high:.2f})", f"{same:.1%}"))  # fmt: skip
    return f"{config.beams} beams, {batch_size} sources at once, sorted by length\n\n{table(rows)}\n"

"""Seconds that our beam search and that of transformers take with the same model, batch by batch in turn."""

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from selfsup.benchmark.speed import ratio_of_medians
from selfsup.generation.beam import BeamConfig, beam_search, padded
from selfsup.models.encoder_decoder import TextEncoderDecoderConfig, TextEncoderDecoderForSeq2SeqLM
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
    batches = [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
    for number in range(rounds + 1):
        batch = batches[number % len(batches)]
        began = time.perf_counter()
        found = [best.ids for best, *_ in beam_search(ours, batch, config, batch_size=len(batch))]
        between = time.perf_counter()
        expected = by_transformers(theirs, batch, config)
        ended = time.perf_counter()
        same = sum(one == other for one, other in zip(found, expected, strict=True))
        if number:
            yield Lap(between - began, ended - between, len(batch), same)


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
    """The table: sentences a second of both, how many times faster ours is, and how many sentences are the same."""
    rows: list[tuple[str, ...]] = [
        ("ours, transformers", "ours: sentences/s", "transformers", "times (95 %)", "same best")
    ]
    for dtypes, some in laps.items():
        rates = [
            np.array([lap.sentences / seconds for lap, seconds in zip(some, side, strict=True)])
            for side in ([lap.ours for lap in some], [lap.theirs for lap in some])
        ]
        ratio, low, high = ratio_of_medians(*rates)
        same = sum(lap.same for lap in some) / sum(lap.sentences for lap in some)
        rows.append((", ".join(dtypes), *(f"{np.median(rate):.1f}" for rate in rates),
                     f"{ratio:.2f} ({low:.2f} to {high:.2f})", f"{same:.1%}"))  # fmt: skip
    return f"{config.beams} beams, {batch_size} sources at once, sorted by length\n\n{table(rows)}\n"

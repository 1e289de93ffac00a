"""Seconds that our decoder and transformers' GPT-2 of the same size take to write, one after the other, in turn."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationMixin, GPT2Config, GPT2LMHeadModel

from selfsup.benchmark.counts import check_counts
from selfsup.benchmark.speed import ratio_of_medians
from selfsup.models.text_decoder import TextDecoderConfig, TextDecoderForCausalLM
from selfsup.training.summary import table

GPT2 = "transformers' GPT-2"
OURS = "ours"
FORWARD = "ours in transformers' loop"
SPECIAL = 5  # tokens that stand in no prompt


@dataclass(frozen=True)
class WritingShape:
    """Size of both models, and how much they read and write.

    Args:
        hidden_size: width; heads are 64 wide.
        num_layers: blocks.
        vocab_size: pieces.
        prompt_tokens: read before the first new token.
        new_tokens: written by greedy search; no row ends before.
        dtype: of the weights of all.
    """

    hidden_size: int = 384
    num_layers: int = 6
    vocab_size: int = 8192
    prompt_tokens: int = 32
    new_tokens: int = 128
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    def __post_init__(self) -> None:
        check_counts(64, hidden_size=self.hidden_size)
        check_counts(num_layers=self.num_layers, prompt_tokens=self.prompt_tokens, new_tokens=self.new_tokens)
        check_counts(SPECIAL + 1, vocab_size=self.vocab_size)

    def __str__(self) -> str:
        return (
            f"{self.num_layers} x {self.hidden_size}, vocabulary {self.vocab_size:,}, {self.dtype}: {self.new_tokens} "
            f"new tokens after {self.prompt_tokens}"
        )


class _InTheirLoop(TextDecoderForCausalLM):
    """Our decoder without the loop of our own."""

    _sample = GenerationMixin._sample


def writers(shape: WritingShape) -> dict[str, Callable[[Tensor], Tensor]]:
    """By name: what goes on with (rows, tokens) ids through `generate`, all with random weights."""
    torch.manual_seed(0)
    heads, longest = shape.hidden_size // 64, shape.prompt_tokens + shape.new_tokens
    config = TextDecoderConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=heads,
        intermediate_size=4 * shape.hidden_size,
        max_position_embeddings=longest,
        zero_init_output=False,
    )
    theirs = GPT2Config(
        vocab_size=shape.vocab_size,
        n_embd=shape.hidden_size,
        n_layer=shape.num_layers,
        n_head=heads,
        n_positions=longest,
        bos_token_id=None,
        eos_token_id=None,
    )
    ours = TextDecoderForCausalLM(config)
    in_their_loop = _InTheirLoop(config)
    in_their_loop.load_state_dict(ours.state_dict())
    models = {GPT2: GPT2LMHeadModel(theirs), OURS: ours, FORWARD: in_their_loop}

    def writer(model) -> Callable[[Tensor], Tensor]:
        model.to(getattr(torch, shape.dtype)).eval()
        return lambda ids: model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=shape.new_tokens,
            do_sample=False,
            pad_token_id=0,
        )

    return {name: writer(model) for name, model in models.items()}


def contest(shape: WritingShape, batch_size: int, rounds: int) -> Iterator[dict[str, float]]:
    """Let all write once, one after the other, and again; one round more before is not counted.

    Args:
        shape: of all.
        batch_size: rows.
        rounds: that are counted.
    Yields:
        seconds of each in a round, by name.
    """
    all_ = writers(shape)
    rng = torch.Generator().manual_seed(0)
    for round_ in range(rounds + 1):
        ids = torch.randint(SPECIAL, shape.vocab_size, (batch_size, shape.prompt_tokens), generator=rng)
        taken = {}
        for name, write in all_.items():
            began = time.perf_counter()
            written = write(ids)
            taken[name] = time.perf_counter() - began
            assert written.shape[1] == shape.prompt_tokens + shape.new_tokens
        if round_:
            yield taken


def report(shape: WritingShape, seconds: dict[int, list[dict[str, float]]]) -> str:
    """The table: medians of tokens a second, and how many times GPT-2's they are.

    Args:
        shape: of all.
        seconds: of all rounds, by number of rows.
    """
    rows: list[tuple[str, ...]] = [("", "rows", "tokens/s", "times GPT-2 (95 %)")]
    for batch_size, rounds in seconds.items():
        rates = {name: batch_size * shape.new_tokens / np.array([one[name] for one in rounds]) for name in rounds[0]}
        for name, rate in rates.items():
            ratio, low, high = ratio_of_medians(rate, rates[GPT2])
            rows.append((name, str(batch_size), f"{np.median(rate):,.0f}", f"{ratio:.2f} ({low:.2f} to {high:.2f})"))
    return f"{shape}\n\n{table(rows)}\n"

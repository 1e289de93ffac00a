"""Work by hand and by torch's own counter, and the statistic of a race."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from selfsup.benchmark.run_mlm import Rows
from selfsup.benchmark.setting import row_bounds
from selfsup.benchmark.speed import BERT, OURS, Shape, contestants, ratio_of_medians
from selfsup.benchmark.work import HIDDEN_SHARE, matmul_peak
from selfsup.models.text_encoder import TextEncoderConfig, TextEncoderForMaskedLM


@pytest.mark.parametrize("kind", [BERT, OURS], ids=["bert", "ours"])
def test_work_is_what_torch_counts(kind):
    shape = Shape(hidden_size=64, num_layers=3, block_size=40, batch_size=5)
    config = TextEncoderConfig(**shape.model(320), **kind, attn_implementation="eager")
    model = TextEncoderForMaskedLM(config)
    tokens = shape.block_size * shape.batch_size
    asked = torch.arange(round(HIDDEN_SHARE * tokens))
    with FlopCounterMode(display=False) as counter:
        ids = torch.ones(shape.batch_size, shape.block_size, dtype=torch.long)
        model(input_ids=ids, logit_positions=asked).logits.sum().backward()
    assert counter.get_total_flops() == pytest.approx(shape.flops(320), rel=0.02)


def test_a_product_takes_time():
    assert 1e6 < matmul_peak(torch.float32, size=64, rounds=2) < 1e15


def test_ratio_of_medians():
    rng = np.random.default_rng(0)
    first, second = 3 + 0.1 * rng.random(50), 1 + 0.1 * rng.random(50)
    ratio, low, high = ratio_of_medians(first, second)
    assert low <= ratio <= high
    assert ratio == pytest.approx(3.05 / 1.05, rel=0.02)
    assert high - low < 0.15
    shared = rng.random(50)  # a machine that slows down for both: the ratio knows, since rounds are drawn together
    ratio, low, high = ratio_of_medians(2 * (1 + shared), 1 + shared)
    assert (low, high) == pytest.approx((2.0, 2.0))


def test_every_contestant_has_a_program():
    for compiled in (False, True):
        for program, _, _ in contestants(compiled=compiled).values():
            __import__(f"selfsup.benchmark.{program}")


def test_rows_are_full_or_sentences():
    corpus = SimpleNamespace(tokens=np.arange(40), sentences=np.array([0, 5, 8, 30, 36]))
    plan: Any = SimpleNamespace(corpus=corpus, regions=[(5, 36)])
    assert row_bounds(plan, 12, lines=False).tolist() == [[5, 15], [15, 25], [25, 35]]
    assert row_bounds(plan, 12, lines=True).tolist() == [[5, 8], [8, 18], [30, 36]]  # a long one is cut
    rows = Rows(corpus.tokens, row_bounds(plan, 12, lines=True), SimpleNamespace(cls_token_id=-1, sep_token_id=-2))
    assert len(rows) == 3
    assert rows[0] == {"input_ids": [-1, 5, 6, 7, -2], "special_tokens_mask": [1, 0, 0, 0, 1]}

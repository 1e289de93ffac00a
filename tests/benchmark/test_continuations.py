"""Prompts of held-out text, ways to go on, and their figures: against the model's own scores and by hand."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from selfsup.benchmark.continuations import (
    ContinuationConfig,
    continuations,
    figures,
    mean_log_probs,
    prompts_of,
    report,
)  # fmt: skip
from selfsup.benchmark.language import HeldOut

CONFIG = ContinuationConfig(num_prompts=3, prompt_tokens=4, new_tokens=5, beams=3, batch_size=2)


@pytest.fixture
def model(tiny_decoder_config):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(tiny_decoder_config).eval()


def test_prompts_begin_with_sentences_and_stay_in_their_document():
    held_out = HeldOut(np.arange(60), np.array([0, 20]), np.array([0, 10, 15, 20, 30, 45, 55]), np.ones(7))
    prompts, people = prompts_of(held_out, CONFIG)
    assert prompts.tolist() == [[0, 1, 2, 3], [20, 21, 22, 23], [45, 46, 47, 48]]  # 15 and 55 have too little behind
    assert people.tolist() == [[4, 5, 6, 7, 8], [24, 25, 26, 27, 28], [49, 50, 51, 52, 53]]
    with pytest.raises(ValueError, match="6 places with 9 tokens behind them are wanted, but the held-out text has 5"):
        prompts_of(held_out, ContinuationConfig(num_prompts=6, prompt_tokens=4, new_tokens=5))


def test_all_ways_write_so_many_tokens_and_beams_find_what_is_more_probable(model):
    prompts = torch.arange(6, 18).view(3, 4)
    texts = dict(continuations(model, prompts, CONFIG, begin=[2], quiet=True))
    assert list(texts) == ["greedy", "3 beams", "samples, top-p 0.9"]
    assert all(rows.shape == (3, 5) for rows in texts.values())
    nats = {name: mean_log_probs(model, prompts, rows, begin=[2], batch_size=2) for name, rows in texts.items()}
    for row in range(3):
        ids = torch.cat([torch.tensor([2]), prompts[row], texts["greedy"][row]])
        scores = model(ids[None]).logits[0].log_softmax(dim=-1)
        own = np.mean([float(scores[place - 1, ids[place]].detach()) for place in range(5, 10)])
        assert nats["greedy"][row] == pytest.approx(own, abs=1e-5)
    assert (nats["3 beams"] >= nats["greedy"] - 1e-6).mean() > 0.5
    assert nats["samples, top-p 0.9"].mean() < nats["3 beams"].mean()


def test_figures_by_hand():
    texts = {"one": torch.tensor([[1, 2, 1, 2, 1], [1, 2, 3, 4, 5]])}
    found = figures(texts, {"one": np.array([-1.0, -2.0])})["one"]
    assert found["log probability"][0] == -1.5
    assert found["repeated runs of 2"][0] == pytest.approx((0.5 + 0) / 2)  # 12 21 12 21: half stood there before
    assert found["repeated runs of 4"][0] == 0  # 1212, 2121
    assert found["distinct runs of 2"][0] == 5 / 8  # 12 21 23 34 45
    assert "25.0 % (0.0 to 50.0)" in report({"one": found})


@pytest.mark.parametrize("wrong", [{"num_prompts": 0}, {"new_tokens": 0}, {"top_p": 0.0}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        ContinuationConfig(**wrong)

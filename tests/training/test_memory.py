"""What a step costs, by settings."""

import os

import pytest

from selfsup.data.plan import Plan, Stage
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.objectives import Joint, MaskedTokens, SentenceOrder
from selfsup.optim.optimizers import OptimConfig
from selfsup.training.batches import Share, Steps
from selfsup.training.memory import in_fresh_process, step_cost


@pytest.mark.slow
def test_checkpointing_and_accumulation_save_what_they_should(tiny_corpus, tiny_tokenizer):
    assert in_fresh_process(os.getpid) != os.getpid()
    config = TextEncoderConfig(
        vocab_size=384, hidden_size=128, num_hidden_layers=6, num_attention_heads=2, intermediate_size=512,
        pad_token_id=tiny_tokenizer.pad_token_id,
    )  # fmt: skip
    objective = Joint({"tokens": MaskedTokens(), "order": SentenceOrder()})
    objective.bind(tiny_tokenizer, config)
    plan = Plan(tiny_corpus, [(0, len(tiny_corpus.tokens))], stages=[Stage(64, 128)])
    peaks = {}
    for micro_batch_size in (128, 16):
        for checkpointing in (False, True):
            batches = Steps(plan, objective, Share(0, 1, micro_batch_size), None, 0)[0]
            assert len(batches) == 128 // micro_batch_size
            found = in_fresh_process(step_cost, objective, config, batches, OptimConfig(), checkpointing)
            peaks[micro_batch_size, checkpointing] = found[0]
    print(f"\npeak GiB by (rows of a pass, checkpointing): {peaks}")
    # What checkpointing keeps of a block is its input; without it at least the four inputs of its matrices stay, of
    # which the last is four times as wide, and the queries, keys and values.
    saved = 5 * (128 * 64) * 128 * (1 + 1 + 1 + 4 + 3 - 1) * 4 / 2**30
    assert peaks[128, False] - peaks[128, True] > saved
    assert peaks[16, False] < peaks[128, False] - saved
    assert peaks[16, True] < peaks[16, False]

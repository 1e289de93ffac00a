"""What rows have in common is read once, and no answer changes."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from selfsup.generation import scoring
from selfsup.generation.scoring import Row, score
from selfsup.models.text_decoder import TextDecoderForCausalLM
from selfsup.models.text_decoder_config import TextDecoderConfig

SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def made(kind: str):
    torch.manual_seed(0)
    if kind == "ours":
        return TextDecoderForCausalLM(TextDecoderConfig(vocab_size=64, initializer_range=0.5, **SIZE))
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(vocab_size=64, initializer_range=0.5, **SIZE))
    config = GPT2Config(vocab_size=64, n_positions=64, n_embd=16, n_layer=2, n_head=2, initializer_range=0.5)
    return GPT2LMHeadModel(config)


@pytest.fixture(params=["ours", "llama", "gpt2"])
def model(request):
    return made(request.param).eval()


def prompts(shared: int) -> list[Row]:
    """Seven of 1 to 6 tokens after some that all begin with; three pairs are the same but for what is asked."""
    begin = np.random.default_rng(0).integers(64, size=shared).tolist()
    rows = []
    for number in range(7):
        more = np.random.default_rng((1, number // 2)).integers(64, size=1 + number // 2 * 2 % 7).tolist()
        length = shared + len(more)
        rows.append(Row(begin + more, range(shared - 1, length), [(number + 3 * n) % 64 for n in range(len(more) + 1)]))
    return rows


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_a_shared_beginning_changes_nothing(model, batch_size, monkeypatch):
    rows = prompts(30)
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda _, args, fields: sizes.append(fields["input_ids"].numel()), with_kwargs=True)
    shared = score(model, rows, pad_id=None, batch_size=batch_size)
    read = sum(sizes)
    sizes.clear()
    monkeypatch.setattr(scoring, "SHARED", 1000)
    alone = [score(model, [row], pad_id=None, batch_size=1)[0] for row in rows]
    assert read < sum(sizes) / (1 if batch_size == 1 else 1.5)
    for one, other in zip(shared, alone, strict=True):
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-4)
        assert (one.best == other.best).all()


def test_what_is_asked_of_a_beginning_is_answered(model):
    """A row that asks within what all begin with; and rows that are the same throughout."""
    ids = np.random.default_rng(0).integers(64, size=40).tolist()
    rows = [Row(ids[:30], range(30), ids[1:31]), Row(ids[:25], range(5, 25), ids[6:26]), Row(ids[:30], [20], [7])]
    found = score(model, rows, pad_id=None, batch_size=4)
    with torch.no_grad():
        table = model(torch.tensor([ids])).logits[0].log_softmax(-1).numpy()
    np.testing.assert_allclose(found[0].log_probs, table[np.arange(30), ids[1:31]], atol=1e-4)
    np.testing.assert_allclose(found[1].log_probs, table[np.arange(5, 25), ids[6:26]], atol=1e-4)
    np.testing.assert_allclose(found[2].log_probs, table[[20], [7]], atol=1e-4)

"""A decoder sees no future, keeps what it has read, and leaves packed and padded neighbours alone."""

import json
import os
import subprocess
import sys

import pytest
import torch
from torch.nn.functional import cross_entropy

import selfsup.models  # noqa: F401 - Auto classes know ours
from selfsup.models.attention import LONGEST_WRITTEN_OUT
from selfsup.models.text_decoder import (
    TextDecoderConfig,
    TextDecoderForCausalLM,
    TextDecoderForSequenceClassification,
    TextDecoderModel,
)


def decoder(kind=TextDecoderForCausalLM, **fields):
    torch.manual_seed(0)
    size = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    fields = {"intermediate_size": 32, "max_position_embeddings": 48, "zero_init_output": False} | fields
    model = kind(TextDecoderConfig(**size, **fields, initializer_range=0.5))
    return model.eval()


@pytest.fixture
def ids():
    return torch.randint(5, 64, (3, 12), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_no_token_sees_what_follows(ids, implementation):
    model = decoder()
    model.set_attn_implementation(implementation)
    changed = ids.clone()
    changed[:, 7] = (ids[:, 7] + 1) % 64
    one, other = model(input_ids=ids).logits, model(input_ids=changed).logits
    torch.testing.assert_close(one[:, :7], other[:, :7])
    assert (one[:, 7:] - other[:, 7:]).abs().amax(dim=(0, 2)).min() > 1e-3  # and all that follows does see it


def test_attention_written_out_is_the_same(ids):
    model, written = decoder(), decoder()
    written.set_attn_implementation("eager")
    torch.testing.assert_close(model(input_ids=ids).logits, written(input_ids=ids).logits)
    seen = written(input_ids=ids, output_attentions=True).attentions[1]
    assert torch.equal(seen, seen.tril())
    torch.testing.assert_close(seen.sum(dim=-1), torch.ones(3, 2, 12))


def test_short_rows_of_bfloat16_are_causal_too(ids):
    """On a CPU their attention is written out by us, where torch gives no mask."""
    assert ids.shape[1] <= LONGEST_WRITTEN_OUT
    model = decoder().train()
    with torch.autocast("cpu", torch.bfloat16):
        narrow = model(input_ids=ids).logits
    torch.testing.assert_close(narrow.float(), model(input_ids=ids).logits, atol=0.4, rtol=0.1)


def test_a_cache_changes_nothing(ids):
    model = decoder()
    whole = model(input_ids=ids, use_cache=False)
    assert whole.past_key_values is None
    first = model(input_ids=ids[:, :5])
    second = model(input_ids=ids[:, 5:11], past_key_values=first.past_key_values)
    third = model(input_ids=ids[:, 11:], past_key_values=second.past_key_values)
    parts = torch.cat([part.logits for part in (first, second, third)], dim=1)
    torch.testing.assert_close(parts, whole.logits)
    assert third.past_key_values.get_seq_length() == 12


def test_sequences_of_a_row_do_not_meet(ids):
    model = decoder()
    row = torch.cat([ids[0, :5], ids[1, :4], torch.zeros(2, dtype=torch.long)])[None]
    sequences = torch.tensor([[1] * 5 + [2] * 4 + [0] * 2])
    positions = torch.tensor([[*range(5), *range(4), 0, 0]])
    packed = model(input_ids=row, sequence_ids=sequences, position_ids=positions).logits
    assert packed.isfinite().all()
    torch.testing.assert_close(packed[:, :5], model(input_ids=ids[:1, :5]).logits)
    torch.testing.assert_close(packed[:, 5:9], model(input_ids=ids[1:2, :4]).logits)


@pytest.mark.parametrize("left", [True, False])
def test_padding_changes_nothing(ids, left):
    model = decoder()
    padding = torch.zeros(1, 4, dtype=torch.long)
    parts = [padding, ids[:1]] if left else [ids[:1], padding]
    real = torch.cat(parts, dim=1) != 0
    logits = model(input_ids=torch.cat(parts, dim=1), attention_mask=real.long()).logits
    torch.testing.assert_close(logits[real], model(input_ids=ids[:1]).logits[0])


def test_labels_are_shifted_and_chosen_places_are_those_of_all(ids):
    model = decoder(logit_cap=5.0)
    output = model(input_ids=ids, labels=ids)
    expected = cross_entropy(output.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(output.loss, expected)
    assert output.logits.abs().max() < 5
    places = torch.tensor([0, 13, 35])
    torch.testing.assert_close(model(input_ids=ids, logit_positions=places).logits, output.logits.flatten(0, 1)[places])
    torch.testing.assert_close(model(input_ids=ids, logits_to_keep=2).logits, output.logits[:, -2:])
    with pytest.raises(ValueError, match="labels are of all tokens"):
        model(input_ids=ids, labels=ids, logits_to_keep=1)


def test_a_fresh_decoder_starts_as_the_identity(ids):
    model = decoder(TextDecoderModel, zero_init_output=True)
    expected = model.norm(model.embeddings_norm(model.embeddings(ids)))
    torch.testing.assert_close(model(input_ids=ids).last_hidden_state, expected)
    assert model.blocks[0].feed_forward.input.weight.std() > 0.3


def test_a_class_is_told_from_the_last_real_token(ids):
    model = decoder(TextDecoderForSequenceClassification, num_labels=3)
    alone = model(input_ids=ids[:1, :6]).logits
    padded = torch.cat([ids[:1, :6], torch.zeros(1, 3, dtype=torch.long)], dim=1)
    other_side = padded.roll(3, dims=1)
    for batch in (padded, other_side):
        torch.testing.assert_close(model(input_ids=batch, attention_mask=(batch != 0).long()).logits, alone)
    torch.testing.assert_close(model(input_ids=padded).logits, alone)
    loss = model(input_ids=ids, labels=torch.tensor([0, 1, 2])).loss
    torch.testing.assert_close(loss, cross_entropy(model(input_ids=ids).logits, torch.tensor([0, 1, 2])))


def test_more_tokens_than_positions_are_refused(ids):
    model = decoder(max_position_embeddings=13)
    with pytest.raises(ValueError, match="reads at most 13 tokens"):
        model(input_ids=torch.cat([ids, ids], dim=1))
    with pytest.raises(ValueError, match="but 15 came"):
        model(input_ids=ids[:, :3], past_key_values=model(input_ids=ids).past_key_values)
    with pytest.raises(ValueError, match="exactly one"):
        model()
    with pytest.raises(ValueError, match="several sequences"):
        model(input_ids=ids, sequence_ids=torch.ones_like(ids), use_cache=True)


def test_gradients_reach_every_weight(ids):
    model = decoder().train()
    model(input_ids=ids, labels=ids).loss.backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())
    kept = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    model.activation_checkpointing_enable()
    model(input_ids=ids, labels=ids).loss.backward()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, kept[name])


@pytest.mark.parametrize(
    ("fields", "said"), [({"hidden_size": 18}, "even multiple"), ({"logit_cap": 0.0}, "logit_cap must be above 0")]
)
def test_shapes_that_cannot_be(fields, said):
    with pytest.raises(ValueError, match=said):
        TextDecoderConfig(**fields)


STRANGER = """
import sys
sys.modules["selfsup"] = None  # importing it would fail
import json, transformers

folder = sys.argv[1]
write = transformers.pipeline("text-generation", folder, trust_remote_code=True)
print(json.dumps(write("The miller", max_new_tokens=8, do_sample=False)[0]["generated_text"]))
print(json.dumps(transformers.AutoModelForSequenceClassification.from_pretrained(
    folder, trust_remote_code=True).decoder.embeddings.weight.tolist()))
"""


@pytest.mark.slow
def test_a_stranger_writes_with_it(tiny_tokenizer, tmp_path):
    model = decoder(TextDecoderForCausalLM)
    model.resize_token_embeddings(len(tiny_tokenizer))
    model.generation_config.pad_token_id = tiny_tokenizer.pad_token_id
    model.save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=tmp_path, stdin=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *_, written, weights = done.stdout.splitlines()
    asked = tiny_tokenizer("The miller", return_tensors="pt")
    expected = model.generate(
        asked["input_ids"], attention_mask=asked["attention_mask"], max_new_tokens=8, do_sample=False
    )
    assert json.loads(written) == tiny_tokenizer.decode(expected[0], skip_special_tokens=True)
    assert json.loads(weights) == model.decoder.embeddings.weight.tolist()

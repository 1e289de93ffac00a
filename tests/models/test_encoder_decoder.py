"""An encoder-decoder sees no future, keeps what it has read, copies by the rule, and leaves padding alone."""

import json
import os
import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig

import selfsup.models  # noqa: F401 - Auto classes know ours
from selfsup.models.attention import CrossAttention
from selfsup.models.copying import CopyGate
from selfsup.models.encoder_decoder import (
    TextEncoderDecoderConfig,
    TextEncoderDecoderForMaskedLM,
    TextEncoderDecoderForSeq2SeqLM,
)
from selfsup.training.export import name_tokens
from selfsup.training.processors import forget_segments

KINDS = {
    "last": {},
    "layerwise": {"cross_attention": "layerwise"},
    "by content": {"rotary_cross_attention": False},
    "copy": {"copy_gate": True},
}


def model_of(**fields):
    torch.manual_seed(0)
    size: dict = {"vocab_size": 64, "hidden_size": 16, "num_encoder_layers": 2, "num_decoder_layers": 2}
    size |= {"num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 48, "dropout": 0.0}
    ids = {"bos_token_id": 1, "decoder_start_token_id": 1, "eos_token_id": 2}
    rest = {"zero_init_output": False, "initializer_range": 0.5}
    config = TextEncoderDecoderConfig(**size | ids | rest | fields)
    kind = TextEncoderDecoderForMaskedLM if config.parallel else TextEncoderDecoderForSeq2SeqLM
    return kind(config).eval()


def draw(*shape, seed=0):
    return torch.randint(5, 64, shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def source():
    return draw(3, 9)


@pytest.fixture
def target():
    return draw(3, 7, seed=1)


@pytest.mark.parametrize("fields", KINDS.values(), ids=KINDS)
def test_no_token_sees_what_follows_and_all_see_the_source(source, target, fields):
    model = model_of(**fields)
    logits = model(input_ids=source, decoder_input_ids=target).logits
    changed = target.clone()
    changed[:, 4] = (target[:, 4] + 1) % 64
    other = model(input_ids=source, decoder_input_ids=changed).logits
    torch.testing.assert_close(logits[:, :4], other[:, :4])
    assert (logits[:, 4:] - other[:, 4:]).abs().amax(dim=(0, 2)).min() > 1e-4
    changed = source.clone()
    changed[:, 8] = (source[:, 8] + 1) % 64
    other = model(input_ids=changed, decoder_input_ids=target).logits
    assert (logits - other).abs().amax(dim=2).min() > 1e-4


def test_in_a_parallel_model_all_tokens_see_each_other(source, target):
    model = model_of(parallel=True)
    changed = target.clone()
    changed[:, 4] = (target[:, 4] + 1) % 64
    one, other = (model(input_ids=source, decoder_input_ids=ids) for ids in (target, changed))
    assert (one.logits - other.logits).abs().amax(dim=2).min() > 1e-4
    torch.testing.assert_close(one.length_logits, other.length_logits)  # told from the source alone
    assert one.length_logits.shape == (3, 49)


@pytest.mark.parametrize("fields", [*KINDS.values(), {"parallel": True}], ids=[*KINDS, "parallel"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_padding_changes_nothing(source, target, fields, implementation):
    model = model_of(**fields)
    model.set_attn_implementation(implementation)
    source, target = source[:1], target[:1]
    alone = model(input_ids=source, decoder_input_ids=target)
    padded = [torch.cat([ids, torch.full((1, 4), 7)], dim=1) for ids in (source, target)]
    masks = [torch.cat([torch.ones_like(ids), torch.zeros(1, 4, dtype=torch.long)], dim=1) for ids in (source, target)]
    beside = model(
        input_ids=padded[0], attention_mask=masks[0], decoder_input_ids=padded[1], decoder_attention_mask=masks[1]
    )
    torch.testing.assert_close(beside.logits[:, :7], alone.logits, atol=1e-5, rtol=1e-4)
    if model.config.parallel:
        torch.testing.assert_close(beside.length_logits, alone.length_logits)


@pytest.mark.parametrize("fields", KINDS.values(), ids=KINDS)
def test_a_cache_changes_nothing(source, target, fields):
    model = model_of(**fields)
    mask = torch.ones_like(source)
    mask[1, 5:] = 0
    whole = model(input_ids=source, attention_mask=mask, decoder_input_ids=target).logits
    encoded = model.get_encoder()(input_ids=source, attention_mask=mask)
    cache, parts = None, []
    for ids in target.split([2, 1, 4], dim=1):
        found = model(
            encoder_outputs=encoded, attention_mask=mask, decoder_input_ids=ids, past_key_values=cache, use_cache=True
        )
        cache = found.past_key_values
        parts.append(found.logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("fields", KINDS.values(), ids=KINDS)
def test_beams_of_transformers_carry_all_that_the_encoder_gave(source, fields):
    """Rows are repeated for beams: also levels and ids of the source."""
    model = model_of(**fields)
    options = {"max_new_tokens": 6, "do_sample": False, "num_beams": 3}
    together = model.generate(input_ids=source, **options)
    for row, ids in enumerate(source):
        (alone,) = model.generate(input_ids=ids[None], **options)
        assert alone.tolist() == together[row, : len(alone)].tolist()


def test_chosen_positions_and_labels(source, target):
    for fields in ({}, {"copy_gate": True}):
        model = model_of(**fields)
        whole = model(input_ids=source, decoder_input_ids=target).logits
        places = torch.tensor([0, 5, 13, 20])
        chosen = model(input_ids=source, decoder_input_ids=target, logit_positions=places).logits
        torch.testing.assert_close(chosen, whole.flatten(0, 1)[places])
        labels = target.clone()
        labels[2, 3:] = -100
        read = torch.cat([torch.ones(3, 1, dtype=torch.long), target[:, :-1]], dim=1)
        read[2, 4:] = 0
        logits = model(input_ids=source, decoder_input_ids=read).logits
        expected = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
        torch.testing.assert_close(model(input_ids=source, labels=labels).loss, expected)


def test_what_is_copied_is_known_by_its_ids(source, target):
    model = model_of(copy_gate=True)
    vectors = torch.zeros(3, 7, 16)
    with pytest.raises(ValueError, match="give input_ids, not inputs_embeds"):
        model(inputs_embeds=vectors, decoder_input_ids=target)
    with pytest.raises(ValueError, match="give decoder_input_ids, not decoder_inputs_embeds"):
        model(input_ids=source, decoder_inputs_embeds=vectors)


def test_cross_attention_is_that_of_torch():
    """On copied weights, without what torch's layer does not know."""
    config = model_of(qk_norm=False).config
    ours = CrossAttention(config, 0).eval()
    theirs = nn.MultiheadAttention(16, 2, bias=False, batch_first=True).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.out_proj.weight.copy_(ours.output.weight)
    hidden, read = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    visible = torch.ones(2, 7, dtype=torch.bool)
    visible[1, 4:] = False
    mixed, weights = ours(hidden, read, visible[:, None, None], output_attentions=True)
    expected, seen = theirs(hidden, read, read, key_padding_mask=~visible, average_attn_weights=False)
    torch.testing.assert_close(mixed, expected)
    torch.testing.assert_close(weights, seen)


def test_layers_look_at_layers(source, target):
    """The first block of the decoder does not see what the encoder's second block does."""
    model = model_of(cross_attention="layerwise", num_decoder_layers=2)
    with torch.no_grad():
        for part in model.model.decoder.blocks[1].cross_attention.parameters():
            part.zero_()  # the second block of the decoder looks at nothing
    before = model(input_ids=source, decoder_input_ids=target).logits
    with torch.no_grad():
        model.model.encoder.blocks[1].feed_forward.output.weight.zero_()
    torch.testing.assert_close(model(input_ids=source, decoder_input_ids=target).logits, before)


def test_the_copy_gate_by_hand():
    """Gate a half, two source tokens of which the pointer gives 3/4 and 1/4, a flat vocabulary of four."""
    config = TextEncoderDecoderConfig(vocab_size=4, hidden_size=4, num_attention_heads=2)
    gate = CopyGate(config)
    with torch.no_grad():
        for part in gate.parameters():
            part.zero_()
        gate.query.weight.copy_(torch.eye(4))
        gate.key.weight.copy_(torch.eye(4))
    hidden = torch.tensor([[[2.0, 0.0, 0.0, 0.0]]])
    source = torch.tensor([[[torch.log(torch.tensor(3.0)), 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]]])
    ids, mask, written = torch.tensor([[2, 3, 1]]), torch.tensor([[1, 1, 0]]), torch.tensor([[0]])
    found = gate(hidden, source, ids, mask, written, lambda one: torch.zeros(1, 1, 4))
    expected = torch.tensor([1 / 8, 1 / 8, 1 / 8 + 3 / 8, 1 / 8 + 1 / 8])
    torch.testing.assert_close(found[0, 0].exp(), expected)
    found[0, 0, 0].backward()  # a token that is not in the source: no nan
    assert all(torch.isfinite(part.grad).all() for part in gate.parameters() if part.grad is not None)


def test_the_next_piece_is_found_behind_the_one_that_was_copied():
    """Pieces of which the model knows nothing: all their vectors are nothing."""
    gate = CopyGate(TextEncoderDecoderConfig(vocab_size=5, hidden_size=4, num_attention_heads=2))
    with torch.no_grad():
        for part in gate.parameters():
            part.zero_()
        gate.behind.bias.fill_(20)
    source, nothing = torch.zeros(1, 3, 4), lambda one: torch.zeros(*one.shape[:-1], 5)
    written = torch.tensor([[1, 2, 4]])
    found = gate(torch.zeros(1, 3, 4), source, torch.tensor([[1, 2, 3]]), None, written, nothing).exp()
    torch.testing.assert_close(found[0, 0], torch.tensor([1.0, 1.0, 6.0, 1.0, 1.0]) / 10, atol=1e-3, rtol=0)
    torch.testing.assert_close(found[0, 1], torch.tensor([1.0, 1.0, 1.0, 6.0, 1.0]) / 10, atol=1e-3, rtol=0)
    third = torch.tensor([3.0, 8.0, 8.0, 8.0, 3.0]) / 30  # it stands nowhere: all places alike
    torch.testing.assert_close(found[0, 2], third, atol=1e-3, rtol=0)
    padded, mask = torch.tensor([[4, 1, 2, 3]]), torch.tensor([[0, 1, 1, 1]])
    of_padded = gate(torch.zeros(1, 3, 4), torch.ones(1, 4, 4), padded, mask, written, nothing).exp()
    torch.testing.assert_close(of_padded, found)  # nothing stands before the first token, padded or not


def test_what_is_copied_twice_adds_up(source, target):
    logits = model_of(copy_gate=True)(input_ids=source, decoder_input_ids=target).logits
    torch.testing.assert_close(logits.exp().sum(dim=-1), torch.ones(3, 7))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cross_attention": "layerwise", "num_decoder_layers": 3}, "as many blocks on both sides"),
        ({"parallel": True, "copy_gate": True}, "writes token by token"),
        ({"hidden_size": 18, "num_attention_heads": 4}, "even multiple"),
    ],
)
def test_refuses_shapes_that_cannot_be(fields, said):
    with pytest.raises(ValueError, match=said):
        model_of(**fields)


def test_refuses_what_cannot_be_read(source, target):
    model = model_of()
    with pytest.raises(ValueError, match="a target has at most 48 tokens"):
        model(input_ids=source, decoder_input_ids=draw(3, 49))
    with pytest.raises(ValueError, match="a source has at most 48 tokens"):
        model(input_ids=draw(3, 49), decoder_input_ids=target)
    with pytest.raises(ValueError, match="exactly one of ids and vectors of the source"):
        model(decoder_input_ids=target)
    with pytest.raises(ValueError, match="needs a model with parallel=True"):
        TextEncoderDecoderForMaskedLM(model.config)


STRANGER = """
import sys
sys.modules["selfsup"] = None  # importing it would fail
import json, transformers

folder = sys.argv[1]
tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, trust_remote_code=True)
asked = tokenizer(["The miller sold the clock.", "At noon."], padding=True, return_tensors="pt")
print(json.dumps(model.generate(**asked, max_new_tokens=8, num_beams=2, do_sample=False).tolist()))
"""


@pytest.mark.slow
def test_a_stranger_writes_with_it(tiny_tokenizer, tmp_path):
    tiny_tokenizer = deepcopy(tiny_tokenizer)
    model = model_of(copy_gate=True, cross_attention="layerwise")
    name_tokens(model.config, tiny_tokenizer)
    forget_segments(tiny_tokenizer)
    model.resize_token_embeddings(len(tiny_tokenizer))
    model.generation_config = GenerationConfig.from_model_config(model.config)
    model.save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=tmp_path, stdin=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    asked = tiny_tokenizer(["The miller sold the clock.", "At noon."], padding=True, return_tensors="pt")
    expected = model.generate(
        input_ids=asked["input_ids"], attention_mask=asked["attention_mask"], max_new_tokens=8, num_beams=2,
        do_sample=False,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == expected.tolist()

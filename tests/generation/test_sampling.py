"""What is written is what a plain reference writes, token for token, and no way of computing it changes that."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import normalizers
from transformers import GPT2Config, GPT2LMHeadModel, TextIteratorStreamer

import selfsup.models  # noqa: F401 - Auto classes know ours
from selfsup.generation.writing import WritingConfig, num_unknown, prompt_ids, write
from selfsup.models import stepwise, text_decoder
from selfsup.models.text_decoder import TextDecoderConfig, TextDecoderForCausalLM
from selfsup.tokenization.characters import train_characters

NEW = 12
WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "temperature": {"do_sample": True, "temperature": 0.7, "top_k": 0},
    "top_k": {"do_sample": True, "top_k": 5},
    "top_p": {"do_sample": True, "top_p": 0.8, "top_k": 0},
    "penalty": {"do_sample": False, "repetition_penalty": 1.7},
    "all": {"do_sample": True, "temperature": 1.3, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.2},
}


def decoder(**fields):
    torch.manual_seed(0)
    size = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    fields = size | {"intermediate_size": 32, "max_position_embeddings": 48, "zero_init_output": False} | fields
    return TextDecoderForCausalLM(TextDecoderConfig(**fields, initializer_range=0.5)).eval()


@pytest.fixture
def ids():
    return torch.randint(5, 64, (3, 8), generator=torch.Generator().manual_seed(0))


def generate(model, ids, mask=None, *, new=NEW, **options):
    mask = torch.ones_like(ids) if mask is None else mask
    torch.manual_seed(11)
    return model.generate(ids, attention_mask=mask, max_new_tokens=new, pad_token_id=0, **options)


@torch.no_grad()
def reference(model, ids, *, do_sample, temperature=1.0, top_k=50, top_p=1.0, repetition_penalty=1.0):
    """Everything computed anew for every token, and one row filtered after the other; 50 is transformers' default."""
    torch.manual_seed(11)
    for _ in range(NEW):
        scores = model(input_ids=ids, use_cache=False).logits[:, -1].float()
        for row, before in zip(scores, ids.tolist(), strict=True):
            for token in set(before):
                row[token] = row[token] * repetition_penalty if row[token] < 0 else row[token] / repetition_penalty
            if not do_sample:
                continue
            row /= temperature
            order = row.argsort(descending=True).tolist()
            if top_k:
                row[order[top_k:]] = -torch.inf
            sorted_, reached = row.softmax(dim=-1)[order].tolist(), 0.0
            for place, token in enumerate(order):
                if reached >= top_p:
                    row[token] = -torch.inf
                reached += sorted_[place]
        chosen = torch.multinomial(scores.softmax(dim=-1), 1) if do_sample else scores.argmax(dim=-1, keepdim=True)
        ids = torch.cat([ids, chosen], dim=-1)
    return ids


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fields", [{}, {"logit_cap": 4.0, "qk_norm": False, "activation": "geglu"}], ids=["", "cap"])
def test_writes_what_the_reference_writes(ids, way, fields):
    model = decoder(**fields)
    expected = reference(model, ids, **WAYS[way])
    assert torch.equal(generate(model, ids, **WAYS[way]), expected)
    assert torch.equal(generate(model, ids, use_cache=False, **WAYS[way]), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_our_loop_scores_as_the_model_does(ids, dtype, implementation):
    model = decoder(logit_cap=6.0).to(dtype)
    model.set_attn_implementation(implementation)
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    with torch.no_grad():
        read = model(input_ids=ids, attention_mask=mask)
        step = stepwise.Stepwise(model, read.past_key_values, 11, mask)
        for _ in range(3):
            following = read.logits[:, -1].argmax(dim=-1)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            read = model(following[:, None], attention_mask=mask, past_key_values=read.past_key_values)
            close = (2e-5, 1e-4) if dtype == torch.float32 else (0.15, 0.02)
            torch.testing.assert_close(step(following), read.logits[:, -1], atol=close[0], rtol=close[1])


@pytest.mark.parametrize("way", ["greedy", "all"])
def test_our_loop_is_that_of_transformers(ids, way, monkeypatch):
    """Rows end on their own, and then are padded."""
    model = decoder()
    expected = generate(model, ids, **WAYS[way])
    ends = [int(expected[0, 10]), int(expected[1, 13])]
    ours = generate(model, ids, eos_token_id=ends, **WAYS[way])
    assert (ours[0, 11:] == 0).all()
    monkeypatch.setattr(text_decoder, "is_plain", lambda cache: False)
    assert torch.equal(generate(model, ids, eos_token_id=ends, **WAYS[way]), ours)


def test_our_loop_is_taken_where_it_may_be(ids, monkeypatch):
    taken = []

    def counted(*given):
        taken.append(1)
        return stepwise.Stepwise(*given)

    monkeypatch.setattr(text_decoder, "Stepwise", counted)
    model = decoder()
    generate(model, ids)
    assert len(taken) == 1
    whole = generate(model, ids, return_dict_in_generate=True, output_scores=True)
    assert len(whole.scores) == NEW
    generate(model, ids, num_beams=2)
    cache = model(ids[:, :-1]).past_key_values
    assert torch.equal(generate(model, ids, past_key_values=cache), whole.sequences)
    assert cache.get_seq_length() == ids.shape[1] + NEW - 1  # somebody else's grows as transformers has it
    assert len(taken) == 1


@pytest.mark.parametrize("use_cache", [True, False])
def test_padding_on_the_left_changes_nothing(ids, use_cache):
    model = decoder()
    padded = torch.cat([torch.zeros(1, 4, dtype=torch.long), ids[1:2, :4]], dim=1)
    batch = torch.cat([ids[:1], padded])
    written = generate(model, batch, (batch != 0).long(), use_cache=use_cache, do_sample=False)
    assert torch.equal(written[0], generate(model, ids[:1], do_sample=False)[0])
    assert torch.equal(written[1, 4:], generate(model, ids[1:2, :4], do_sample=False)[0])


def test_longer_than_the_model_reads_is_refused(ids):
    model = decoder(max_position_embeddings=10)
    with pytest.raises(ValueError, match="prompt has 24: cut it to its last 9"):
        generate(model, ids.reshape(1, -1))
    with pytest.raises(ValueError, match="prompt and new tokens are 20: set max_new_tokens=2"):
        generate(model, ids)
    assert generate(model, ids, new=2).shape == (3, 10)


def test_text_comes_as_it_is_written(tiny_tokenizer):
    model = decoder(vocab_size=384)
    prompt = torch.tensor([prompt_ids(tiny_tokenizer, "The miller")])
    streamer = TextIteratorStreamer(tiny_tokenizer, skip_special_tokens=True)
    expected = generate(model, prompt, do_sample=False, streamer=streamer)[0]
    assert "".join(streamer) == tiny_tokenizer.decode(expected, skip_special_tokens=True)


@pytest.mark.parametrize("theirs", [True, False])
def test_continuations_of_any_model(tiny_tokenizer, theirs, capsys):
    model = decoder(vocab_size=384)
    if theirs:
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=384, n_embd=16, n_layer=1, n_head=2, n_positions=48)).eval()
    several = WritingConfig(max_new_tokens=6, num_samples=3)
    texts = write(model, tiny_tokenizer, "The miller", several)
    assert len(set(texts)) == 3
    assert texts == write(model, tiny_tokenizer, "The miller", several)
    alone = write(model, tiny_tokenizer, "The miller", WritingConfig(max_new_tokens=6, temperature=0), stream=True)
    assert f"The miller{alone[0]}" in capsys.readouterr().out  # with the space between them
    with pytest.raises(ValueError, match=r"max_new_tokens to 4\d or fewer"):
        write(model, tiny_tokenizer, "The miller", WritingConfig(max_new_tokens=48))
    with pytest.raises(ValueError, match="cut it, so that there is room"):
        write(model, tiny_tokenizer, "The miller sold. " * 20, WritingConfig(max_new_tokens=8))


def test_a_prompt_is_not_ended(tiny_tokenizer):
    framed = tiny_tokenizer("The miller")["input_ids"]
    assert framed[-1] == tiny_tokenizer.sep_token_id
    assert prompt_ids(tiny_tokenizer, "The miller") == framed[:-1]
    assert prompt_ids(tiny_tokenizer, "") == [tiny_tokenizer.cls_token_id]


def test_what_looks_special_in_a_prompt_is_text(tiny_tokenizer):
    ids = prompt_ids(tiny_tokenizer, "a [MASK] [SEP]")
    assert not {tiny_tokenizer.mask_token_id, tiny_tokenizer.sep_token_id} & set(ids)
    assert tiny_tokenizer.decode(ids, skip_special_tokens=True) == "a [MASK] [SEP]"


def test_what_a_tokenizer_does_not_know_is_told(tmp_path, capsys):
    words, model = train_characters(["to be"], tmp_path), decoder()
    assert num_unknown(words, "to bo\u03b1t\u03b2") == 2
    write(model, words, "to be", WritingConfig(max_new_tokens=2))
    assert not capsys.readouterr().err
    write(model, words, "to bo\u03b1t\u03b2", WritingConfig(max_new_tokens=2))
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line == "the tokenizer does not know 2 piece(s) of the prompt 'to bo\u03b1t\u03b2': the model reads [UNK] there"
    )
    with pytest.raises(ValueError, match="knows a piece of is wanted, but '\u03b1 \u03b2' came"):
        prompt_ids(words, "\u03b1 \u03b2")
    words.backend_tokenizer.normalizer = normalizers.Replace("\u200b", "")  # as many tokenizers do
    assert prompt_ids(words, "to\u200b be") == prompt_ids(words, "to be")
    with pytest.raises(ValueError, match=r"knows a piece of is wanted, but '\\u200b' came"):
        prompt_ids(words, "\u200b")
    assert words.convert_ids_to_tokens(prompt_ids(words, " ")) == ["[CLS]", " "]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"temperature": -1}, "temperature must be at least 0"),
        ({"top_p": 0.0}, "top_p must be above 0"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ({"temperature": 0, "num_samples": 2}, "would be the same"),
    ],
)
def test_wishes_that_cannot_be(fields, said):
    with pytest.raises(ValueError, match=said):
        WritingConfig(**fields)


@pytest.mark.slow
def test_the_command(tiny_tokenizer, tmp_path, pretrained):
    folder = tmp_path / "model"
    decoder(vocab_size=384).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)

    def run(*flags, given=""):
        script = Path(__file__).parents[2] / "scripts" / "generate.py"
        return subprocess.run(
            [sys.executable, str(script), *map(str, flags)], input=given, capture_output=True, text=True, check=False
        )

    done = run("--model", folder, "--max_new_tokens", 4, given="The miller\nThe queen\n")
    assert done.returncode == 0, done.stderr
    assert "The miller" in done.stdout
    assert "The queen" in done.stdout
    refused = run("--model", pretrained, "--prompt", "The miller")
    assert refused.returncode == 1
    assert "causal model" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert json.loads((folder / "config.json").read_text())["model_type"] == "selfsup_text_decoder"

"""Likelihoods equal plain loops over transformers' own models, whatever is batched with what."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from selfsup.generation import scoring
from selfsup.generation.likelihood import beginning, log_likelihood, pseudo_log_likelihood, running_log_probs

PAIRS = [
    ("The queen found", " a wooden box."),
    ("", "The queen found a wooden box."),
    ("The qu", "een"),  # "ue" lies on both sides
    ("The grey cat ", "watched the broken clock in the garden, and a stranger sold it"),
    ("Nobody knew why", "."),
    ("The judge hid the", " blue door after the storm without a word"),
]
TEXTS = ["The queen found a wooden box.", "Nobody!", "The night watch counted the apples, and her uncle admired it."]


def gpt2(vocab_size: int, positions: int = 48, dtype=torch.float32) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=vocab_size, n_embd=16, n_layer=2, n_head=2, n_positions=positions, initializer_range=0.5,
                   bos_token_id=None, eos_token_id=None)
    ).to(dtype).eval()  # fmt: skip


def ours(vocab_size: int):
    from selfsup.models.text_decoder import TextDecoderConfig, TextDecoderForCausalLM

    torch.manual_seed(0)
    return TextDecoderForCausalLM(
        TextDecoderConfig(vocab_size=vocab_size, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                          intermediate_size=32, max_position_embeddings=48, zero_init_output=False,
                          initializer_range=0.5)
    ).eval()  # fmt: skip


def bert(vocab_size: int, kind=BertForMaskedLM, positions: int = 48):
    torch.manual_seed(0)
    return kind(
        BertConfig(vocab_size=vocab_size, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                   intermediate_size=32, max_position_embeddings=positions, initializer_range=0.5)
    ).eval()  # fmt: skip


def of_words(words: str, **special: str) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words at spaces, that adds nothing of its own."""
    vocabulary = {word: number for number, word in enumerate(words.split())}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


@pytest.fixture
def decoder_tokenizer(tiny_tokenizer):
    """Frames a text as `[CLS] text`."""
    from copy import deepcopy

    from tokenizers.processors import TemplateProcessing

    tokenizer = deepcopy(tiny_tokenizer)
    cls = tokenizer.cls_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", cls)])
    tokenizer.bos_token = "[CLS]"
    return tokenizer


def plain(model, begin: list[int], tokenizer, context: str, continuation: str) -> tuple[float, bool, int]:
    """One pair, with logits of all positions."""
    encoded = tokenizer(context + continuation, add_special_tokens=False, return_offsets_mapping=True)
    ids = [*begin, *encoded["input_ids"]]
    own = sum(stop <= len(context) for _, stop in encoded["offset_mapping"])
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    places = range(len(begin) + own, len(ids))
    best = all(int(logits[i - 1].argmax()) == ids[i] for i in places)
    return float(sum(logits[i - 1, ids[i]] for i in places)), best, len(places)


@pytest.mark.parametrize("kind", [gpt2, ours])
def test_continuations_equal_a_plain_loop(kind, decoder_tokenizer):
    model = kind(len(decoder_tokenizer))
    assert beginning(decoder_tokenizer) == [decoder_tokenizer.cls_token_id]
    found = log_likelihood(model, decoder_tokenizer, PAIRS, batch_size=4)
    for pair, one in zip(PAIRS, found, strict=True):
        log_prob, best, count = plain(model, [decoder_tokenizer.cls_token_id], decoder_tokenizer, *pair)
        assert one.log_prob == pytest.approx(log_prob, abs=1e-5 * count)
        assert (one.greedy, one.num_tokens, one.num_cut) == (best, count, 0)
        assert one.num_bytes == len(pair[1])
    assert found[2].num_tokens == 2  # q, ue, en


@pytest.mark.parametrize("kind", [gpt2, ours])
@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_batches_and_order_change_nothing(kind, decoder_tokenizer, batch_size, monkeypatch):
    model = kind(len(decoder_tokenizer)).train()
    whole = log_likelihood(model, decoder_tokenizer, PAIRS, batch_size=3)
    monkeypatch.setattr(scoring, "CHUNK", 5 * len(decoder_tokenizer))
    monkeypatch.setattr(scoring, "LOGITS", 40 * len(decoder_tokenizer))
    turned = log_likelihood(model, decoder_tokenizer, PAIRS[::-1], batch_size=batch_size)[::-1]
    for one, other in zip(whole, turned, strict=True):
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-5)
        assert replace(one, log_prob=0) == replace(other, log_prob=0)
    assert model.training


def test_a_text_is_its_beginning_and_what_follows(decoder_tokenizer):
    model = gpt2(len(decoder_tokenizer))
    head, rest = "The queen found", " a wooden box."
    whole, first, second = log_likelihood(model, decoder_tokenizer, [("", head + rest), ("", head), (head, rest)])
    assert whole.log_prob == pytest.approx(first.log_prob + second.log_prob, abs=1e-5)
    assert whole.num_tokens == first.num_tokens + second.num_tokens


def test_greedy_is_what_the_model_would_write(decoder_tokenizer):
    model = gpt2(len(decoder_tokenizer))
    words = decoder_tokenizer("The queen found", return_tensors="pt")["input_ids"]
    written = model.generate(words, max_new_tokens=6, do_sample=False, pad_token_id=0)[0]
    rows = [scoring.Row(written[:-1].tolist(), range(2, len(written) - 1), written[3:].tolist())]
    (answers,) = scoring.score(model, rows, pad_id=0, batch_size=1)
    assert answers.best[words.shape[1] - 3 :].all()
    assert not answers.best.all()


def test_without_a_beginning_the_first_token_is_not_counted():
    tokenizer = of_words("? a b cc d")
    model = gpt2(5)
    assert beginning(tokenizer) == []
    first, second = log_likelihood(model, tokenizer, [("", "a b cc"), ("a", " b cc")])
    assert first == second
    assert (first.num_tokens, first.num_bytes) == (2, len(" b cc"))
    with pytest.raises(ValueError, match="'a' is one token, the context is empty, and the tokenizer has no bos_token"):
        log_likelihood(model, tokenizer, [("", "a")])


def test_bos_stands_before_a_text_where_the_tokenizer_puts_nothing():
    tokenizer = of_words("? a b <s>", bos_token="<s>")
    model = gpt2(4)
    (found,) = log_likelihood(model, tokenizer, [("", "a b")])
    assert found.log_prob == pytest.approx(plain(model, [3], tokenizer, "", "a b")[0], abs=1e-5)
    assert found.num_tokens == 2


def test_long_contexts_lose_their_head_and_it_is_said():
    tokenizer, model = of_words("? a b c d <s>", bos_token="<s>"), gpt2(6, positions=4)
    short, long = log_likelihood(model, tokenizer, [("a b c", " d a"), ("d c b a b c", " d a")])
    assert (short.num_cut, long.num_cut) == (0, 3)  # to predict the last one, b c and d are read, and one more
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[1, 2, 3, 4]])).logits[0].log_softmax(-1)
    assert short.log_prob == pytest.approx(float(logits[2, 4] + logits[3, 1]), abs=1e-5)
    with pytest.raises(ValueError, match=r"a continuation of at most 4 tokens is wanted, .* but one of 5 came"):
        log_likelihood(model, tokenizer, [("a", " b c d a b")])


def test_sums_are_made_in_float32_whatever_the_weights(decoder_tokenizer):
    model = gpt2(len(decoder_tokenizer), dtype=torch.bfloat16)
    (found,) = log_likelihood(model, decoder_tokenizer, PAIRS[3:4])
    ids = [*beginning(decoder_tokenizer), *decoder_tokenizer("".join(PAIRS[3]), add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
    places = range(len(ids) - found.num_tokens, len(ids))
    assert found.log_prob == pytest.approx(float(sum(logits[i - 1, ids[i]] for i in places)), rel=1e-4)
    assert found.log_prob != float(torch.tensor(found.log_prob, dtype=torch.bfloat16))


@pytest.mark.parametrize("stride", [None, 5, 1])
def test_long_texts_are_scored_once_in_windows(stride):
    model, limit = gpt2(11, positions=8), 8
    tokens = np.random.default_rng(0).integers(11, size=30)
    found, short = running_log_probs(model, [tokens, tokens[:3]], begin=[9], stride=stride, batch_size=3)
    whole, expected, step = [9, *tokens.tolist()], [], stride or limit
    for i in range(1, len(whole)):
        last = limit if i <= limit else limit + step * -(-(i - limit) // step)  # that its window scores
        head = max(0, min(last, len(whole) - 1) - limit)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([whole[head:i]])).logits[0, -1].log_softmax(-1)
        expected.append(float(logits[whole[i]]))
    assert found == pytest.approx(np.array(expected), abs=1e-5)
    assert short == pytest.approx(found[:3], abs=1e-5)
    bare, single = running_log_probs(model, [tokens, tokens[:1]], begin=[], stride=stride)
    assert np.isnan(single).tolist() == [True]
    assert np.isnan(bare).tolist() == [True] + [False] * 29


def plain_hidden(model, ids: list[int], groups: list[list[int]], mask_id: int) -> float:
    """Sum over words and their pieces; from the piece on, the word is hidden."""
    total = 0.0
    for group in groups:
        for number, place in enumerate(group):
            hidden = list(ids)
            for later in group[number:]:
                hidden[later] = mask_id
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([hidden])).logits[0, place].log_softmax(-1)
            total += float(logits[ids[place]])
    return total


def test_pseudo_likelihood_by_hand_with_wordpiece():
    """[CLS] the sou ##ven ##ir . [SEP]: with "sou" the two pieces behind it are hidden, with "##ir" nothing else."""
    from transformers import BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "sou", "##ven", "##ir", "."]
    tokenizer = BertTokenizerFast(vocab={word: number for number, word in enumerate(words)})
    model = bert(len(words))
    assert tokenizer("The souvenir.")["input_ids"] == [2, 5, 6, 7, 8, 9, 3]
    seen = []
    model.register_forward_pre_hook(lambda _, __, fields: seen.extend(fields["input_ids"].tolist()), with_kwargs=True)
    (found,) = pseudo_log_likelihood(model, tokenizer, ["The souvenir."])
    assert seen == [
        [2, 4, 6, 7, 8, 9, 3],
        [2, 5, 4, 4, 4, 9, 3],
        [2, 5, 6, 4, 4, 9, 3],
        [2, 5, 6, 7, 4, 9, 3],
        [2, 5, 6, 7, 8, 4, 3],
    ]
    expected = plain_hidden(model, [2, 5, 6, 7, 8, 9, 3], [[1], [2, 3, 4], [5]], 4)
    assert found.log_prob == pytest.approx(expected, abs=1e-5)
    assert (found.num_tokens, found.num_bytes) == (5, 13)
    (unknown,) = pseudo_log_likelihood(model, tokenizer, ["the cat."])  # [UNK] is a word too
    assert unknown.num_tokens == 3


@pytest.mark.parametrize("kind", ["bert", "ours"])
@pytest.mark.parametrize("batch_size", [1, 64])
def test_pseudo_likelihood_equals_a_plain_loop(kind, batch_size, tiny_config, tiny_tokenizer):
    from selfsup.models.text_encoder import TextEncoderForMaskedLM

    torch.manual_seed(0)
    model = bert(len(tiny_tokenizer)) if kind == "bert" else TextEncoderForMaskedLM(tiny_config)
    found = pseudo_log_likelihood(model, tiny_tokenizer, TEXTS, batch_size=batch_size)
    for text, one in zip(TEXTS, found, strict=True):
        ids = tiny_tokenizer(text)["input_ids"]
        pieces = tiny_tokenizer.convert_ids_to_tokens(ids)
        groups: list[list[int]] = []
        for place, piece in enumerate(pieces[1:-1], start=1):
            before = pieces[place - 1].strip("▁")
            if not groups or piece.startswith("▁") or not piece.isalnum() or before in [",", ".", "!"]:
                groups.append([])
            groups[-1].append(place)
        assert any(len(group) > 1 for group in groups)
        expected = plain_hidden(model, ids, groups, tiny_tokenizer.mask_token_id)
        assert one.log_prob == pytest.approx(expected, abs=1e-4)
        assert (one.num_tokens, one.num_bytes) == (len(ids) - 2, len(text))


def test_a_literal_mask_is_text(tiny_tokenizer):
    model = bert(len(tiny_tokenizer))
    (found,) = pseudo_log_likelihood(model, tiny_tokenizer, ["The [MASK]."])
    assert found.num_tokens > 3


@pytest.mark.parametrize(("continuation", "message"), [("", "an empty one came"), ("  ", "'  ' gives none")])
def test_continuations_without_tokens_are_refused(continuation, message):
    with pytest.raises(ValueError, match=f"a continuation( with tokens)? is wanted, but {message}"):
        log_likelihood(gpt2(3), of_words("? a b"), [("a", continuation)])


def test_texts_without_tokens_or_with_too_many_are_refused(tiny_tokenizer):
    model = bert(len(tiny_tokenizer), positions=8)
    with pytest.raises(ValueError, match="a text with tokens is wanted, but '' gives none"):
        pseudo_log_likelihood(model, tiny_tokenizer, ["The queen.", ""])
    with pytest.raises(ValueError, match=r"a text of at most 8 tokens is wanted, but one of \d\d came"):
        pseudo_log_likelihood(model, tiny_tokenizer, TEXTS)


def test_models_of_the_wrong_kind_are_refused(tiny_tokenizer):
    size = len(tiny_tokenizer)
    t5 = T5ForConditionalGeneration(T5Config(vocab_size=size, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2))
    for model in (bert(size), t5):
        with pytest.raises(ValueError, match=r"predicts the next token is wanted, but a .* came: open one with Auto"):
            log_likelihood(model, tiny_tokenizer, PAIRS)
    for model in (gpt2(size), t5, bert(size, BertForSequenceClassification)):
        with pytest.raises(ValueError, match=r"guesses hidden tokens is wanted, but a .* came: open one with Auto"):
            pseudo_log_likelihood(model, tiny_tokenizer, TEXTS)
    with pytest.raises(ValueError, match="a tokenizer with a mask_token is wanted"):
        pseudo_log_likelihood(bert(5), of_words("? a b c d"), ["a"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"documents": [np.arange(2), np.array([], dtype=int)]}, "a text with at least one token"),
        ({"stride": 9}, "a stride of 1 to 8 tokens is wanted, .* but 9 came"),
        ({"stride": 0}, "but 0 came"),
        ({"max_tokens": 0}, "windows of at least one token"),
        ({"batch_size": 0}, "a batch_size of 0 came"),
    ],
)
def test_windows_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        running_log_probs(gpt2(11, positions=8), **{"documents": [np.arange(5)], "begin": [9], **change})

"""Labels by the likelihood of their words: by hand, calibrated, shortened, and the same in any batch."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertLMHeadModel, GPT2Config, GPT2LMHeadModel

from selfsup.models.text_decoder import TextDecoderForCausalLM
from selfsup.models.text_decoder_config import TextDecoderConfig
from selfsup.prompting import respondent as module
from selfsup.prompting.respondent import CONTENT_FREE, Respondent, calibrate, is_causal, log_softmax, open_causal
from selfsup.prompting.wording import Wording
from selfsup.task import Prompt
from selfsup.training.export import export

TWO = ("red", "green")
QUERIES = [{"text": "now bado"}, {"text": "today very very dark feni"}, {"text": "soon"}]


@pytest.fixture
def ask(colours, tokenizer):
    def made(model, labels=TWO, scoring="sum", batch_size=16, **prompt) -> Respondent:
        given = Prompt(**{"template": "{text} is {label}", "separator": " . "} | prompt)
        wording = Wording(colours, labels, given)
        return Respondent(model, tokenizer, wording, scoring=scoring, batch_size=batch_size)

    return made


def log_probs(model, tokenizer, text: str) -> torch.Tensor:
    """(tokens, vocab) of every next token, one text at a time."""
    with torch.no_grad():
        return model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0].double().log_softmax(-1)


def test_sum_and_mean_against_one_forward_pass_for_each_label(ask, gpt2, tokenizer):
    words = {"red": "red", "green": "very dark green"}
    shown = [({"text": "later mado"}, "green")]
    ids = tokenizer.convert_tokens_to_ids
    context = "Which colour? . later mado is very dark green . now bado is"
    by_hand = []
    for text in words.values():
        table = log_probs(gpt2, tokenizer, f"{context} {text}")
        start = len(tokenizer(context)["input_ids"])
        tokens = ids(text.split())
        by_hand.append([float(table[start + n - 1, token]) for n, token in enumerate(tokens)])
    for scoring, scores in (("sum", map(sum, by_hand)), ("mean", map(np.mean, by_hand))):
        asked = ask(gpt2, scoring=scoring, verbalisers=words, description="Which colour?")
        found = asked.answer(QUERIES[:1], [shown])
        np.testing.assert_allclose(found.log_probs[0], log_softmax(np.array(list(scores))), atol=1e-5)


def test_calibration_by_hand():
    free = np.log([[[0.9, 0.1], [0.7, 0.3]]])  # 0.8 and 0.2 on the mean
    found = np.exp(log_softmax(calibrate(np.log([[0.7, 0.3]]), free)))
    # 0.7 / 0.8 against 0.3 / 0.2
    np.testing.assert_allclose(found, [[0.875 / 2.375, 1.5 / 2.375]])
    assert found.argmax() == 1
    unmoved = np.log([[[0.5, 0.5]]])
    np.testing.assert_allclose(log_softmax(calibrate(np.log([[0.7, 0.3]]), unmoved)), np.log([[0.7, 0.3]]))


def test_calibrated_takes_what_is_said_of_nothing(ask, gpt2, monkeypatch):
    """What the model gives is made up here: P(red) of each context; labels need not sum to 1."""
    made_up = {
        "soon is": (0.3, 0.1), "N/A is": (0.4, 0.1), "[MASK] is": (0.45, 0.05), " is": (0.07, 0.03),
    }  # fmt: skip

    def likelihood(model, tokenizer, pairs, *, batch_size):
        return [SimpleNamespace(log_prob=np.log(made_up[text][word == " green"]), num_tokens=1) for text, word in pairs]

    monkeypatch.setattr(module, "log_likelihood", likelihood)
    assert set(CONTENT_FREE) == {"N/A", "[MASK]", ""}
    plain = ask(gpt2).answer(QUERIES[2:], [[]])
    np.testing.assert_allclose(np.exp(plain.log_probs), [[0.75, 0.25]])
    free = (0.8 + 0.9 + 0.7) / 3
    odds = (0.75 / free) / (0.25 / (1 - free))
    found = ask(gpt2, scoring="calibrated").answer(QUERIES[2:], [[]])
    np.testing.assert_allclose(np.exp(found.log_probs[0, 0]), odds / (1 + odds))
    assert (plain.texts, found.texts) == (["red"], ["green"])


def test_calibration_takes_a_bias_away(ask, copier):
    """A model that says red whatever it reads is of no opinion once that is taken off."""
    assert np.exp(ask(copier).answer(QUERIES, [[]] * 3).log_probs)[:, 0] == pytest.approx(np.e / (np.e + 1))
    found = ask(copier, scoring="calibrated").answer(QUERIES, [[]] * 3)
    np.testing.assert_allclose(np.exp(found.log_probs), 0.5, atol=1e-6)


@pytest.mark.parametrize("scoring", ["sum", "mean", "calibrated"])
def test_batch_size_changes_nothing(ask, gpt2, scoring):
    shown = [[({"text": "later mado"}, "green")] * number for number in (3, 0, 1)]
    words = {"red": "very very red"}
    found = [
        ask(gpt2, scoring=scoring, batch_size=size, verbalisers=words).answer(QUERIES, shown).log_probs
        for size in (1, 2, 16)
    ]
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    np.testing.assert_allclose(found[2], found[0], atol=1e-5)
    alone = ask(gpt2, scoring=scoring, verbalisers=words).answer(QUERIES[1:2], shown[1:2])
    np.testing.assert_allclose(alone.log_probs[0], found[0][1], atol=1e-5)


def test_words_of_one_token_share_a_forward_pass(ask, gpt2):
    sizes = []
    with_size = gpt2.register_forward_pre_hook(
        lambda _, args, fields: sizes.append(len(fields["input_ids"])), with_kwargs=True
    )
    one = ask(gpt2).answer(QUERIES, [[]] * 3)
    ask(gpt2, verbalisers={"green": "very green"}).answer(QUERIES, [[]] * 3)
    with_size.remove()
    assert sizes == [3, 6]
    assert one.log_probs.shape == (3, 2)


def test_what_does_not_fit_goes_from_the_front(ask, gpt2, tokenizer):
    """64 positions; a demonstration has 5 tokens with its separator, the query 3, its answer 1 that is not read."""
    shown = [({"text": f"now {name}"}, "green") for name in ["bado"] * 11 + ["mado"] * 3]
    assert len(tokenizer(ask(gpt2).wording.context(QUERIES[0], shown))["input_ids"]) == 14 * 5 + 3
    found = ask(gpt2).answer([QUERIES[0], QUERIES[2]], [shown, shown[:3]])
    assert found.left_out == [2, 0]  # 12 * 5 + 3 of 64
    assert found.undescribed == [False, False]
    direct = ask(gpt2).answer(QUERIES[:1], [shown[2:]])
    np.testing.assert_allclose(found.log_probs[0], direct.log_probs[0], atol=1e-5)


def test_a_description_goes_last_and_a_query_never(ask, gpt2):
    long = ask(gpt2, description=" ".join(["very"] * 62))
    found = long.answer(QUERIES[:1], [[({"text": "now mado"}, "green")]])
    assert (found.left_out, found.undescribed) == ([1], [True])
    np.testing.assert_allclose(found.log_probs, ask(gpt2).answer(QUERIES[:1], [[]]).log_probs, atol=1e-5)
    with pytest.raises(ValueError, match=r"a query has to fit the 64 tokens that the model reads, .*very very"):
        long.answer([{"text": " ".join(["very"] * 64)}], [[]])
    assert long.answer([{"text": " ".join(["very"] * 63)}], [[]]).undescribed == [True]  # and `is`: 64


def test_of_nothing_calibration_makes_room_too(ask, gpt2):
    """[MASK] is three tokens of this tokenizer, longer than this query."""
    shown = [({"text": "bado"}, "red")] * 30
    plain, calibrated = (
        ask(gpt2, scoring=scoring).answer([{"text": "mado"}], [shown]) for scoring in ("sum", "calibrated")
    )
    assert plain.left_out == [15]  # 15 * 4 + 2 of 64
    assert calibrated.left_out == [15]  # 15 * 4 + 4
    assert ask(gpt2, scoring="calibrated", description="very").answer([{"text": "mado"}], [shown]).left_out == [16]


def test_words_that_are_no_words_for_a_model(ask, gpt2):
    with pytest.raises(ValueError, match=r"'\\u200b' of green makes none that this tokenizer knows"):
        ask(gpt2, verbalisers={"green": "\u200b"}).answer(QUERIES, [[]] * 3)
    with pytest.raises(ValueError, match="'lilac' of red makes none that this tokenizer knows"):
        ask(gpt2, verbalisers={"red": "lilac"})
    with pytest.raises(ValueError, match=r"'very lilac' and 'very mauve' are the same tokens, very, \[UNK\], for this"):
        ask(gpt2, verbalisers={"red": "very lilac", "green": "very mauve"})
    notes = ask(gpt2, verbalisers={"red": "very red", "green": "very green"}).notes
    assert notes == [
        "'very red' and 'very green' begin with the same token, 'very': only what follows tells them apart"
    ]
    assert not ask(gpt2).notes
    begins = {"red": "very", "green": "very green"}
    with pytest.raises(ValueError, match="of 'very' and 'very green' one is how the other begins"):
        ask(gpt2, verbalisers=begins)
    assert ask(gpt2, verbalisers=begins, scoring="mean")
    with pytest.raises(ValueError, match="--batch_size 0 came"):
        ask(gpt2, batch_size=0)


def test_models_that_read_both_ways_are_refused(tokenizer, gpt2, pretrained, tmp_path):
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **size)
    torch.manual_seed(0)
    assert not is_causal(BertLMHeadModel(config).eval())
    config.is_decoder = True
    assert is_causal(BertLMHeadModel(config).eval())
    config.is_decoder = False
    for folder, model in (("bert", BertForMaskedLM(config)), ("gpt2", gpt2)):
        model.save_pretrained(tmp_path / folder)
        tokenizer.save_pretrained(tmp_path / folder)
    assert isinstance(open_causal(str(tmp_path / "gpt2"))[0], GPT2LMHeadModel)
    with pytest.raises(ValueError, match="bert is a BertForMaskedLM, which is none: choose a decoder"):
        open_causal(str(tmp_path / "bert"))
    with pytest.raises(ValueError, match="is a TextEncoderForMaskedLM, which is none"):
        open_causal(str(pretrained))


def test_our_decoder_answers_as_it_reads(colours, tiny_tokenizer, tmp_path):
    """From the folder of a run: [CLS] stands before the prompt, and pieces of a word after it are one answer."""
    config = TextDecoderConfig(
        vocab_size=len(tiny_tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    export(TextDecoderForCausalLM(config), tiny_tokenizer, tmp_path / "run" / "model")
    model, tokenizer = open_causal(str(tmp_path / "run"))
    asked = Respondent(model, tokenizer, Wording(colours, ("a map", "the rope"), Prompt("{text}\nIt was {label}")))
    found = asked.answer([{"text": "the queen"}, {"text": "some bread"}], [[], [({"text": "a horse"}, "a map")]])
    by_hand = []
    for words in (" a map", " the rope"):
        ids = [tokenizer.cls_token_id, *tokenizer("the queen\nIt was" + words, add_special_tokens=False)["input_ids"]]
        before = len(tokenizer("the queen\nIt was", add_special_tokens=False)["input_ids"])
        with torch.no_grad():
            table = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        by_hand.append(sum(float(table[place, ids[place + 1]]) for place in range(before, len(ids) - 1)))
    np.testing.assert_allclose(found.log_probs[0], log_softmax(np.array(by_hand)), atol=1e-4)


def test_weights_of_a_model_that_has_no_limit(ask, tokenizer):
    """Where neither a model nor its tokenizer says how much it reads, all is read."""
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=1, n_head=2))
    assert ask(model).room.max_tokens == 64
    model.config.max_position_embeddings = None
    assert ask(model).room.max_tokens is None

"""Every token is asked for once, documents end where they end, and neighbours in a row do not help."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from selfsup.data.plan import Plan, Stage
from selfsup.models.text_decoder import TextDecoderForCausalLM
from selfsup.objectives import MaskedTokens, NextToken
from selfsup.tokenization.characters import train_characters
from selfsup.tokenization.encode import piece_bytes
from selfsup.tokenization.segments import begin_texts
from selfsup.training.batches import VALIDATION_SEED, batch_of
from selfsup.training.evaluation import targets_of


@pytest.fixture
def objective(tiny_tokenizer, tiny_decoder_config):
    made = NextToken()
    made.bind(tiny_tokenizer, tiny_decoder_config)
    return made


def test_what_is_read_and_asked(objective):
    begin, end = objective.begin_id, objective.end_id
    text = np.array([7, 8, 9])
    for before, ends, read, asked in (
        (None, True, [begin, 7, 8, 9], [7, 8, 9, end]),
        (None, False, [begin, 7, 8], [7, 8, 9]),
        (5, False, [5, 7, 8], [7, 8, 9]),
        (5, True, [5, 7, 8, 9], [7, 8, 9, end]),
    ):
        example = objective.encode({"segments": [text], "before": before, "ends": ends})
        assert example["input_ids"].tolist() == read
        assert example["targets"].tolist() == asked


def test_an_epoch_asks_for_every_token_once(objective, tiny_corpus):
    total = len(tiny_corpus.tokens)
    plan = Plan(tiny_corpus, [(0, total)], stages=[Stage(33, 4)], seed=0, **objective.reading)
    rows = plan.epoch()
    spans = sorted(draw.segments[0] for row in rows for draw in row)
    assert [start for start, _ in spans] == [0, *[stop for _, stop in spans[:-1]]]
    assert spans[-1][1] == total
    asked = targets_of(tiny_corpus, rows, objective)
    counts = np.bincount(asked, minlength=tiny_corpus.vocab_size)
    expected = tiny_corpus.counts([(0, total)])
    expected[objective.end_id] += len(tiny_corpus.documents)
    assert counts.tolist() == expected.tolist()
    assert all(batch_of(tiny_corpus, [row], objective, 0)["input_ids"].shape[1] <= 33 for row in rows)


def test_packed_documents_cost_what_they_cost_alone(objective, tiny_corpus, tiny_decoder_config):
    torch.manual_seed(0)
    model = TextDecoderForCausalLM(tiny_decoder_config).eval()
    plan = Plan(tiny_corpus, [(0, len(tiny_corpus.tokens))], stages=[Stage(64, 4)], seed=0, **objective.reading)
    row = next(row for row in plan.epoch() if len(row) > 1)

    def cost(rows):
        batch = batch_of(tiny_corpus, rows, objective, VALIDATION_SEED)
        return objective.loss(objective.forward({"model": model}, batch, "model"), batch, "model")["next_token"]

    alone = sum(cost([[draw]]) for draw in row)
    torch.testing.assert_close(cost([row]), alone)
    torch.testing.assert_close(cost([[draw] for draw in row]), alone)  # padded instead


def test_each_kind_of_model_has_its_objective(tiny_tokenizer, tiny_config, tiny_decoder_config):
    with pytest.raises(ValueError, match="knows no model for a TextEncoderConfig"):
        NextToken().bind(tiny_tokenizer, tiny_config)
    with pytest.raises(ValueError, match="knows no model for a TextDecoderConfig"):
        MaskedTokens().bind(tiny_tokenizer, tiny_decoder_config)


class TestCharacters:
    def test_every_character_comes_back(self, tmp_path):
        text = "To be,\r\nor\tnot  to be:\n\n[MASK] is text ▁ too. é\n"
        tokenizer = train_characters([text[:20], text[20:]], tmp_path)
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert len(ids) == len(text)
        assert tokenizer.decode(ids) == text
        assert len(tokenizer) == 5 + len(set(text))
        assert tokenizer("z~", add_special_tokens=False)["input_ids"] == [tokenizer.unk_token_id] * 2

    def test_their_bytes(self, tmp_path):
        tokenizer = train_characters(["aé€ ▁\n"], tmp_path)
        sizes = piece_bytes(tokenizer)
        found = {tokenizer.convert_ids_to_tokens(number): size for number, size in enumerate(sizes.tolist())}
        assert {piece: found[piece] for piece in "aé€ \n"} == {"a": 1, "é": 2, "€": 3, " ": 1, "\n": 1}
        assert found["[CLS]"] == 0

    def test_no_text(self, tmp_path):
        with pytest.raises(ValueError, match="there is none"):
            train_characters([], tmp_path)


def test_bytes_of_pieces_are_those_of_the_text(tiny_tokenizer):
    text = "Nobody knew why the miller sold the clock — naïve, 1848!"
    ids = tiny_tokenizer(text, add_special_tokens=False)["input_ids"]
    assert piece_bytes(tiny_tokenizer)[ids].sum() == len(text.encode()) + 1  # and the mark before the first word


def test_a_prompt_can_be_gone_on_with(tiny_tokenizer):
    begun = begin_texts(deepcopy(tiny_tokenizer))
    ids = begun("At noon.")["input_ids"]
    assert ids[0] == begun.bos_token_id == begun.cls_token_id
    assert begun.eos_token_id == begun.sep_token_id != ids[-1]
    state = begun.backend_tokenizer.to_str()
    assert begin_texts(begun).backend_tokenizer.to_str() == state

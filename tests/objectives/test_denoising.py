"""What is seen of a damaged text, and what is asked."""

import copy

import numpy as np
import pytest

from selfsup.objectives import Denoising
from selfsup.objectives.denoising import infill

MASK = 4


@pytest.mark.parametrize("mean_span", [1.0, 3.0])
@pytest.mark.parametrize("seed", range(20))
def test_every_visible_token_survives_in_its_order(seed, mean_span):
    text = np.arange(100, 150)
    damaged = infill(text, 0.3, mean_span, MASK, np.random.default_rng(seed))
    visible = damaged[damaged != MASK]
    assert len(visible) == 35, "of 50 tokens 15 are hidden"
    assert (np.diff(visible) > 0).all()
    assert len(damaged) <= len(text)


def test_a_share_of_nothing_leaves_the_text_alone():
    text = np.arange(100, 110)
    assert infill(text, 0.0, 3.0, MASK, np.random.default_rng(0)).tolist() == text.tolist()


def test_spans_have_the_mean_length_that_was_asked_for():
    text, rng = np.arange(100, 1100), np.random.default_rng(0)
    masks = np.mean([(infill(text, 0.3, 3.0, MASK, rng) == MASK).sum() for _ in range(50)])
    assert 300 / masks == pytest.approx(3.0, abs=0.15)


def test_sentences_change_places_and_the_target_is_the_original(wordpiece, tiny_pair_config):
    wordpiece = copy.deepcopy(wordpiece)
    wordpiece.add_special_tokens({"mask_token": "[MASK]"})
    objective = Denoising(rate=0.0)
    objective.bind(wordpiece, tiny_pair_config)
    sentences = ["ann met bob .", "who ?", "bob stop !"]
    ids = [wordpiece(sentence, add_special_tokens=False)["input_ids"] for sentence in sentences]
    text = np.array([*ids[0], *ids[1], *ids[2]])
    example = objective.encode({"segments": [text]})
    assert example["targets"].tolist() == [*text, 3]
    assert example["decoder_input_ids"].tolist() == [2, *text]
    orders = set()
    for seed in range(40):
        seen = objective.corrupt(example, rng=np.random.default_rng(seed), progress=0.0)
        assert np.array_equal(seen["targets"], example["targets"])
        orders.add(wordpiece.decode(seen["input_ids"][1:-1]))
    assert len(orders) == 6, "all orders of three sentences"

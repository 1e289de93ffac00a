"""Swapping two segments, and doing so before their tokens are hidden."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForPreTraining, BertConfig, DistilBertConfig
from transformers.modeling_outputs import MaskedLMOutput

from selfsup.data.collate import collate
from selfsup.objectives import Joint, MaskedTokens, SentenceOrder
from selfsup.objectives.objective import text_rng

A, B = np.array([10, 11, 12]), np.array([20, 21])


def bound(objective, tokenizer, config):
    objective.bind(tokenizer, config)
    return objective


@pytest.fixture
def order(tiny_tokenizer, tiny_config):
    return bound(SentenceOrder(), tiny_tokenizer, tiny_config)


@pytest.fixture
def joint(tiny_tokenizer, tiny_config):
    return bound(
        Joint({"words": MaskedTokens(rate=0.5, weight=2.0), "order": SentenceOrder()}), tiny_tokenizer, tiny_config
    )


def drawn(objective, label: int, segments=(A, B)) -> dict[str, np.ndarray]:
    """The first draw that gives a label."""
    example = objective.encode({"segments": list(segments)})
    draws = (objective.corrupt(example, rng=np.random.default_rng(seed), progress=0.0) for seed in range(20))
    return next(draw for draw in draws if draw["next_sentence_label"] == label)


def test_by_hand(order):
    kept, swapped = drawn(order, 0), drawn(order, 1)
    assert kept["input_ids"].tolist() == [2, 10, 11, 12, 3, 20, 21, 3]
    assert kept["token_type_ids"].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert swapped["input_ids"].tolist() == [2, 20, 21, 3, 10, 11, 12, 3]
    assert swapped["token_type_ids"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_half_of_the_pairs_are_swapped(order):
    example = order.encode({"segments": [A, B]})
    swapped = sum(
        int(order.corrupt(example, rng=text_rng(0, 0, index), progress=0.0)["next_sentence_label"])
        for index in range(20_000)
    )
    assert abs(swapped - 10_000) < 4 * np.sqrt(5000)


def test_one_segment_asks_nothing(order):
    example = order.encode({"segments": [A]})
    for seed in range(10):
        seen = order.corrupt(example, rng=np.random.default_rng(seed), progress=None)
        assert seen["next_sentence_label"] == -100
        assert seen["input_ids"].tolist() == [2, 10, 11, 12, 3]


def test_counts_and_scores_only_what_was_asked(order):
    batch = {"next_sentence_label": torch.tensor([0, 1, -100, 1])}
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [9.0, 0.0], [3.0, 0.0]])
    assert order.counts(batch, "model") == {"order": 3}
    assert order.hits({"logits": logits}, batch, "model")["order"] == 2
    assert order.blind_hits({"logits": logits}, batch, "model")["order"] == 1
    asked = [0, 1, 3]
    wanted = cross_entropy(logits[asked], batch["next_sentence_label"][asked], reduction="sum")
    torch.testing.assert_close(order.loss({"seq_relationship_logits": logits}, batch, "model")["order"], wanted)


class TestJoint:
    def test_swaps_first_then_hides(self, joint, tiny_tokenizer, tiny_config):
        """As the members one after the other, each with a generator of its own."""
        members = (
            bound(SentenceOrder(), tiny_tokenizer, tiny_config),
            bound(MaskedTokens(rate=0.5), tiny_tokenizer, tiny_config),
        )
        for seed in range(20):
            wanted = joint.encode({"segments": [A, B]})
            for member, rng in zip(members, np.random.default_rng(seed).spawn(2), strict=True):
                wanted = member.corrupt(wanted, rng=rng, progress=0.0)
            seen = joint.corrupt(joint.encode({"segments": [A, B]}), rng=np.random.default_rng(seed), progress=0.0)
            assert seen.keys() == wanted.keys()
            for name, value in wanted.items():
                np.testing.assert_array_equal(seen[name], value)

    def test_labels_are_those_of_the_swapped_text(self, joint):
        for label, ids in ((0, [2, 10, 11, 12, 3, 20, 21, 3]), (1, [2, 20, 21, 3, 10, 11, 12, 3])):
            seen = drawn(joint, label)
            asked = seen["labels"] != -100
            assert asked.sum() >= 2
            np.testing.assert_array_equal(seen["labels"][asked], np.array(ids)[asked])

    def test_the_order_of_members_and_their_names_are_free(self, tiny_tokenizer, tiny_config):
        joints = [
            bound(Joint(members), tiny_tokenizer, tiny_config)
            for members in ({"x": MaskedTokens(), "y": SentenceOrder()}, {"y": SentenceOrder(), "x": MaskedTokens()})
        ]
        for seed in range(5):
            one, other = (
                joint.corrupt(joint.encode({"segments": [A, B]}), rng=np.random.default_rng(seed), progress=0.0)
                for joint in joints
            )
            assert all(np.array_equal(one[name], other[name]) for name in one)

    def test_sums_are_those_of_its_members(self, joint, tiny_config):
        torch.manual_seed(0)
        model = AutoModelForPreTraining.from_config(tiny_config).eval()
        example = joint.encode({"segments": [A, B]})
        rows = [
            [joint.corrupt(example, rng=np.random.default_rng(2 * s + i), progress=0.0) for i in (0, 1)]
            for s in range(3)
        ]
        batch = collate(rows, padding=joint.padding)
        outputs = joint.forward({"model": model}, batch, "model")
        losses = joint.loss(outputs, batch, "model")
        order, words = joint.members
        assert losses == {**words.loss(outputs, batch, "model"), **order.loss(outputs, batch, "model")}
        assert joint.weights == {"tokens": 2.0, "order": 1.0}
        assert joint.counts(batch, "model") == {"tokens": int((batch["labels"] != -100).sum()), "order": 6}
        assert joint.hits(outputs, batch, "model").keys() == {"tokens", "order"}
        # Packed in pairs or each in a row of its own: the same sums.
        alone = collate([[example] for row in rows for example in row], padding=joint.padding)
        apart = joint.loss(joint.forward({"model": model}, alone, "model"), alone, "model")
        for name, loss in losses.items():
            torch.testing.assert_close(apart[name], loss)

    def test_one_member_needs_no_more_than_its_own_head(self, tiny_tokenizer, tiny_config):
        joint = bound(Joint({"only": MaskedTokens()}), tiny_tokenizer, tiny_config)
        assert (joint.auto_class, joint.num_segments) == ("AutoModelForMaskedLM", 1)
        assert Joint({"a": MaskedTokens(), "b": SentenceOrder()}).auto_class == "AutoModelForPreTraining"
        assert Joint({"a": MaskedTokens(), "b": SentenceOrder()}).num_segments == 2

    def test_refuses_members_that_do_not_fit(self):
        class Tagging(MaskedTokens):
            auto_class, name = "AutoModelForTokenClassification", "tags"

        with pytest.raises(ValueError, match=r"^a Joint needs at least one objective, but none came$"):
            Joint({})
        with pytest.raises(ValueError, match="must give an answer of its own, but these came: tokens, tokens"):
            Joint({"a": MaskedTokens(), "b": MaskedTokens(rate=0.3)})
        with pytest.raises(
            ValueError, match=r"no model has all of these heads at once: AutoModelForNext.*, AutoModelForTok"
        ):
            Joint({"a": SentenceOrder(), "b": Tagging()})


def test_names_a_model_without_the_head(tiny_tokenizer):
    config = BertConfig(vocab_size=384, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    SentenceOrder().bind(tiny_tokenizer, config)
    with pytest.raises(ValueError, match=r"^AutoModelForNextSentencePrediction knows no model for a DistilBertConfig"):
        SentenceOrder().bind(tiny_tokenizer, DistilBertConfig())


def test_names_an_output_without_the_answer():
    outputs = MaskedLMOutput(logits=torch.zeros(1, 4, 9))
    with pytest.raises(
        ValueError, match=r"SentenceOrder needs a model with a next-sentence head .* but this one returns logits"
    ):
        SentenceOrder().loss(outputs, {"next_sentence_label": torch.tensor([0])}, "model")


def test_chance_is_where_one_is():
    draws = {key: text_rng(*key).random() for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 1 << 24)]}
    assert len(set(draws.values())) == 5
    assert text_rng(0, 1, 0).random() == draws[0, 1, 0]

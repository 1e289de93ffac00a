"""What is hidden, and what is asked for."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    BertConfig,
    GPT2Config,
    PreTrainedTokenizerFast,
)

from selfsup.data.collate import collate
from selfsup.objectives import Joint, MaskedTokens, SentenceOrder
from selfsup.objectives.masking import choose, join_words

SENTENCE = "The old captain repaired the broken clock, and nobody knew why: “Without any doubt!”"


def bound(tokenizer, config, **options) -> MaskedTokens:
    objective = MaskedTokens(**options)
    objective.bind(tokenizer, config)
    return objective


def encoded(objective, tokenizer, *texts: str) -> dict[str, np.ndarray]:
    return objective.encode(
        {"segments": [np.array(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]}
    )


@pytest.fixture(scope="module")
def long(tiny_corpus) -> list[np.ndarray]:
    """Text enough for shares to show."""
    return [tiny_corpus.tokens[start : start + 126].astype(np.int64) for start in range(0, 25_000 - 126, 126)]


def hide(objective, long, progress: float | None = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True ids, shown ids and labels of a long text, one after the other."""
    parts = []
    for index, ids in enumerate(long):
        example = objective.encode({"segments": [ids]})
        seen = objective.corrupt(example, rng=np.random.default_rng((1, index)), progress=progress)
        parts.append((example["input_ids"], seen["input_ids"], seen["labels"]))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))  # type: ignore[return-value]


class TestCorrupt:
    def test_of_the_hidden_80_percent_are_masked_10_random_10_kept(self, tiny_tokenizer, tiny_config, long):
        objective = bound(tiny_tokenizer, tiny_config, rate=0.5)
        true, shown, labels = hide(objective, long)
        hidden = labels != -100
        n = hidden.sum()
        shares = {
            "masked": ((shown == objective.mask_id)[hidden].mean(), 0.8),
            # A random token is the true one by chance once in a vocabulary.
            "random": (((shown != objective.mask_id) & (shown != true))[hidden].mean(), 0.1 * (1 - 1 / 379)),
            "kept": ((shown == true)[hidden].mean(), 0.1 * (1 + 1 / 379)),
        }
        assert n > 10_000
        for name, (share, wanted) in shares.items():
            assert share == pytest.approx(wanted, abs=4 * np.sqrt(wanted * (1 - wanted) / n)), name

    def test_random_tokens_are_ordinary_ones_each_as_likely(self, tiny_tokenizer, tiny_config, long):
        objective = bound(tiny_tokenizer, tiny_config, rate=1.0)
        true, shown, _ = hide(objective, long * 8)
        random = shown[(shown != objective.mask_id) & (shown != true)]
        counts = np.bincount(random, minlength=384)
        assert (counts[tiny_tokenizer.all_special_ids] == 0).all()
        mean = len(random) / 379
        assert len(tiny_tokenizer.all_special_ids) == 5
        assert np.abs(counts[5:] - mean).max() < 6 * np.sqrt(mean)

    def test_labels_are_the_true_ids_and_the_rest_is_left_alone(self, tiny_tokenizer, tiny_config, long):
        for unit in ("token", "word", "span"):
            true, shown, labels = hide(bound(tiny_tokenizer, tiny_config, unit=unit), long)
            asked = labels != -100
            np.testing.assert_array_equal(labels[asked], true[asked])
            np.testing.assert_array_equal(shown[~asked], true[~asked])

    @pytest.mark.parametrize("unit", ["token", "word", "span"])
    @pytest.mark.parametrize("rate", [0.15, 0.4])
    def test_the_hidden_share_is_near_the_rate(self, tiny_tokenizer, tiny_config, long, unit, rate):
        true, _, labels = hide(bound(tiny_tokenizer, tiny_config, unit=unit, rate=rate), long)
        ordinary = ~np.isin(true, tiny_tokenizer.all_special_ids)
        share = (labels != -100).sum() / ordinary.sum()
        # The last unit may go past the share: by less than the tokens of one unit in 126.
        assert rate - 1 / 126 < share < rate + {"token": 0.5, "word": 3, "span": 6}[unit] / 126

    @pytest.mark.parametrize("unit", ["token", "word", "span"])
    def test_special_tokens_are_never_hidden(self, tiny_tokenizer, tiny_config, unit):
        objective = bound(tiny_tokenizer, tiny_config, unit=unit, rate=1.0)
        example = encoded(objective, tiny_tokenizer, SENTENCE, SENTENCE)
        special = np.isin(example["input_ids"], tiny_tokenizer.all_special_ids)
        assert special.sum() == 3
        seen = objective.corrupt(example, rng=np.random.default_rng(0), progress=0.0)
        np.testing.assert_array_equal(seen["labels"] == -100, special)

    @pytest.mark.parametrize("unit", ["token", "word", "span"])
    def test_at_least_one_token_is_hidden(self, tiny_tokenizer, tiny_config, unit):
        objective = bound(tiny_tokenizer, tiny_config, unit=unit, rate=0.001)
        for seed in range(20):
            example = encoded(objective, tiny_tokenizer, "Yes.")
            seen = objective.corrupt(example, rng=np.random.default_rng(seed), progress=0.0)
            assert (seen["labels"] != -100).sum() >= 1

    def test_words_are_hidden_whole(self, tiny_tokenizer, tiny_config, long):
        objective = bound(tiny_tokenizer, tiny_config, unit="word", rate=0.3)
        several = 0
        for index, ids in enumerate(long):
            example = objective.encode({"segments": [ids]})
            labels = objective.corrupt(example, rng=np.random.default_rng(index), progress=0.0)["labels"]
            words = objective.words.ids(example["input_ids"])
            for word in range(words.max() + 1):
                asked = labels[words == word] != -100
                assert asked.all() or not asked.any()
                several += asked.sum() > 1
        assert several > 100  # of more than one piece

    def test_spans_are_runs_of_words(self, tiny_tokenizer, tiny_config, long):
        """Runs of hidden words come far more often than with words alone, and at the same share."""
        runs = {}
        for unit in ("word", "span"):
            true, _, labels = hide(bound(tiny_tokenizer, tiny_config, unit=unit, max_span=4), long)
            words = bound(tiny_tokenizer, tiny_config).words.ids(true)
            hidden = np.array([(labels[words == word] != -100).all() for word in range(words.max() + 1)])
            runs[unit] = hidden.sum() / (hidden & ~np.append(False, hidden[:-1])).sum()
        assert runs["word"] < 1.5
        assert runs["span"] > 1.8

    def test_the_rate_falls_in_a_straight_line(self, tiny_tokenizer, tiny_config, long):
        objective = bound(tiny_tokenizer, tiny_config, rate=0.4, final_rate=0.2)
        for progress, wanted in ((0.0, 0.4), (0.25, 0.35), (0.5, 0.3), (1.0, 0.2)):
            assert (hide(objective, long, progress)[2] != -100).mean() == pytest.approx(wanted * 126 / 128, abs=0.005)

    @pytest.mark.parametrize("rate", [0.05, 0.15, 1.0])
    def test_validation_always_hides_15_percent(self, tiny_tokenizer, tiny_config, long, rate):
        objective = bound(tiny_tokenizer, tiny_config, rate=rate)
        assert (hide(objective, long, None)[2] != -100).sum() == len(long) * round(0.15 * 126)

    def test_chance_is_in_the_generator_alone(self, tiny_tokenizer, tiny_config):
        objective = bound(tiny_tokenizer, tiny_config, unit="span")
        example = encoded(objective, tiny_tokenizer, SENTENCE)
        before = {name: value.copy() for name, value in example.items()}
        results = [objective.corrupt(example, rng=np.random.default_rng(s), progress=0.0) for s in (0, 0, 1)]
        np.testing.assert_array_equal(results[0]["input_ids"], results[1]["input_ids"])
        assert (results[0]["labels"] != results[2]["labels"]).any()
        for name, value in before.items():
            np.testing.assert_array_equal(example[name], value)


class TestChoose:
    def test_by_hand(self):
        units = np.array([-1, 0, 0, 1, -1])
        np.testing.assert_array_equal(choose(units, 1.0, np.random.default_rng(0)), units >= 0)
        assert choose(units, 0.01, np.random.default_rng(0)).sum() in (1, 2)
        assert not choose(np.array([-1, -1]), 0.5, np.random.default_rng(0)).any()

    def test_every_unit_is_as_likely(self):
        picked = sum(choose(np.arange(10), 0.3, np.random.default_rng(seed)) for seed in range(4000))
        assert np.abs(picked - 1200).max() < 5 * np.sqrt(4000 * 0.3 * 0.7)


class TestJoinWords:
    @pytest.mark.parametrize("max_span", [1, 2, 5])
    def test_spans_have_1_to_max_span_words(self, max_span):
        words = np.repeat(np.arange(3000), np.random.default_rng(0).integers(1, 4, 3000))
        spans = join_words(words, max_span, np.random.default_rng(1))
        sizes = np.array([len(np.unique(words[spans == span])) for span in range(spans.max() + 1)])
        assert set(sizes) - {sizes[-1]} <= set(range(1, max_span + 1))
        assert sizes.max() == max_span
        assert sizes.mean() == pytest.approx((1 + max_span) / 2, rel=0.06)
        assert set(np.diff(spans)) <= {0, 1}

    def test_no_span_crosses_a_special_token(self):
        words = np.array([-1, 0, 1, 2, -1, 3, 4, 5, -1])
        for seed in range(50):
            spans = join_words(words, 3, np.random.default_rng(seed))
            assert spans[words == -1].tolist() == [-1] * 3
            assert spans[3] != spans[5]
            assert spans[1:4].tolist() == sorted(spans[1:4])

    def test_nothing_but_special_tokens(self):
        assert join_words(np.array([-1, -1]), 3, np.random.default_rng(0)).tolist() == [-1, -1]


@pytest.fixture(scope="module")
def wordpiece():
    """A BERT tokenizer of the words of `SENTENCE`, some of them in two pieces."""
    pieces = "[PAD] [UNK] [CLS] [SEP] [MASK] the old cap ##tain repair ##ed broken clock , and nobody knew why : “ with"
    vocab = {piece: i for i, piece in enumerate([*pieces.split(), "##out", "any", "doubt", "!", "”"])}
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


class TestHubModel:
    """A BERT of transformers' own: dense logits, no packing, fields of its own."""

    @pytest.fixture
    def config(self, wordpiece):
        return BertConfig(
            vocab_size=len(wordpiece), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )

    @pytest.mark.parametrize("unit", ["token", "word", "span"])
    def test_masked_tokens_learn(self, wordpiece, config, unit):
        torch.manual_seed(0)
        objective = bound(wordpiece, config, unit=unit)
        assert not objective.packs
        example = encoded(objective, wordpiece, SENTENCE)
        assert wordpiece.unk_token_id not in example["input_ids"]
        rows = [[objective.corrupt(example, rng=np.random.default_rng(seed), progress=0.0)] for seed in range(4)]
        rows.append(
            [objective.corrupt(encoded(objective, wordpiece, "Nobody."), rng=np.random.default_rng(9), progress=0.0)]
        )
        batch = collate(rows, padding=objective.padding)
        model = AutoModelForMaskedLM.from_config(config).eval()
        outputs = objective.forward({"model": model}, batch, "model")
        assert outputs.logits.dim() == 3
        loss = objective.loss(outputs, batch, "model")["tokens"]
        reference = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], token_type_ids=batch["token_type_ids"]
        ).logits
        wanted = cross_entropy(reference.flatten(0, 1), batch["labels"].flatten(), reduction="sum")
        torch.testing.assert_close(loss, wanted)
        assert objective.counts(batch, "model") == {"tokens": int((batch["labels"] != -100).sum())}
        right = (reference.argmax(-1) == batch["labels"])[batch["labels"] != -100].sum()
        assert objective.hits(outputs, batch, "model")["tokens"] == right

        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(40):
            optimizer.zero_grad()
            now = objective.loss(objective.forward({"model": model}, batch, "model"), batch, "model")["tokens"]
            now.backward()
            optimizer.step()
        assert now < 0.5 * loss

    def test_tokens_and_order_share_one_forward_pass(self, wordpiece, config):
        torch.manual_seed(0)
        joint = Joint({"a": MaskedTokens(), "b": SentenceOrder()})
        joint.bind(wordpiece, config)
        example = encoded(joint, wordpiece, SENTENCE, "Nobody knew why.")
        rows = [[joint.corrupt(example, rng=np.random.default_rng(seed), progress=0.0)] for seed in range(6)]
        batch = collate(rows, padding=joint.padding)
        assert set(batch["next_sentence_label"].tolist()) == {0, 1}
        model = AutoModelForPreTraining.from_config(config).eval()
        losses = joint.loss(joint.forward({"model": model}, batch, "model"), batch, "model")
        reference = model(
            input_ids=batch["input_ids"],
            token_type_ids=batch["token_type_ids"],
            labels=batch["labels"],
            next_sentence_label=batch["next_sentence_label"],
        )
        mean = losses["tokens"] / len(batch["label_positions"]) + losses["order"] / 6
        torch.testing.assert_close(mean, reference.loss)


def test_sparse_and_dense_heads_agree(tiny_tokenizer, tiny_config):
    objective = bound(tiny_tokenizer, tiny_config)
    assert objective.packs
    example = encoded(objective, tiny_tokenizer, SENTENCE)
    batch = collate(
        [[objective.corrupt(example, rng=np.random.default_rng(s), progress=0.0)] for s in range(3)], padding={}
    )
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(tiny_config).eval()
    losses = []
    for fields in (objective.fields, objective.fields - {"logit_positions"}):
        objective.fields = fields
        losses.append(objective.loss(objective.forward({"model": model}, batch, "model"), batch, "model")["tokens"])
    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rate": 0.0}, "the share of hidden tokens must be above 0 and at most 1, but 0.0 came"),
        ({"final_rate": 1.5}, "the share of hidden tokens must be above 0 and at most 1, but 1.5 came"),
        ({"max_span": 0}, "max_span counts words and must be at least 1, but 0 came"),
        ({"weight": 0.0}, "weight must be above 0, but 0.0 came"),
    ],
)
def test_refuses_what_makes_no_sense(options, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        MaskedTokens(**options)


def test_names_what_a_tokenizer_lacks(wordpiece, tiny_config):
    for token, sentence in (
        ("mask_token", r"MaskedTokens needs a tokenizer with a \[MASK\] token, but this one has none"),
        ("sep_token", r"MaskedTokens needs a tokenizer with \[CLS\] and \[SEP\], but this one lacks them"),
    ):
        names = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "mask") if f"{name}_token" != token}
        lacking = PreTrainedTokenizerFast(tokenizer_object=wordpiece.backend_tokenizer, **names)
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            MaskedTokens().bind(lacking, tiny_config)


def test_names_a_model_without_the_head(tiny_tokenizer):
    with pytest.raises(ValueError, match=r"^AutoModelForMaskedLM knows no model for a GPT2Config: choose another"):
        MaskedTokens().bind(tiny_tokenizer, GPT2Config())

"""Where a model looks, and what it reads before it goes on: by hand."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from selfsup.data.collate import collate
from selfsup.finetuning.watching import AfterMistakes, Aligned, Alignment, OfFirstWord, found_again

PAIRS = [
    {"source": "The miller found a map.", "target": "a map"},
    {"source": "The old captain counted seven letters.", "target": "seven letters in the garden"},
]


@pytest.fixture
def made(tiny_tokenizer, tiny_pair_config):
    """An objective bound, a fresh model, and a batch."""

    def make(objective):
        objective.survey(PAIRS)
        objective.bind(tiny_tokenizer, tiny_pair_config)
        torch.manual_seed(0)
        model = AutoModelForSeq2SeqLM.from_config(tiny_pair_config).eval()
        rows = [[objective.corrupt(objective.encode(pair), rng=None, progress=None)] for pair in PAIRS]
        return objective, {"model": model}, collate(rows, padding=objective.padding)

    return make


@pytest.mark.parametrize(
    ("source", "target", "looked", "found"),
    [
        ([5, 6, 7], [5, 6, 7], [0, 1, 2], [3, 3, 3]),
        ([5, 6, 7], [7, 6, 5], [2, 1, 0], [3, 1, 3]),  # found, though not on the diagonal
        ([5, 6, 7], [7, 6, 5], [0, 1, 2], [1, 1, 3]),  # on the diagonal, and so not found
        ([5, 6, 7, 8], [7, 8], [1, 2], [2, 1, 2]),  # looked up just before
        ([5, 6, 7], [5, 6], [1, 2], [0, 2, 2]),  # just behind is another place
        ([5, 5, 7], [5, 7], [0, 2], [1, 1, 1]),  # 5 stands twice: only 7 is asked about
        ([5, 6], [6, 6, 9], [1, 1, 0], [0, 0, 0]),
    ],
)
def test_found_again_by_hand(source, target, looked, found):
    attention = torch.eye(len(source))[looked]
    assert found_again(torch.tensor(source), torch.tensor(target), attention) == found


def test_alignment_is_of_the_models_attention_and_learns_as_ever(made):
    objective, players, batch = made(Alignment())
    outputs = objective.forward(players, batch, "model")
    of_all = objective.answer(players, batch, outputs)
    own = players["model"](**objective.inputs(batch), output_attentions=True)
    for row, counted in enumerate(of_all):
        source = batch["input_ids"][row][batch["attention_mask"][row].bool()]
        target = batch["targets"][row][batch["targets"][row] != -100]
        looked = sum(layer[row].mean(dim=0) for layer in own.cross_attentions)
        assert counted == found_again(source, target, looked[: len(target), : len(source)])
    assert sum(counted[2] for counted in of_all) > 3
    metric = Aligned()
    totals = metric.tallies(of_all, [objective.reference(pair) for pair in PAIRS]).sum(axis=0)
    assert metric.figures(totals)["aligned"] == totals[0] / totals[2]
    plain, plain_players, _ = made(OfFirstWord())
    losses = [one.loss(one.forward(p, batch, ""), batch, "")["target"]
              for one, p in ((objective, players), (plain, plain_players))]  # fmt: skip
    assert losses[0] == losses[1]


def test_the_first_word_is_wanted(made):
    objective, _, _ = made(OfFirstWord())
    assert [objective.reference(pair) for pair in PAIRS] == ["The", "The"]


def test_a_beginning_is_the_true_half_but_for_its_share_of_mistakes(made):
    objective, _, _ = made(AfterMistakes(share=0.0))
    target = list(range(20, 33))
    assert objective.beginning(target) == target[:6]
    objective.share = 1.0
    wrong = objective.beginning(target)
    assert wrong == objective.beginning(target)
    assert len(wrong) == 6
    assert not set(wrong) & set(objective.tokenizer.all_special_ids)
    objective.share = 0.3
    long = list(range(20, 220))
    kept = np.mean(np.array(objective.beginning(long)) == long[:100])
    assert 0.55 < kept < 0.85


def test_what_follows_is_written_behind_the_beginning_and_scored_alone(made):
    objective, players, batch = made(AfterMistakes(share=0.5))
    written = objective.answer(players, batch, None)
    model = players["model"]
    for row, ids in enumerate(written):
        target = batch["targets"][row][batch["targets"][row] != -100].tolist()
        before = [objective.start_id, *objective.beginning(target)]
        mask = batch["attention_mask"][row].bool()
        for token in ids[:3]:
            scores = model(
                input_ids=batch["input_ids"][row][mask][None], decoder_input_ids=torch.tensor([before])
            ).logits[0, -1]
            assert token == scores.argmax()
            before.append(token)
    second = objective.reference(PAIRS[1])
    assert second
    assert PAIRS[1]["target"].endswith(second)
    assert second != PAIRS[1]["target"]

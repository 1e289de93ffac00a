"""A generator that guesses and a model that finds its guesses: who reads, learns and shares what."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch.nn.functional import cross_entropy
from transformers import AutoModelForTokenClassification, BertConfig

from selfsup.data.collate import collate
from selfsup.objectives import Joint, MaskedTokens, ReplacedTokens
from selfsup.objectives.replaced_tokens import draw

IDS = np.arange(20, 32)


@pytest.fixture
def objective(tiny_tokenizer, tiny_config):
    made = ReplacedTokens(rate=0.5)
    made.bind(tiny_tokenizer, tiny_config)
    return made


@pytest.fixture
def players(objective, tiny_config):
    torch.manual_seed(0)
    model = AutoModelForTokenClassification.from_config(tiny_config)
    return {"model": model, **objective.further_players(model)}


@pytest.fixture
def batch(objective):
    def example(seed: int):
        rng = np.random.default_rng(seed)
        return objective.corrupt(objective.encode({"segments": [IDS], "stranger": None}), rng=rng, progress=0.0)

    return collate([[example(0)], [example(1)]], padding=objective.padding)


class Recorder(torch.nn.Module):
    """Says fixed logits and keeps what it was shown."""

    def __init__(self, logits) -> None:
        super().__init__()
        self.logits = logits
        self.seen: dict[str, torch.Tensor] = {}

    def forward(self, **fields):
        self.seen = fields
        return {"logits": self.logits}


def test_the_model_reads_the_guesses_and_is_asked_about_every_ordinary_token(objective, batch):
    """By hand: of the hidden places one is guessed right, the others wrong; [CLS] and [SEP] are not asked about."""
    places = batch["label_positions"]
    truth = batch["labels"].flatten()[places]
    guesses = torch.where(torch.arange(len(places)) == 0, truth, 7)
    generator = Recorder(torch.nn.functional.one_hot(guesses, 384) * 1e4)
    model = Recorder(torch.randn(2, 14, 2))
    outputs = objective.forward({"generator": generator, "model": model}, batch, "model")

    wanted = torch.tensor([[2, *IDS, 3]] * 2).flatten()
    wanted[places[1:]] = 7
    assert model.seen["input_ids"].tolist() == wanted.view(2, 14).tolist()
    assert "labels" not in model.seen
    hidden = torch.zeros(28, dtype=torch.long)
    hidden[places[1:]] = 1
    assert outputs["replaced"].flatten().equal(hidden)
    asked = torch.tensor([[False, *[True] * 12, False]] * 2)
    assert objective.counts(batch, "model") == {"replaced": 24}
    assert objective.counts(batch, "generator") == {"tokens": len(places)}
    loss = cross_entropy(model.logits[asked], hidden.view(2, 14)[asked], reduction="sum")
    torch.testing.assert_close(objective.loss(outputs, batch, "model")["replaced"], loss)
    assert objective.blind_hits(outputs, batch, "model")["replaced"] == 24 - (len(places) - 1)


def test_all_that_is_hidden_becomes_a_mask(objective, batch, tiny_tokenizer):
    shown = batch["input_ids"].flatten()[batch["label_positions"]]
    assert shown.tolist() == [tiny_tokenizer.mask_token_id] * 12


def test_embeddings_are_shared_and_move_in_both_turns(objective, players, batch):
    model, generator = players["model"], players["generator"]
    shared = model.get_input_embeddings().weight
    assert generator.get_input_embeddings().weight is shared
    assert generator.get_output_embeddings().weight is shared
    assert (generator.config.num_hidden_layers, model.config.num_hidden_layers) == (1, 2)
    assert model.config.id2label == {0: "ORIGINAL", 1: "REPLACED"}
    for turn in objective.turns:
        shared.grad = None
        objective.loss(objective.forward(players, batch, turn), batch, turn)[
            {"generator": "tokens", "model": "replaced"}[turn]
        ].backward()
        assert shared.grad.abs().max() > 0, turn


def test_chance_comes_with_the_example_and_not_with_the_batch(objective, players, batch):
    """Two rows at once or one by one, after whatever draws of torch: the same tokens are replaced."""
    for player in players.values():
        player.eval()
    torch.manual_seed(1)
    together = objective.forward(players, batch, "model")["replaced"]
    assert together.sum() > 0
    for row in range(2):
        one = collate([[{name: value[row].numpy() for name, value in batch.items() if value.dim() == 2}]], padding={})
        assert objective.forward(players, one, "model")["replaced"].equal(together[row : row + 1])


def test_draw_follows_the_distribution():
    logits = torch.tensor([1.0, -2.0, 0.5, 0.0, 2.0])
    chance = torch.from_numpy(np.random.default_rng(0).random(20_000))
    counts = torch.bincount(draw(logits.expand(20_000, 5), chance), minlength=5).numpy()
    assert chisquare(counts, 20_000 * logits.double().softmax(-1).numpy()).pvalue > 0.01


@pytest.mark.parametrize(("chance", "token"), [(0.0, 1), (0.49, 1), (0.51, 2), (1.0, 2)])
def test_draw_never_gives_what_has_no_probability(chance, token):
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]])
    assert draw(logits, torch.tensor([chance])).tolist() == [token]


def test_a_bert_of_the_hub_is_a_player_too(objective, tiny_tokenizer, batch):
    config = BertConfig(
        vocab_size=384, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32
    )
    model = AutoModelForTokenClassification.from_config(config)
    players = {"model": model, **objective.further_players(model)}
    objective.bind(tiny_tokenizer, config)
    assert players["generator"].config.num_hidden_layers == 1
    assert players["generator"].get_output_embeddings().weight is model.get_input_embeddings().weight
    assert objective.forward(players, batch, "model")["logits"].shape == (2, 14, 2)


def test_wrong_arguments_are_refused(tiny_tokenizer, tiny_config):
    with pytest.raises(ValueError, match="generator_share must be above 0 and at most 1, but 0 came"):
        ReplacedTokens(generator_share=0)
    with pytest.raises(ValueError, match="several players is trained alone, but these came together: MaskedTokens, Re"):
        Joint({"tokens": MaskedTokens(), "replaced": ReplacedTokens()})
    tiny_config.num_labels = 3
    with pytest.raises(ValueError, match="tells two kinds of tokens apart, but the model tells 3: go on from one"):
        ReplacedTokens().further_players(AutoModelForTokenClassification.from_config(tiny_config))

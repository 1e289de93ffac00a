"""Teacher forcing against transformers' own loss and values by hand; other people's models; what is drawn and cut."""

from typing import Any, cast

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModelForSeq2SeqLM, BartConfig, BartForConditionalGeneration, T5Config

from selfsup.data.collate import collate
from selfsup.objectives import ConditionalMaskedTokens, SequenceReward, SequenceToSequence
from selfsup.objectives.sequence_to_sequence import off_diagonal

PAIRS = [
    {"source": "The miller found a map.", "target": "a map"},
    {"source": "The queen sang.", "target": "the queen sang in winter"},
    {"source": "The old captain counted seven letters in the garden.", "target": "seven"},
]


@pytest.fixture
def made(tiny_tokenizer, tiny_pair_config):
    def make(objective=None, config=None, pairs=PAIRS, progress=None):
        objective = objective or SequenceToSequence()
        config = config or tiny_pair_config
        objective.survey(pairs)
        objective.bind(tiny_tokenizer, config)
        torch.manual_seed(0)
        model = AutoModelForSeq2SeqLM.from_config(config).eval()
        rows = [
            [objective.corrupt(objective.encode(pair), rng=np.random.default_rng(place), progress=progress)]
            for place, pair in enumerate(pairs)
        ]
        return objective, {"model": model}, collate(rows, padding=objective.padding)

    return make


def others(tokenizer):
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.sep_token_id}
    return {
        "bart": BartConfig(vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, dropout=0.0,
                           encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
                           max_position_embeddings=64, decoder_start_token_id=tokenizer.sep_token_id,
                           bos_token_id=tokenizer.cls_token_id, forced_eos_token_id=None, **ids),
        "t5": T5Config(vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
                       dropout_rate=0.0, decoder_start_token_id=tokenizer.pad_token_id, **ids),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["ours", "bart", "t5"])
def test_loss_is_transformers_own(made, tiny_tokenizer, kind):
    objective, players, batch = made(config=others(tiny_tokenizer).get(kind))
    own = objective.loss(objective.forward(players, batch, "model"), batch, "model")["target"]
    wanted = players["model"](
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["targets"]
    ).loss
    torch.testing.assert_close(own / objective.counts(batch, "model")["target"], wanted)
    written = objective.answer(players, batch, None)
    assert len(written) == 3
    assert all(len(ids) <= objective.num_written + 1 for ids in written)


def test_targets_keep_what_the_decoder_does_not_begin_with(made, tiny_tokenizer):
    """Ours reads [CLS] and writes `target [SEP]`; BART begins with its end, so [CLS] is the first token to write."""
    cls, sep = tiny_tokenizer.cls_token_id, tiny_tokenizer.sep_token_id
    inside = tiny_tokenizer(PAIRS[0]["target"], add_special_tokens=False)["input_ids"]
    objective, _, _ = made()
    assert objective.encode(PAIRS[0])["targets"].tolist() == [*inside, sep]
    assert objective.encode(PAIRS[0])["decoder_input_ids"].tolist() == [cls, *inside]
    objective, _, _ = made(config=others(tiny_tokenizer)["bart"])
    assert objective.encode(PAIRS[0])["targets"].tolist() == [cls, *inside, sep]
    assert objective.encode(PAIRS[0])["decoder_input_ids"].tolist() == [sep, cls, *inside]


def test_smoothing_by_hand_and_only_in_training(made):
    objective, players, batch = made(SequenceToSequence(label_smoothing=0.2), progress=0.0)
    outputs = objective.forward(players, batch, "model")
    nats = -outputs.logits.log_softmax(dim=-1)
    asked = batch["targets"] != -100
    true = nats.gather(-1, batch["targets"].clamp(min=0)[..., None])[..., 0]
    wanted = (0.8 * true + 0.2 * nats.mean(dim=-1))[asked].sum()
    torch.testing.assert_close(objective.loss(outputs, batch, "model")["target"], wanted)
    del batch["learnt"]
    torch.testing.assert_close(objective.loss(outputs, batch, "model")["target"], true[asked].sum())


def test_guidance_by_hand():
    """Two target tokens and three source tokens, of which the last is padding."""
    attention = torch.tensor([[[0.75, 0.25, 0.0], [0.5, 0.5, 0.0]]])
    found = off_diagonal(attention, torch.tensor([[True, True]]), torch.tensor([[True, True, False]]), 0.5)
    far = 1 - np.exp(-0.25 / 0.5)  # half a text apart: 0.5 squared over 2 x 0.5 squared
    assert found.item() == pytest.approx(0.25 * far + 0.5 * far)


def test_guidance_pulls_attention_to_the_diagonal(made):
    objective, players, batch = made(SequenceToSequence(guided=5.0), progress=0.0)
    assert objective.weights == {"target": 1.0, "diagonal": 5.0}
    optimizer = torch.optim.Adam(players["model"].parameters(), lr=0.01)
    course = []
    for _ in range(15):
        loss = objective.loss(objective.forward(players, batch, "model"), batch, "model")["diagonal"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        course.append(loss.item() / objective.counts(batch, "model")["diagonal"])
    assert 0 < course[-1] < course[0] < 1


def test_its_own_tokens_stand_where_they_were_drawn(made):
    objective, players, forced = made(progress=1.0)
    plain = objective.forward(players, forced, "model").logits
    for share, progress in ((0.0, 1.0), (1.0, 0.0)):
        never, _, batch = made(SequenceToSequence(scheduled=share), progress=progress)
        torch.testing.assert_close(never.forward(players, batch, "model").logits, plain)
    always, _, batch = made(SequenceToSequence(scheduled=1.0), progress=1.0)
    read = always.mixed(players, always.inputs(batch), batch)
    assert torch.equal(read[:, 0], forced["decoder_input_ids"][:, 0])
    own = batch["decoder_own"][:, 1:].bool()
    assert own.sum() == (batch["targets"] != -100)[:, 1:].sum()
    assert torch.equal(read[:, 1:][own], plain.argmax(dim=-1)[:, :-1][own])


def test_what_is_too_long_is_cut_and_said(made, tiny_pair_config, tiny_tokenizer):
    tiny_pair_config.max_position_embeddings = 8
    objective, _, _ = made(config=tiny_pair_config)
    long = {"source": "The miller found a map of the island.", "target": "A map of the island was found."}
    row = objective.encode(long)
    cls, sep = tiny_tokenizer.cls_token_id, tiny_tokenizer.sep_token_id
    assert (len(row["input_ids"]), row["input_ids"][0], row["input_ids"][-1]) == (8, cls, sep)
    assert len(row["targets"]) == 8
    assert sep not in row["targets"]
    assert [note.split(" of")[0] for note in objective.notes(long)] == ["a source", "a target"]
    assert objective.notes({"source": "a", "target": "a"}) == []


@pytest.mark.parametrize("empty", ["source", "target"])
def test_refuses_what_is_empty(made, empty):
    objective, _, _ = made()
    with pytest.raises(ValueError, match=f"a {empty} was wanted, but it is empty"):
        objective.check({"source": "a", "target": "b"} | {empty: " "})


def test_targets_are_padded_to_a_width_of_their_own(made):
    objective, _, batch = made()
    lengths = [len(objective.encode(pair)["targets"]) for pair in PAIRS]
    assert batch["targets"].shape == batch["decoder_input_ids"].shape == (3, max(lengths))
    assert batch["decoder_attention_mask"].sum(1).tolist() == lengths
    assert batch["input_ids"].shape[1] > max(lengths)


def test_reward_makes_a_better_sample_likelier(made):
    """A step along the gradient raises p of samples with an advantage, and lowers that of the others."""
    objective, players, batch = made(SequenceReward(mix=0.0), progress=0.5)
    outputs = objective.forward(players, batch, "model")

    def log_probs(logits):
        nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), outputs.asked.flatten(), reduction="none")
        return -nats.view(outputs.asked.shape).sum(dim=1)

    chosen = int(outputs.advantages.abs().argmax())
    assert outputs.advantages[chosen] != 0
    weight = torch.zeros_like(outputs.advantages)
    weight[chosen] = outputs.advantages[chosen]
    before, outputs.advantages = log_probs(outputs.logits)[chosen].item(), weight
    objective.loss(outputs, batch, "model")["reward"].backward()
    with torch.no_grad():
        for parameter in players["model"].parameters():
            parameter -= 0.01 * parameter.grad
    again = objective.forward(players, batch, "model")
    fields = {
        "decoder_input_ids": torch.cat([batch["decoder_input_ids"][:, :1], outputs.asked[:, :-1].clamp(min=0)], 1)
    }
    after = log_probs(
        players["model"](input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], **fields).logits
    )
    assert again.asked.shape[0] == 3
    assert (after[chosen].item() - before) * weight[chosen].item() > 0


def test_samples_do_not_depend_on_their_company(made):
    objective, players, batch = made(SequenceReward(), progress=0.5)
    together = objective.write(players["model"], batch)
    for row in range(3):
        own = batch["attention_mask"][row].bool()
        one = {"input_ids": batch["input_ids"][row : row + 1, own], "noise_key": batch["noise_key"][row : row + 1]}
        assert objective.write(players["model"], one) == [together[row], together[3 + row]]


def test_samples_against_each_other_have_opposite_advantages(made):
    objective, players, batch = made(SequenceReward(mix=0.0, against="sample"), progress=0.5)
    model, outputs = players["model"], objective.forward(players, batch, "model")
    first, second = outputs.advantages.chunk(2)
    assert first.equal(-second)
    assert first.abs().max() > 0
    assert objective.counts(batch, "model") == {"reward": 6}
    written = objective.write(model, batch)
    against_guesses, _, _ = made(SequenceReward(mix=0.0), progress=0.5)
    assert written[:3] == against_guesses.write(model, batch)[:3]
    assert all(one != other for one, other in zip(written[:3], written[3:], strict=True))
    wanted = 0.0
    for row, (ids, advantage) in enumerate(zip(written, outputs.advantages.tolist(), strict=True)):
        given = {name: batch[name][row % 3 : row % 3 + 1] for name in ("input_ids", "attention_mask")}
        logits = model(**given, decoder_input_ids=torch.tensor([[objective.start_id, *ids[:-1]]])).logits[0]
        wanted -= advantage * float(logits.log_softmax(dim=-1)[range(len(ids)), ids].detach().sum())
    assert float(objective.loss(outputs, batch, "model")["reward"].detach()) == pytest.approx(wanted, rel=1e-4)
    with pytest.raises(ValueError, match="against greedy or sample"):
        SequenceReward(against=cast(Any, "chance"))


def test_reward_keeps_to_the_settings_of_a_model(made, tiny_tokenizer):
    """What is written is what `generate` writes, and what is learnt the log-probability of what was chosen."""
    objective, players, batch = made(SequenceReward(max_new_tokens=5), others(tiny_tokenizer)["bart"], progress=0.5)
    model, sep = players["model"], tiny_tokenizer.sep_token_id
    free = objective.write(model, batch)
    never, first = [free[3][1], free[0][2]], 300
    settings = model.generation_config
    settings.bad_words_ids, settings.suppress_tokens = [never[:1]], never[1:]
    settings.forced_bos_token_id, settings.forced_eos_token_id = first, sep
    written, log_probs = objective.write(model, batch), 0.0
    for row in range(3):
        given = {name: batch[name][row : row + 1] for name in ("input_ids", "attention_mask")}
        wanted = model.generate(**given, num_beams=1, max_new_tokens=5, do_sample=False)[0, 1:].tolist()
        assert written[3 + row] == wanted
        assert written[row] != free[row]
        assert (written[row][0], written[row][-1]) == (first, sep)
        assert not {*never} & {*written[row]}
        logits = model(**given, decoder_input_ids=torch.tensor([[objective.start_id, *written[row][:-1]]])).logits[0]
        logits[:, never] = -torch.inf
        chosen = logits.log_softmax(dim=-1)[range(len(written[row])), written[row]]
        log_probs += float(chosen[1:4].detach().sum())  # of 5 tokens two were forced
    outputs = objective.forward(players, batch, "model")
    outputs.advantages = torch.ones(3)
    losses = objective.loss(outputs, batch, "model")
    assert float(losses["reward"].detach()) == pytest.approx(-log_probs, rel=1e-4)
    true = objective.forward(players, {name: value for name, value in batch.items() if name != "learnt"}, "model")
    plain = torch.nn.functional.cross_entropy(true.logits.flatten(0, 1), batch["targets"].flatten(), reduction="sum")
    torch.testing.assert_close(losses["target"], plain, rtol=1e-4, atol=1e-4)


def test_longest_target_bounds_what_is_written(made):
    objective, _, _ = made()
    assert objective.num_written == objective.findings()["max_target_tokens"]
    config = transformers.AutoConfig.for_model("bart", max_target_tokens=7, max_position_embeddings=64)
    fresh = SequenceToSequence()
    fresh.bind(objective.tokenizer, config)
    assert fresh.num_written == 7


def test_guided_attention_of_models_of_others_and_what_parallel_writing_needs(wordpiece):
    """Their kernels give no weights; and they cannot write in parallel."""
    config = BartConfig(
        vocab_size=64, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16, decoder_ffn_dim=16,
        encoder_attention_heads=2, decoder_attention_heads=2, max_position_embeddings=32, pad_token_id=0,
        bos_token_id=2, eos_token_id=3, decoder_start_token_id=3, forced_eos_token_id=None,
    )  # fmt: skip
    model, objective = BartForConditionalGeneration(config), SequenceToSequence(guided=1.0)
    objective.bind(wordpiece, config)
    example = objective.encode({"source": "ann met bob .", "target": "bob met ann ."})
    rows = [[objective.corrupt(example, rng=np.random.default_rng(0), progress=0.5)]]
    batch = collate(rows, padding=objective.padding)
    loss = objective.loss(objective.forward({"model": model}, batch, "model"), batch, "model")
    assert 0 < float(loss["diagonal"].detach()) < objective.counts(batch, "model")["diagonal"]
    with pytest.raises(ValueError, match="needs an encoder-decoder of ours"):
        ConditionalMaskedTokens().bind(wordpiece, config)


def test_scores_of_hidden_tokens_alone_give_the_loss_of_all(tiny_tokenizer, tiny_pair_config):
    objective = ConditionalMaskedTokens(label_smoothing=0.1)
    tiny_pair_config.parallel = True
    objective.bind(tiny_tokenizer, tiny_pair_config)
    torch.manual_seed(0)
    model = transformers.AutoModelForMaskedLM.from_config(tiny_pair_config).eval()
    rng = np.random.default_rng(0)
    rows = [[objective.corrupt(objective.encode(pair), rng=rng, progress=0.5)] for pair in PAIRS]
    batch = collate(rows, padding=objective.padding)
    outputs = objective.forward({"model": model}, batch, "model")
    dense = model(**objective.inputs(batch)).logits
    hidden = batch["targets"] != -100
    assert 0 < int(hidden.sum()) < int(batch["decoder_attention_mask"].sum())
    torch.testing.assert_close(outputs.logits, dense[hidden])
    wanted = torch.nn.functional.cross_entropy(
        dense.flatten(0, 1), batch["targets"].flatten(), reduction="sum", label_smoothing=0.1
    )
    torch.testing.assert_close(objective.loss(outputs, batch, "model")["masked"], wanted)

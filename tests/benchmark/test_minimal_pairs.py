"""Minimal pairs: what is read, who is right how often, and the whole command on models of chance."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

from selfsup.benchmark import minimal_pairs, paradigms
from selfsup.benchmark.minimal_pairs import decide, figures, judge, judge_all, labels, model_key, ngram_scorer, report
from selfsup.benchmark.paradigms import Paradigm, read_paradigms

SCRIPT = Path(__file__).parents[2] / "scripts" / "minimal_pairs.py"
ROWS = [
    {
        "UID": kind,
        "linguistics_term": term,
        "sentence_good": f"The {who} sold {what}.",
        "sentence_bad": f"The {who} {what} sold.",
    }
    for kind, term in (("verbs", "argument_structure"), ("verbs_2", "argument_structure"), ("cats", "own_kind"))
    for who in ("queen", "judge", "cat")
    for what in ("some bread", "seven letters")
]


@pytest.fixture
def table(tmp_path):
    def made(rows=ROWS, name="pairs.jsonl") -> str:
        path = tmp_path / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return made


def test_paradigms_and_halves(table):
    whole = read_paradigms(table())
    assert [(one.name, one.phenomenon, one.field) for one in whole] == [
        ("verbs", "argument_structure", "syntax"),
        ("verbs_2", "argument_structure", "syntax"),
        ("cats", "own_kind", "other"),
    ]
    assert whole[0].good[:2] == ("The queen sold some bread.", "The queen sold seven letters.")
    assert whole[0].bad[5] == "The cat seven letters sold."
    first, second = read_paradigms(table(), share="first"), read_paradigms(table(), share="second")
    for one, head, rest in zip(whole, first, second, strict=True):
        assert len(head.good) == 3
        assert (head.good + rest.good, head.bad + rest.bad) == (one.good, one.bad)


def test_a_column_of_fields_is_believed_and_names_may_be_small(table):
    rows = [{name.lower(): value for name, value in row.items()} | {"field": "morals"} for row in ROWS]
    assert {one.field for one in read_paradigms(table(rows))} == {"morals"}


def test_all_configurations_of_the_hub_are_read(monkeypatch):
    asked = []

    def rows_of(name, *, split, data_root):
        asked.append((name, split))
        kept = [row for row in ROWS if row["UID"] == name.rpartition("/")[2]]
        return SimpleNamespace(name=name, columns=list(ROWS[0]), rows=lambda columns: enumerate(kept))

    monkeypatch.setattr(paradigms, "find_rows", rows_of)
    monkeypatch.setattr(paradigms, "_configurations", lambda name: ["verbs", "cats"])
    assert [one.name for one in read_paradigms("some/pairs")] == ["verbs", "cats"]
    assert asked == [("some/pairs/verbs", "train"), ("some/pairs/cats", "train")]


@pytest.mark.parametrize(
    ("rows", "share", "message"),
    [
        ([{"text": "a", "UID": "b"}], "all", "no sentence_good, sentence_bad, only text, UID: rename them"),
        ([ROWS[0] | {"sentence_bad": " "}], "all", "line 1 of pairs.jsonl: text is wanted in sentence_bad, but ' '"),
        ([ROWS[0]], "first", "the first half of the pairs is wanted, but verbs has 1: take --share all"),
    ],
)  # fmt: skip
def test_wrong_tables_are_refused(table, rows, share, message):
    with pytest.raises(ValueError, match=message):
        read_paradigms(table(rows), share=share)


def test_ties_count_a_half():
    assert decide(np.array([0.5, 5e-5, 0.0, -5e-5, -0.5, np.inf])).tolist() == [1, 0.5, 0.5, 0.5, 0, 1]


def test_who_is_right_how_often_by_hand():
    of_length = {"a": 1.0, "bb": 2.0, "ccc": 3.0}
    found = judge(
        lambda sentences: np.array([-of_length[one] for one in sentences]),
        [
            Paradigm("one", "p", "f", ("a", "a", "ccc", "bb"), ("bb", "a", "a", "ccc")),
            Paradigm("two", "p", "f", ("a", "a"), ("bb", "ccc")),
            Paradigm("three", "q", "f", ("bb",), ("a",)),
        ],
    )
    assert {name: own.tolist() for name, own in found.items()} == {
        "one": [1, 0.5, 0, 1], "two": [1, 1], "three": [0]
    }  # fmt: skip


def test_means_are_over_paradigms_and_intervals_within_them():
    groups = [Paradigm(name, kind, "f", (), ()) for name, kind in {"a": "p", "b": "p", "c": "q"}.items()]
    chance = np.random.default_rng(0)
    scores = {"a": chance.permutation(np.repeat([0.0, 1.0], [100, 300])), "b": np.ones(5), "c": np.zeros(10)}
    found = figures(groups, scores, rng=chance)
    mean, low, high = found["paradigm"]["a"]
    spread = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (mean, low, high) == pytest.approx((0.75, 0.75 - spread, 0.75 + spread), abs=4e-3)
    assert found["paradigm"]["b"] == (1, 1, 1)
    assert found["phenomenon"]["p"] == pytest.approx((0.875, (low + 1) / 2, (high + 1) / 2))
    assert found["phenomenon"]["q"] == (0, 0, 0)
    assert found["all"]["mean of paradigms"] == pytest.approx((1.75 / 3, (low + 1) / 3, (high + 1) / 3))
    assert found["field"]["f"] == found["all"]["mean of paradigms"]
    printed = report({"x": found, "y": found}, ["phenomenon", "all"])
    assert "mean of paradigms  50.0    58.3 (" in printed
    assert "  q                50.0    0.0 (0.0 to 0.0)  " in printed


def test_n_grams_know_the_words_they_read(tiny_corpus, tiny_tokenizer):
    score = ngram_scorer(tiny_corpus, tiny_tokenizer)
    likely, unlikely, again = score(
        ["The queen sold some bread.", "Bread some sold queen the.", "The queen sold some bread."]
    )
    assert likely > unlikely + 5
    assert likely == pytest.approx(again)
    with pytest.raises(ValueError, match="a text with tokens is wanted, but '' gives none"):
        score(["a", ""])


@pytest.fixture
def decoder(tiny_tokenizer, tmp_path) -> Path:
    folder = tmp_path / "decoder"
    torch.manual_seed(0)
    GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tiny_tokenizer), n_embd=8, n_layer=1, n_head=1, n_positions=64, bos_token_id=None,
                   eos_token_id=None, initializer_range=0.3)
    ).save_pretrained(folder)  # fmt: skip
    tiny_tokenizer.save_pretrained(folder)
    return folder


def run(*models: Path, **options) -> None:
    spec = importlib.util.spec_from_file_location("minimal_pairs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main([str(model) for model in models], **options)


def test_the_command(decoder, pretrained, tiny_text_folder, table, tmp_path, capsys, monkeypatch):
    options = {"data": table(), "output": tmp_path / "found", "ngram_corpus": str(tiny_text_folder)}
    run(decoder, pretrained, **options)
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "found" / "results.json").read_text())
    assert results["pairs"] == 18
    names = [*labels([str(decoder), str(pretrained)]), "5-gram"]
    assert list(results["found"]) == names
    assert all(name in printed.splitlines()[0] for name in names)
    assert results["found"]["5-gram"]["paradigm"]["verbs"][0] == 1
    assert {*results["found"][names[0]]["field"]} == {"syntax", "other"}
    assert (tmp_path / "found" / "fields.png").read_bytes().startswith(b"\x89PNG")

    def refuse(*_, **__):
        raise AssertionError("judged twice")

    monkeypatch.setattr(minimal_pairs, "open_scorer", refuse)
    monkeypatch.setattr(minimal_pairs, "open_ngrams", refuse)
    run(decoder, pretrained, **options)
    assert json.loads((tmp_path / "found" / "results.json").read_text()) == results
    with pytest.raises(AssertionError, match="judged twice"):
        run(decoder, **options, share="first")
    with pytest.raises(AssertionError, match="judged twice"):
        run(decoder, pretrained, **options | {"ngram_corpus": table(name="other.txt")})


def test_a_paradigm_that_was_judged_before_a_kill_is_not_judged_again(tmp_path, monkeypatch):
    paradigms = [Paradigm(name, "phenomenon", "field", ("good",), ("bad",)) for name in ("one", "two")]
    asked = []

    def scorer(sentences):
        asked.append(len(sentences))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return np.array([-1.0, -2.0])

    monkeypatch.setattr(minimal_pairs, "open_scorer", lambda *_, **__: scorer)
    monkeypatch.setattr(minimal_pairs, "config_of", lambda *_, **__: GPT2Config())
    with pytest.raises(KeyboardInterrupt):
        judge_all(["somebody/model"], paradigms, tmp_path, batch_size=2)
    found = judge_all(["somebody/model"], paradigms, tmp_path, batch_size=2)
    assert len(asked) == 3
    assert {name: values.tolist() for name, values in next(iter(found.values())).items()} == {"one": [1], "two": [1]}


def test_another_commit_of_the_hub_is_another_model():
    configs = [GPT2Config() for _ in range(3)]
    for config, commit in zip(configs, (None, "aaaa", "bbbb"), strict=True):
        config._commit_hash = commit
    assert len({model_key("somebody/model", config) for config in configs}) == 3
    assert model_key("somebody/model", configs[1]) != model_key("somebody/other", configs[1])


def test_a_corpus_that_is_not_there_is_told_before_pairs_are_read(decoder, tmp_path):
    with pytest.raises(ValueError, match=r"There is no file or folder .*gone.txt"):
        run(decoder, data="no/pairs", output=tmp_path / "found", ngram_corpus=str(tmp_path / "gone.txt"))


def test_results_of_a_training_run_are_not_written_over(decoder, table, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match="is the folder of a training run, whose results would be lost"):
        run(decoder, data=table(), output=tmp_path)


def test_models_that_predict_no_tokens_are_refused(tiny_tokenizer, decoder, table, tmp_path):
    config = BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "classifier")
    with pytest.raises(ValueError, match=r"predicts tokens, .* is wanted, but .*classifier is a BertFor"):
        run(decoder, tmp_path / "classifier", data=table(), output=tmp_path / "found")
    assert not (tmp_path / "found").exists()
    with pytest.raises(ValueError, match=r"a decoder or a masked encoder is wanted, but .*none did not open"):
        run(tmp_path / "none", data=table(), output=tmp_path / "found")
    with pytest.raises(ValueError, match="at least one model is wanted"):
        run(data=table(), output=tmp_path / "found")


def test_labels_tell_models_apart():
    assert labels(["runs/a/model", "runs/b"]) == ["runs/a", "runs/b"]
    assert labels(["x/runs/a/model", "y/runs/a"]) == ["x/runs/a/model", "y/runs/a"]

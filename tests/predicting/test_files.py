"""From a trained folder and a file to predictions: those of transformers' pipelines, whole or not at all."""

import gzip
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator
from transformers import AutoConfig, BertConfig, BertForPreTraining, DebertaV2Config, ElectraConfig, pipeline

from selfsup.data.collate import collate
from selfsup.finetuning.trial import run_trial
from selfsup.models import text_encoder
from selfsup.predicting.answering import QuestionAnswerer
from selfsup.predicting.files import json_line, predict_file
from selfsup.predicting.opening import head_of, one_process, open_head
from selfsup.training.command import command
from selfsup.training.export import export

SCRIPT = Path(__file__).parents[2] / "scripts" / "predict.py"
LABELS = ["no", "perhaps", "yes"]
TEXTS = [
    "The miller sold a wooden box.",
    "Nobody knew why the queen counted seven letters before breakfast, and the judge lost the long rope!",
    "So.",
    "At noon  the grey cat hid in the garden. " * 9,
    "Wörter, 3.50 👍🏽 'quoted'",
]
MASKED = [f"The miller [MASK] {text}" for text in TEXTS]


@pytest.fixture(scope="module")
def folder(tiny_tokenizer, tmp_path_factory):
    """Export a model with a head, whose weights are random but far apart; a session needs each kind once."""
    made: dict[str, Path] = {}

    def make(head: str, **settings) -> Path:
        name = f"{head}-{'-'.join(map(str, settings.values()))}"
        if name not in made:
            torch.manual_seed(2)
            config = text_encoder.TextEncoderConfig(
                vocab_size=len(tiny_tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                intermediate_size=32, max_position_embeddings=64, pad_token_id=tiny_tokenizer.pad_token_id,
                pooling="first", **settings,
            )  # fmt: skip
            if head in ("SequenceClassification", "TokenClassification") and config.problem_type != "regression":
                config.id2label = dict(enumerate(LABELS))
                config.label2id = {label: number for number, label in enumerate(LABELS)}
            model = getattr(text_encoder, f"TextEncoderFor{head}")(config)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(torch.randn(parameter.shape) * 0.6)
            made[name] = tmp_path_factory.mktemp("run") / "model"
            export(model, tiny_tokenizer, made[name])
        return made[name]

    return make


def predictions(model: Path, rows, tmp_path: Path, **options):
    """What is written for rows, or for the content of a file."""
    source = tmp_path / "rows.jsonl"
    source.write_text(rows if isinstance(rows, str) else "".join(f"{json.dumps(row)}\n" for row in rows))
    network, head = open_head(str(model))
    predict_file(network, head, source, tmp_path / "out.jsonl", accelerator=Accelerator(), **options)
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


class TestTheSameAsPipelines:
    def test_labels(self, folder, tmp_path):
        model = folder("SequenceClassification", problem_type="single_label_classification")
        found = predictions(model, [{"text": text} for text in TEXTS], tmp_path)
        theirs = pipeline("text-classification", str(model), top_k=None)
        for row, scores in zip(found, theirs(TEXTS, truncation=True), strict=True):
            assert row["prediction"] == scores[0]["label"]
            assert row["score"] == row["scores"][scores[0]["label"]]
            assert row["scores"] == pytest.approx({each["label"]: each["score"] for each in scores}, abs=2e-6)
        assert len({row["prediction"] for row in found}) > 1

    def test_several_labels_of_pairs(self, folder, tmp_path):
        model = folder("SequenceClassification", problem_type="multi_label_classification")
        rows = [{"text": text, "text_pair": TEXTS[0]} for text in TEXTS]
        found = predictions(model, rows, tmp_path)
        theirs = pipeline("text-classification", str(model), top_k=None)
        for row, pair in zip(found, rows, strict=True):
            scores = {each["label"]: each["score"] for each in theirs(pair, truncation=True)}
            assert row["scores"] == pytest.approx(scores, abs=2e-6)
            assert set(row["prediction"]) == {label for label, score in scores.items() if score > 0.5}

    def test_tags_of_running_text(self, folder, tmp_path):
        """Piece by piece theirs are ours; their words are what stands between spaces, and ours are in them."""
        model = folder("TokenClassification")
        texts = [TEXTS[0], "The captain, don't count 'seven'  letters, 3.50!"]
        found = predictions(model, [{"text": text} for text in texts], tmp_path)
        pieces, words = (
            pipeline("token-classification", str(model), aggregation_strategy=strategy, ignore_labels=[])
            for strategy in ("none", "first")
        )
        for row, text in zip(found, texts, strict=True):
            assert [text[start:stop] for start, stop in row["offsets"]] == row["words"]
            ours = dict(zip((start for start, _ in row["offsets"]), row["prediction"], strict=True))
            theirs: dict[int, str] = {}
            for piece in pieces(text):
                if text[piece["start"] : piece["end"]].strip():
                    theirs.setdefault(piece["start"] + (text[piece["start"]] == " "), piece["entity"])
            assert {start: theirs[start] for start in ours} == ours
            with pytest.warns(UserWarning, match="real words"):
                groups = [group for group in words(text) if text[group["start"] : group["end"]].strip()]
            assert sum(len(text[group["start"] : group["end"]].split()) for group in groups) == len(text.split())
            for group in groups:
                within = [start for start in ours if group["start"] <= start < group["end"]]
                heads = {ours[start] for start in within if start == 0 or text[start - 1] == " "}
                assert heads == {group["entity_group"]}

    @pytest.mark.parametrize("whose", ["ours", "the Hub's"])
    def test_hidden_words(self, folder, whose, tiny_tokenizer, tmp_path):
        """Ours score hidden words alone; others score every token."""
        model = folder("PreTraining") if whose == "ours" else tmp_path / "bert"
        if whose != "ours":
            shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
            config = BertConfig(vocab_size=len(tiny_tokenizer), initializer_range=0.5, **shape)
            export(BertForPreTraining(config), tiny_tokenizer, model)
        found = predictions(model, [{"text": text} for text in (MASKED[0], MASKED[2], "[MASK] and [MASK].")], tmp_path)
        theirs = pipeline("fill-mask", str(model), top_k=5)
        for row in found:
            guesses = theirs(row["text"])
            for ours, wanted in zip(row["best"], guesses if "and" in row["text"][:12] else [guesses], strict=True):
                assert [each["word"] for each in ours] == [each["token_str"].strip() for each in wanted]
                assert [each["score"] for each in ours] == pytest.approx([each["score"] for each in wanted], abs=2e-6)
            assert row["prediction"] == [each[0]["word"] for each in row["best"]]

    def test_answers(self, folder, tmp_path):
        model = folder("QuestionAnswering")
        rows = [{"question": "who sold it?", "context": text} for text in TEXTS]
        found = predictions(model, rows, tmp_path)
        theirs = QuestionAnswerer.from_pretrained(str(model))(rows)
        for row, answer in zip(found, theirs, strict=True):
            assert (row["prediction"], row["start"], row["stop"]) == (answer.text, answer.start, answer.stop)
            assert row["context"][row["start"] : row["stop"]] == row["prediction"] == row["best"][0]["text"]
            assert row["score"] == pytest.approx(answer.score, abs=2e-6)

    def test_a_number_in_its_own_unit(self, folder, tmp_path):
        """They give deviations from the mean of what was learnt from; ours are multiplied out."""
        model = folder("SequenceClassification", problem_type="regression", num_labels=1, number_mean=3.0,
                       number_deviation=0.5)  # fmt: skip
        found = predictions(model, [{"text": text} for text in TEXTS[::2]], tmp_path)
        theirs = pipeline("text-classification", str(model))(TEXTS[::2], truncation=True)
        wanted = [3 + 0.5 * each["score"] for each in theirs]
        assert [row["prediction"] for row in found] == pytest.approx(wanted, abs=2e-6)


class TestRows:
    def test_results_do_not_depend_on_chunks(self, folder, tmp_path):
        model = folder("SequenceClassification", problem_type="single_label_classification")
        rows = [{"text": text, "place": place} for place, text in enumerate(TEXTS * 3)]
        wanted = predictions(model, rows, tmp_path)
        assert [row["place"] for row in wanted] == list(range(15))
        for chunk in (1, 4):
            found = predictions(model, rows, tmp_path, chunk=chunk, batch_tokens=100)
            assert [row["prediction"] for row in found] == [row["prediction"] for row in wanted]
            assert [row["score"] for row in found] == pytest.approx([row["score"] for row in wanted], abs=2e-6)

    def test_own_fields_stay_and_columns_play_roles(self, folder, tmp_path):
        model = folder("SequenceClassification", problem_type="single_label_classification")
        [plain] = predictions(model, [{"text": TEXTS[0], "text_pair": TEXTS[1]}], tmp_path)
        row = {"a": TEXTS[0], "b": TEXTS[1], "text": None, "nested": {"c": [1]}}
        [found] = predictions(model, [row], tmp_path, columns={"text": "a", "text_pair": "b"})
        assert found == row | {name: plain[name] for name in ("prediction", "score", "scores")}
        assert list(found)[: len(row)] == list(row)

    def test_given_words(self, folder, tmp_path):
        """A text says where their spaces are; without one they are set apart, and stand nowhere."""
        model = folder("TokenClassification")
        words = ["Do", "n't", "sell", "it", "!"]
        rows = [
            {"words": words, "text": " Don't sell it!"},
            {"words": words},
            {"words": words, "text": "Another text."},
            {"words": ["\u200b", *words]},
        ]
        found = predictions(model, rows, tmp_path)
        assert found[0]["offsets"] == [[1, 3], [3, 6], [7, 11], [12, 14], [14, 15]]
        assert all("offsets" not in row for row in found[1:])
        assert found[1]["prediction"] == found[2]["prediction"]
        assert all(len(row["prediction"]) == len(row["scores"]) == len(row["words"]) for row in found)
        assert all(list(row)[:1] == ["words"] for row in found)

    def test_long_texts_are_tagged_to_their_end(self, folder, tmp_path):
        [row] = predictions(folder("TokenClassification"), [{"text": TEXTS[3]}], tmp_path)
        assert len(row["words"]) == len(row["prediction"]) == 9 * 10
        assert row["offsets"][-1] == [len(TEXTS[3]) - 2, len(TEXTS[3]) - 1]

    def test_all_kinds_of_files_give_the_same(self, folder, tmp_path):
        network, head = open_head(str(folder("SequenceClassification", problem_type="single_label_classification")))
        rows = [{"text": text, "n": "1"} for text in TEXTS[:3]]
        (tmp_path / "a.txt").write_text("".join(f"{row['text']}\n" for row in rows))
        (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode()))
        (tmp_path / "a.tsv").write_text("text\tn\n" + "".join(f"{row['text']}\t1\n" for row in rows))
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
        found = []
        for name in ("a.txt", "a.jsonl.gz", "a.tsv", "a.parquet"):
            predict_file(network, head, tmp_path / name, tmp_path / "new" / "o.jsonl.gz", accelerator=Accelerator())
            lines = gzip.decompress((tmp_path / "new" / "o.jsonl.gz").read_bytes()).decode().splitlines()
            found.append([{**json.loads(line), "n": "1"} for line in lines])
        assert found == [found[0]] * 4
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["o.jsonl.gz"]

    def test_json_that_everybody_reads(self):
        row = {"a": float("nan"), "b": [1.5, (float("inf"), None)], "c": b"\0\1", "d": "né \u2028", "e": Path("x")}
        assert json.loads(json_line(row)) == {
            "a": None,
            "b": [1.5, [None, None]],
            "c": "AAE=",
            "d": "né \u2028",
            "e": "x",
        }
        assert "NaN" not in json_line(row)
        assert json_line({"a": "né"}) == '{"a": "né"}'
        assert json.loads(json_line({"a": "\ud83d"}).encode()) == {"a": "\ud83d"}


TEXT = "line 2 of rows.jsonl: text was wanted in 'text', but "
HIDDEN = "line 1 of rows.jsonl: a text with [MASK] was wanted, but "
CLASSIFIER, TAGGER = "SequenceClassification", "TokenClassification"
BAD = [
    (CLASSIFIER, '{"text": "a"}\n{"text": ""}', TEXT + "it is empty; correct this row, or write errors in place of "
     "such predictions and go on, with --skip_bad_rows true"),
    (CLASSIFIER, '{"text": "a"}\n{"text": 3}', TEXT + "3 came; correct"),
    (CLASSIFIER, '{"text": "a"}\n{"b": 3}', TEXT + "it is missing; correct"),
    (CLASSIFIER, '{"text": "a"}\n{"text": "\\ud83d"}', TEXT + "it holds half a character, \\ud83d; correct"),
    (CLASSIFIER, '{"text": "a"}\n{"text": "a', "A JSON object a line was wanted, but line 2 of"),
    (CLASSIFIER, "", "Rows to predict from were wanted, but "),
    (CLASSIFIER, '{"Text": "a"}', "A column 'text' was wanted for the role text, but "),
    (CLASSIFIER, '{"text": "a", "scores": 1}', "line 1 of rows.jsonl has a field 'scores', and so have predictions: "
     "give its own another name"),
    (TAGGER, '{"words": "a b"}', "line 1 of rows.jsonl: a list of words was wanted in 'words', but 'a b' came"),
    ("QuestionAnswering", '{"question": "a", "text": "b"}', "A column 'context' was wanted for the role context, but "),
    ("PreTraining", '{"text": "a"}', HIDDEN + "there is none in it, and guessing hidden words is all that this model "
     "was trained for: for anything else fine-tune it first, with scripts/finetune.py; correct"),
    ("PreTraining", json.dumps({"text": "so " * 99 + "[MASK]"}), HIDDEN + "it stands behind the 64 tokens read; "),
]  # fmt: skip


class TestPairs:
    """What learnt pairs reads pairs; what nobody knows of reads what the first row holds."""

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ('{"text": "a"}', "A column 'text_pair' was wanted for the role text_pair, but "),
            ('{"premise": "a", "hypothesis": "b"}', "A column 'text' was wanted"),
            ('{"text": "a", "text_pair": "b"}\n{"text": "a"}', "line 2 of rows.jsonl: text was wanted in 'text_pair'"),
        ],
    )
    def test_a_second_text_is_missing(self, folder, tmp_path, content, sentence):
        model = folder(CLASSIFIER, problem_type="single_label_classification", reads_pairs=True)
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
            predictions(model, content, tmp_path)

    def test_a_second_text_comes_late(self, folder, tmp_path):
        model = folder(CLASSIFIER, problem_type="single_label_classification")
        with pytest.raises(ValueError, match=r"^line 2 of rows.jsonl: the first row had no 'text_pair', but this one"):
            predictions(model, [{"text": "a"}, {"text": "a", "text_pair": "b"}], tmp_path)

    def test_a_text_alone_where_single_ones_were_learnt(self, folder, tmp_path):
        model = folder(CLASSIFIER, problem_type="single_label_classification", reads_pairs=False)
        assert len(predictions(model, [{"text": "a"}], tmp_path)) == 1


def test_squared_errors_are_read_as_they_were_learnt(folder, tmp_path):
    rows = [{"text": text} for text in TEXTS]
    found = predictions(
        folder(CLASSIFIER, problem_type="multi_label_classification", squared_error=True), rows, tmp_path
    )
    for row in found:
        assert row["prediction"] == [label for label, score in row["scores"].items() if score > 0.5]
        assert all(0 <= score <= 1 for score in row["scores"].values())
    with torch.no_grad():
        network, head = open_head(
            str(folder(CLASSIFIER, problem_type="multi_label_classification", squared_error=True))
        )
        batch = collate([[head.encode(row)] for row in rows], padding=head.padding)
        logits = network(**head.inputs(batch)).logits
    assert [set(row["prediction"]) for row in found] == [
        {label for label, logit in zip(LABELS, scores, strict=True) if logit > 0.5} for scores in logits.tolist()
    ]


def test_words_may_be_called_tokens(folder, tmp_path):
    """As the Hub's treebanks call them, and as fine-tuning reads them."""
    rows = [{"text": "Don't go.", "tokens": ["Do", "n't", "go", "."]}]
    (found,) = predictions(folder(TAGGER), rows, tmp_path)
    assert len(found["prediction"]) == 4


def test_questions_are_answered_from_the_folder_of_a_run(folder):
    model = folder("QuestionAnswering")
    (model.parent / "run.yaml").touch()
    answer = QuestionAnswerer.from_pretrained(str(model.parent))
    for question in (("a", "b"), "ab"):
        with pytest.raises(ValueError, match=r"question 0: a question and a context by name were wanted, but a"):
            answer([question])  # type: ignore[list-item]


def test_a_run_that_left_no_model(tmp_path):
    (tmp_path / "run.yaml").touch()
    with pytest.raises(
        ValueError, match=r"the run in .* left none: it has not ended, failed, or was made with --folds"
    ):
        open_head(str(tmp_path))


class TestBadRows:
    def test_no_chunk(self, folder, tmp_path):
        with pytest.raises(ValueError, match=r"^a chunk of at least 1 row is wanted, but 0 came$"):
            predictions(folder(TAGGER), [{"text": "a"}], tmp_path, chunk=0)

    @pytest.mark.parametrize(("head", "content", "sentence"), BAD)
    def test_one_sentence_and_nothing_half_written(self, folder, tmp_path, head, content, sentence):
        settings = {"problem_type": "single_label_classification"} if head.startswith("Seq") else {}
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
            predictions(folder(head, **settings), content, tmp_path, chunk=1)
        assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]

    def test_going_on(self, folder, tmp_path):
        model = folder("SequenceClassification", problem_type="single_label_classification")
        source, output = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
        source.write_text('[]\n{"text": "a"}\n{"text": " ", "n": 1}\n{"text": "b"}\n')
        network, head = open_head(str(model))
        tally = predict_file(network, head, source, output, accelerator=Accelerator(), skip_bad_rows=True, chunk=2)
        first, a, empty, b = [json.loads(line) for line in output.read_text().splitlines()]
        assert (tally.rows, tally.bad) == (4, 2)
        assert (
            first
            == {"error": tally.first}
            == {"error": f"A JSON object a line was wanted, but line 1 of {source} is a list"}
        )
        assert empty == {
            "text": " ",
            "n": 1,
            "error": "line 3 of rows.jsonl: text was wanted in 'text', but it is empty",
        }
        assert [a["text"], b["text"]] == ["a", "b"]
        assert "prediction" in a
        assert "prediction" in b

    def test_lines_of_text_are_no_questions(self, folder, tmp_path):
        (tmp_path / "a.txt").write_text("one\n")
        network, head = open_head(str(folder("QuestionAnswering")))
        wanted = (
            r"^Rows with question, context were wanted, but .*a\.txt holds lines of text: give JSON lines or parquet$"
        )
        with pytest.raises(ValueError, match=wanted):
            predict_file(network, head, tmp_path / "a.txt", tmp_path / "o", accelerator=Accelerator())

    def test_the_input_is_not_overwritten(self, folder, tmp_path):
        (tmp_path / "a.txt").write_text("one\n")
        (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
        network, head = open_head(str(folder("TokenClassification")))
        for name in ("a.txt", "link.txt"):
            with pytest.raises(ValueError, match="is the input, which must not be overwritten: give --output another"):
                predict_file(network, head, tmp_path / "a.txt", tmp_path / name, accelerator=Accelerator())
        with pytest.raises(ValueError, match=r"A file to write was wanted, but .* is a folder: name a file in it"):
            predict_file(network, head, tmp_path / "a.txt", tmp_path, accelerator=Accelerator())
        assert (tmp_path / "a.txt").read_text() == "one\n"


class TestModels:
    @pytest.mark.parametrize(
        ("kind", "made", "head"),
        [
            (BertConfig, "BertForSequenceClassification", "AutoModelForSequenceClassification"),
            (DebertaV2Config, "DebertaV2ForTokenClassification", "AutoModelForTokenClassification"),
            (ElectraConfig, "ElectraForQuestionAnswering", "AutoModelForQuestionAnswering"),
            (BertConfig, "BertForMaskedLM", "AutoModelForMaskedLM"),
            (BertConfig, "BertForPreTraining", "AutoModelForMaskedLM"),
            (text_encoder.TextEncoderConfig, "TextEncoderForTokenClassification", "AutoModelForTokenClassification"),
            (text_encoder.TextEncoderConfig, None, "AutoModelForMaskedLM"),
            (BertConfig, "BertForNextSentencePrediction", None),
            (BertConfig, "BertModel", None),
        ],
    )
    def test_the_head_is_told_by_the_configuration(self, kind, made, head):
        assert head_of(kind(architectures=made and [made])) == head

    def test_code_that_came_along_names_its_heads(self):
        config = AutoConfig.for_model("bert", architectures=["MineForTags"])
        assert head_of(config) is None
        config.auto_map = {"AutoModelForTokenClassification": "mine.MineForTags"}
        assert head_of(config) == "AutoModelForTokenClassification"

    def test_a_body_alone_is_refused(self, folder, tmp_path):
        wanted = (
            "a model trained to classify, to tag, to answer, to write or to guess hidden words is wanted, but {} is a "
            "{} without the weights of such a head: fine-tune it first, with scripts/finetune.py"
        )
        for head, made in (("NextSentencePrediction", None), ("TokenClassification", ["TextEncoderForMaskedLM"])):
            model = folder(head)
            config = json.loads((model / "config.json").read_text())
            changed = config | {"architectures": made or config["architectures"]}
            (model / "config.json").write_text(json.dumps(changed))
            with pytest.raises(ValueError, match=re.escape(wanted.format(model, changed["architectures"][0]))):
                open_head(str(model))
            (model / "config.json").write_text(json.dumps(config))

    def test_nothing_opens(self, tmp_path):
        with pytest.raises(
            ValueError, match=r"nowhere did not open: .*there is no such folder, so it was looked for on"
        ):
            open_head("nowhere")

    def test_other_special_tokens_than_ours(self, folder, tmp_path):
        model = folder("SequenceClassification", problem_type="single_label_classification")
        name = tmp_path / "strange"
        name.mkdir()
        for file in model.iterdir():
            (name / file.name).write_bytes(file.read_bytes())
        words = json.loads((name / "tokenizer.json").read_text())
        words["post_processor"]["pair"].reverse()
        (name / "tokenizer.json").write_text(json.dumps(words))
        with pytest.raises(
            ValueError, match=r"a model that reads \[CLS\] a \[SEP\] b \[SEP\] is wanted, but .* reads "
        ):
            open_head(str(name))

    def test_one_process(self, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(ValueError, match=r"^predictions are made by one process, but the launcher started 2: "):
            one_process()


def test_what_is_predicted_is_what_was_scored(about_cats, cats, untrained, accelerator, quick, tmp_path):
    """The exported folder says of rows in a file what the trial said of its held-out examples."""
    held_out, config = about_cats(30, seed=1), replace(quick, learning_rate=0.02, epochs=8, warmup_share=0.1)
    trial = run_trial(untrained, cats, about_cats(90), held_out, config, tmp_path / "seed-0", labels=("no", "yes"),
                      seed=0, accelerator=accelerator, keep_model=True)  # fmt: skip
    found = predictions(tmp_path / "seed-0" / "model", held_out, tmp_path)
    assert [row["prediction"] for row in found] == trial.conclusions
    assert set(trial.conclusions) == {"no", "yes"}


def call(monkeypatch, main, *flags: object) -> None:
    monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, flags)])
    command(main)


@pytest.fixture(scope="module")
def main():
    import importlib.util

    spec = importlib.util.spec_from_file_location("predict", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_the_command(folder, main, monkeypatch, tmp_path, capfd):
    model = folder("SequenceClassification", problem_type="single_label_classification")
    (tmp_path / "a.csv").write_text("id,texts\n7,So dull!\n")
    call(monkeypatch, main, "--model", model.parent, "--input", tmp_path / "a.csv", "--output", "-",
         "--columns", "{text: texts}")  # fmt: skip
    printed = capfd.readouterr()
    row = json.loads(printed.out)
    assert row == {"id": "7", "texts": "So dull!"} | {name: row[name] for name in ("prediction", "score", "scores")}
    assert printed.err.splitlines()[-1] == "1 rows -> -"
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, main, "--model", model, "--input", tmp_path / "a.csv", "--output", "o.jsonl")
    assert ended.value.code == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"error: A column 'text' was wanted for the role text, but {tmp_path / 'a.csv'} has id, texts: if texts is "
        "meant, say --columns '{text: texts}'"
    )


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input(folder, tmp_path):
    """20,000 lines take what 2,000 take, and every line gets its prediction."""
    model = folder("SequenceClassification", problem_type="single_label_classification")
    measured = (
        "import resource, runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__'); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    most = {}
    for number in (2_000, 20_000):
        source, output = tmp_path / f"{number}.txt", tmp_path / f"{number}.jsonl"
        source.write_text("".join(f"{TEXTS[1]} {place}\n" for place in range(number)))
        flags = ["--model", str(model), "--input", str(source), "--output", str(output)]
        command = [sys.executable, "-c", measured, str(SCRIPT), *flags]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "MALLOC_ARENA_MAX": "1"})
        assert done.returncode == 0, done.stderr
        assert f"{number:,} rows -> {output}" in done.stderr
        lines = output.read_text().splitlines()
        assert [json.loads(line)["text"].rpartition(" ")[2] for line in lines] == [str(n) for n in range(number)]
        most[number] = int(done.stdout) / 1024
    print(f"most memory held, MiB: {most}")
    assert most[20_000] < most[2_000] + 20


STRANGER = """
import json, sys, warnings
sys.modules["selfsup"] = None  # importing it would fail
from transformers import pipeline

warnings.simplefilter("ignore")
said = []
for kind, folder, texts, options in json.loads(sys.argv[1]):
    read = pipeline(kind, folder, trust_remote_code=True, **options)
    assert "transformers_modules" in type(read.model).__module__
    said.append([read(text) for text in texts])
json.dump(said, open(sys.argv[2], "w"), default=float)
"""


@pytest.mark.slow
def test_pipelines_at_a_strangers_say_the_same(folder, tmp_path):
    """Labels, tags and hidden words from the folders alone, in a process that cannot import selfsup."""
    models = [folder(CLASSIFIER, problem_type="single_label_classification"), folder(TAGGER), folder("PreTraining")]
    texts = [TEXTS[0], TEXTS[2], "The captain counted seven letters."]
    masked = ["The [MASK] of the island."]
    options = {"aggregation_strategy": "first", "ignore_labels": []}
    asked = [
        ("text-classification", str(models[0]), texts, {}),
        ("token-classification", str(models[1]), texts[::2], options),
        ("fill-mask", str(models[2]), masked, {}),
    ]
    output = tmp_path / "said.json"
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, json.dumps(asked), str(output)],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "HF_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    labels, tags, hidden = json.loads(output.read_text())
    ours = [[{"text": text} for text in some] for some in (texts, texts[::2], masked)]
    found = [predictions(model, rows, tmp_path) for model, rows in zip(models, ours, strict=True)]
    assert [(each["label"], pytest.approx(each["score"], abs=2e-6)) for [each] in labels] == [
        (row["prediction"], row["score"]) for row in found[0]
    ]
    for row, groups in zip(found[1], tags, strict=True):
        starts = {start: tag for (start, _), tag in zip(row["offsets"], row["prediction"], strict=True)}
        words = [start for start in starts if start == 0 or row["text"][start - 1] == " "]
        theirs = {
            start: group["entity_group"]
            for group in groups
            for start in words
            if group["start"] <= start < group["end"]
        }
        assert theirs == {start: starts[start] for start in words}
    assert [each["token_str"].strip() for each in hidden[0]] == [each["word"] for each in found[2][0]["best"][0]]


@pytest.mark.slow
def test_nobody_reads_on(folder, tmp_path):
    """As `predict.py … --output - | head -1`."""
    model = folder("TokenClassification")
    (tmp_path / "a.txt").write_text("".join(f"{TEXTS[0]}\n" * 3000))
    command = [sys.executable, str(SCRIPT), "--model", str(model), "--input", str(tmp_path / "a.txt"), "--output", "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert json.loads(process.stdout.readline())["words"][0] == "The"
    process.stdout.close()
    assert process.stderr
    assert "error" not in process.stderr.read()
    assert process.wait() == 0

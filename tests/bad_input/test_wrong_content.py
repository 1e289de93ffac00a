"""Texts, tokenizers and models that are missing, broken, too short or not to be trusted: one sentence, exit code 1."""

import gzip
import json
import os
import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch

Given = Any  # flags, or a function that prepares a case and returns them


def text(name: str, content: str | bytes) -> Callable[..., list[str]]:
    def prepare(case) -> list[str]:
        (case.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return ["--corpus", name]

    return prepare


def folder_of(*sentences: str, copies: int = 1) -> Callable[..., list[str]]:
    def prepare(case) -> list[str]:
        (case.folder / "texts").mkdir()
        for number in range(copies):
            (case.folder / "texts" / f"{number:03}.txt").write_text(sentences[number % len(sentences)])
        return ["--corpus", "texts"]

    return prepare


def pipe(case) -> list[str]:
    os.mkfifo(case.folder / "pipe.txt")
    return ["--corpus", "pipe.txt"]


def cut_weights(case) -> list[str]:
    file = case.run / "model" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    return ["--init_from", str(case.run / "model")]


def cut_tokenizer(case) -> list[str]:
    shutil.copytree(case.tokenizer, case.folder / "words")
    file = case.folder / "words" / "tokenizer.json"
    file.write_text(file.read_text()[:500])
    return ["--tokenizer", "words"]


def strange_model(case) -> list[str]:
    folder = case.folder / "strange"
    folder.mkdir()
    code = f"from pathlib import Path\nPath({str(case.folder / 'ran')!r}).touch()\n"
    (folder / "strange.py").write_text(code)
    classes = {"AutoConfig": "strange.Config", "AutoModelForPreTraining": "strange.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "strange", "auto_map": classes}))
    return ["--init_from", "strange", "--tokenizer", case.tokenizer]


def strange_tokenizer(case) -> list[str]:
    strange_model(case)
    classes = {"tokenizer_class": "Words", "auto_map": {"AutoTokenizer": ["strange.Words", None]}}
    (case.folder / "strange" / "tokenizer_config.json").write_text(json.dumps(classes))
    return ["--tokenizer", "strange"]


def no_memory(case) -> list[str]:
    def take_step(*args: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")

    case.patch.setattr("selfsup.training.loop.take_step", take_step)
    return []


WRONG_CONTENT: list[tuple[str, Given, str]] = [
    ("a missing text", ["--corpus", "gone.txt"], "There is no file or folder gone.txt; check the path"),
    ("a path below a file", lambda p: [*text("a.txt", "x")(p), "--corpus", "a.txt/b.txt"], "There is no file or folde"),
    ("a folder without texts", lambda p: ["--corpus", str(p.run / "model")], "A folder with .txt, .* but .* holds non"),
    ("a PDF", text("a.pdf", "x"), "A .txt, .* file was wanted, but a.pdf came; convert or rename it"),
    ("a pipe", pipe, "file was wanted, but pipe.txt came"),
    ("binary", text("a.txt", b"words\0more"), "a.txt is binary: a NUL at byte 5"),
    ("Latin-1", text("a.txt", "na\xefve".encode("latin-1")), "a.txt holds 0xef at byte 2; convert it to UTF-8"),
    ("a cut .gz", text("a.txt.gz", gzip.compress(b"Some words. " * 99)[:-20]), "a.txt.gz cannot be read"),
    ("no .gz at all", text("a.txt.gz", "words"), "a.txt.gz cannot be read: Not a gzipped file"),
    ("broken JSON", text("a.jsonl", '{"text": "A."}\n{"text": '), "line 2 of a.jsonl is not"),
    ("JSON nested too deep", text("a.jsonl", "[" * 100_000), "line 1 of a.jsonl is not"),
    ("half a character", text("a.jsonl", '{"text": "\\ud83d"}'), r"line 1 of a.jsonl holds half a character, \\ud83d"),
    ("no such column", text("a.jsonl", '{"a": "x", "b": "y"}'), "A column 'text' of text was wanted, but a.jsonl has"),
    ("no parquet", text("a.parquet", "words"), "a.parquet cannot be read as parquet"),
    ("an empty text", text("a.txt", ""), "a.txt holds no words: give a text with at least a few sentences"),
    ("blank lines only", text("a.txt", "\n \n" * 99), "a.txt holds no words"),
    ("one sentence", text("a.txt", "A miller sold a clock."), "too little to hold out 10% for validation"),
    ("documents of one sentence", folder_of("The old captain remembered the song.", copies=60),
     "texts holds no question for the objective order: .*, or leave .*: --objectives '{tokens: {class_path: Mask"),
    ("no text to learn from", lambda p: [*text("a.txt", "")(p), "--tokenizer", "null"], "there is none in `texts`"),
    ("a vocabulary too large", ["--tokenizer", "null", "--model.vocab_size", "9000"],
     r"vocab_size must be at most \d+ for this text, but is 9000: .* The flag is --model.vocab_size"),
    ("a vocabulary too small", ["--model.vocab_size", "100"], "room for 100: set --model.vocab_size 384"),
    ("validation is the corpus", lambda p: ["--data.validation", str(p.text)], "validation must be another text"),
    ("no such validation text", ["--data.validation", "gone.txt"], "There is no file or folder gone.txt"),
    ("no such data root", ["--data_root", "gone", "--corpus", "some/data"], "The data root must be a folder, but gone"),
    ("a data set, no network", ["--corpus", "some/data"], "Nothing is called some/data: no file or folder, no mirror"),
    ("no name", ["--corpus", ""], "The name of a file, folder or data set was wanted, but nothing came"),
    ("dropout nan", ["--model.dropout", ".nan"], "--model.dropout must be at least 0 and below 1, but nan came"),
    ("a missing text elsewhere", ["--corpus", "/gone/text"], "There is no file or folder /gone/text; check the path"),
    ("a nonsense name", ["--corpus", "what is this?"], "There is no file or folder what is this"),
    ("a block over the limit", ["--data.block_size", "128"], "the model reads at most 64 tokens, but a block has 128"),
    ("stages that end early", ["--data.stages", '[{"block_size": 64, "until": 0.5}]'], "the last at 1, but they end a"),
    ("no model there", ["--init_from", "gone/model"], "gone/model did not open: .* check the name and the network"),
    ("a model, no network", ["--init_from", "google-bert/bert-base-uncased"], "bert-base-uncased did not open: "),
    ("a tokenizer, no network", ["--tokenizer", "some/words"], "some/words did not open: .* check the name and the ne"),
    ("a model with its own code", strange_model, "strange did not open: it wants to run Python code of its own; read"),
    ("a tokenizer with its own code", strange_tokenizer, "strange did not open: it wants to run Python code of its ow"),
    ("weights cut off", cut_weights, "run/model did not open: .*"),
    ("a tokenizer cut off", cut_tokenizer, "words did not open: "),
    ("an unknown tracker", ["--train.tracker", "tensorbored"], "but tensorbored came: choose from what is there: .*te"),
    ("a tracker not installed", ["--train.tracker", "swanlab"], "of --train.tracker swanlab is not installed: install"),
    ("width 0", ["--model.hidden_size", "0"], "--model.hidden_size must be at least 1, but 0 came"),
    ("fewer than no layers", ["--model.num_hidden_layers", "-1"], "num_hidden_layers must be at least 1, but -1 came"),
    ("too little memory", no_memory, "there is too little memory for this step: lower micro_batch_size"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "given", "sentence"), WRONG_CONTENT, ids=[row[0] for row in WRONG_CONTENT])
def test_wrong_content(case, what, given, sentence):
    flags = case.flags(given)
    said = case.refused(*flags)
    assert re.search(sentence, said), said
    assert not (case.folder / "ran").exists(), "code of strangers must not run"
    assert not list((case.fresh / "checkpoints").glob("*"))
    case.note(what if callable(given) else f"{what}: `{' '.join(flags)}`", said)


def test_code_of_strangers_runs_where_it_is_asked_for(case):
    case.patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(case.folder / "modules"))
    said = case.refused(*strange_model(case), "--trust_remote_code")
    assert (case.folder / "ran").exists()
    assert "strange did not open: " in said  # it ran, and has no such class


def test_tensorboard_gets_the_numbers_of_the_log(case):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    case.goes_on("--train.tracker", "tensorboard", "--train.log_every", "1")
    (events,) = case.fresh.rglob("events.out.tfevents.*")
    read = accumulator.EventAccumulator(str(events.parent)).Reload()
    logged = [json.loads(line) for line in (case.fresh / "metrics.jsonl").read_text().splitlines()]
    names = {name for line in logged for name, value in line.items() if isinstance(value, int | float)} - {"step"}
    assert {"loss", "validation_tokens_loss", "learning_rate"} <= names
    assert set(read.Tags()["scalars"]) == names
    for name in names:
        wanted = [(line["step"], pytest.approx(line[name], rel=1e-6)) for line in logged if name in line]
        assert [(event.step, event.value) for event in read.Scalars(name)] == wanted

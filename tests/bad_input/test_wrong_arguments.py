"""Arguments that are misspelt, of the wrong type or out of range: one sentence, exit code 2, nothing written."""

import re
from collections.abc import Callable
from typing import Any

import pytest

Given = Any  # flags, or a function that prepares a case and returns them


def config(text: str | bytes) -> Callable[..., list[str]]:
    def prepare(case) -> list[str]:
        file = case.folder / "mine.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return ["--config", str(file)]

    return prepare


WRONG_ARGUMENTS: list[tuple[str, Given, str]] = [
    ("a misspelt flag", ["--data.block_sise", "64"], "--data.block_sise is not an argument: did you mean --data.block"),
    ("a misspelt group", ["--modle.hidden_size", "8"], "did you mean --model.hidden_size?"),
    ("a flag cut short", ["--resum", "true"], "--resum is not an argument: did you mean --resume?"),
    ("a flag with =", ["--sed=1"], "--sed is not an argument: did you mean --train.seed"),
    ("a misspelt model field", ["--model.hiden_size", "8"], "hiden_size is not an argument of TextEncoderConfig in --"),
    ("the same in YAML", config("model: {hiden_size: 8}"), "hiden_size is not .* did you mean hidden_size?"),
    ("an unknown YAML key", config("modle: {hidden_size: 8}"), "modle.hidden_size is not .*mean model.hidden_size?"),
    ("a misspelt YAML key", config("train: {num_step: 8}"), "train.num_step is not .* did you mean train.num_steps?"),
    ("a wrong type", ["--model.hidden_size", "x"], "--model.hidden_size must be a whole number, but x came"),
    ("a fraction for a count", ["--data.batch_size", "1.5"], "--data.batch_size must be a whole number, but 1.5 came"),
    ("a count with an exponent", ["--train.num_steps", "1e3"], "--train.num_steps must be a whole number or null, but"),
    ("a wrong type in YAML", config("train: {num_steps: many}"), "--train.num_steps must be a whole number or null"),
    ("neither true nor false", ["--resume", "maybe"], "--resume must be true or false, but maybe came"),
    ("a word that is no choice", ["--objectives.tokens.unit", "words"], "words is not one .* did you mean word?"),
    ("an unknown optimizer", ["--optim.name", "Lion"], "Lion is not one of the values of --optim.name: choose from Ad"),
    ("a misspelt objective", ["--objectives.tokens", "MaskdTokens"], "MaskdTokens is not .* did you mean MaskedTokens"),
    ("an argument it lacks", ["--objectives.tokens.rte", ".3"], "rte is not an argument of MaskedTokens .* mean rate?"),
    ("an objective without class", ["--objectives.words.rate", ".3"], "no class was named for --objectives.words"),
    ("hidden share 0", ["--objectives.tokens.rate", "0"], "tokens.rate: .* at most 1, but 0.0 came"),
    ("hidden share 1.5", ["--objectives.tokens.rate", "1.5"], "must be above 0 and at most 1, but 1.5 came"),
    ("hidden share nan", ["--objectives.tokens.final_rate", ".nan"], "must be above 0 and at most 1, but nan came"),
    ("learning rate inf", ["--optim.learning_rate", ".inf"], "learning_rate must be above 0 and finite, but inf came"),
    ("a negative momentum", ["--optim.momentum", "-1"], "momentum must be at least 0 and below 1, but -1.0 came"),
    ("weight 0", ["--objectives.order.weight", "0"], "weight must be above 0, but 0.0 came"),
    ("a stray word", ["more"], "more is not an argument: see --help"),
    ("a flag without value", ["--data_root"], "--data_root wants a value, but none came"),
    ("no YAML file there", ["--config", "gone.yaml"], "--config wants a YAML file, .* File does not exist: .*gone.yam"),
    ("a folder as YAML", ["--config", "."], "--config wants a YAML file, but this came: Path is not a file"),
    ("binary as YAML", config(b"\xff\xfe\0"), "--config wants a YAML file in UTF-8, .* holds 0xff at byte 0"),
    ("broken YAML", config("model: [3\n"), "did not find expected ',' or ']'.*line 2"),
    ("YAML without names", config("just words"), "--config wants a YAML file of `name: value` lines, but this came: j"),
    ("empty YAML", config(""), "but this came: nothing"),
    ("a width no head divides", ["--model.num_attention_heads", "5"], "but 16 is not one of 5: try hidden_size="),
    ("no heads", ["--model.num_attention_heads", "0"], "a size among the arguments cannot be reckoned with"),
    ("too short a block", ["--data.block_size", "4"], "a stage needs block_size >= 19"),
    ("batch size 0", ["--data.batch_size", "0"], "batch_size >= 1"),
    ("no language of ours", ["--data.language", "xx"], "language must be one of en, de, fr, es, but 'xx' came"),
    ("validation share 1", ["--data.validation_share", "1"], "must lie between 0 and 1, but 1.0 came"),
    ("learning rate 0", ["--optim.learning_rate", "0"], "learning_rate must be above 0 and finite, but 0.0 came"),
    ("minutes and steps", ["--train.max_minutes", "3"], "set the other one to null"),
    ("no steps", ["--train.num_steps", "0"], "num_steps must be at least 1, but 0 came"),
    ("endless", ["--train.num_steps", "null", "--train.max_minutes", ".inf"], "max_minutes must be above 0 and have a"),
    ("a negative seed", ["--train.seed", "-1"], "seed must be at least 0 .* but -1 came"),
    ("negative workers", ["--train.workers", "-1"], "workers must lie between 0 and 256, but -1 came"),
    ("stages of unknown fields", ["--data.stages", '[{"blok": 64}]'], "blok is not an argument of Stage in --data.sta"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "given", "sentence"), WRONG_ARGUMENTS, ids=[row[0] for row in WRONG_ARGUMENTS])
def test_wrong_arguments(case, what, given, sentence):
    flags = case.flags(given)
    said = case.refused(*flags, code=2)
    assert re.search(sentence, said), said
    assert not case.fresh.exists()
    case.note(what if callable(given) else f"{what}: `{' '.join(flags)}`", said)


def test_missing_arguments(case):
    assert case.start("--corpus", "x") == 2
    assert case.capture.readouterr().err == "error: --output must be given, but did not come: see --help\n"


def test_help_says_how_to_list_what_is_nested(case):
    assert case.start("--help") == 0
    printed = " ".join(case.capture.readouterr().out.split())
    assert "--model.help, --objectives.help" in printed
    assert "--objectives.help MaskedTokens" in printed

"""From pairs of texts to a translator: new_model.py, finetune.py and predict.py as whole commands."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from selfsup.examples import DataChoice
from selfsup.finetuning.beginning import begin
from selfsup.models.encoder_decoder_config import TextEncoderDecoderConfig
from selfsup.objectives import Classification, SequenceToSequence
from selfsup.task import DataSet, Task
from selfsup.training.export import open_tokenizer

ROOT = Path(__file__).parents[2]
WORDS = {"the": "der", "cat": "Kater", "dog": "Hund", "sees": "sieht", "hears": "hört", "a": "ein", "bird": "Vogel"}
SHAPE: dict = {"hidden_size": 32, "num_encoder_layers": 1, "num_decoder_layers": 1, "num_attention_heads": 2}
SHAPE |= {"intermediate_size": 64, "vocab_size": 290, "max_position_embeddings": 32, "dropout": 0.0}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """Sentences of a language of seven words, word for word."""
    folder, chance = tmp_path_factory.mktemp("pairs"), random.Random(0)
    for split, number in (("train", 400), ("held_out", 20)):
        rows = []
        for _ in range(number):
            english = [chance.choice(some) for some in (("the", "a"), ("cat", "dog", "bird"), ("sees", "hears"))]
            english += [chance.choice(some) for some in (("the", "a"), ("cat", "dog", "bird"))]
            rows.append({"source": " ".join(english), "target": " ".join(WORDS[word] for word in english)})
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def choice(pairs: Path) -> DataChoice:
    return DataChoice(name=str(pairs / "train.jsonl"), held_out=str(pairs / "held_out.jsonl"))


def task_of(objective) -> Task:
    return Task(objective, (), (DataSet("pairs", {"source": "source", "target": "target"}),), name="pairs")


def test_a_tokenizer_of_both_sides_and_a_shape_that_knows_it(pairs, tmp_path):
    begin(task_of(SequenceToSequence), choice(pairs), TextEncoderDecoderConfig(**SHAPE), tmp_path)
    words, shape = open_tokenizer(str(tmp_path)), json.loads((tmp_path / "config.json").read_text())
    for side in (WORDS.keys(), WORDS.values()):
        text = " ".join(side)
        assert words.decode(words(text)["input_ids"], skip_special_tokens=True) == text
    assert words("the cat").keys() == {"input_ids", "attention_mask"}  # such a model tells no segments apart
    ids = [shape[f"{name}_token_id"] for name in ("pad", "bos", "decoder_start", "eos")]
    assert ids == [words.pad_token_id, words.cls_token_id, words.cls_token_id, words.sep_token_id]
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_given_tokenizer_sets_the_vocabulary(pairs, tmp_path, tiny_tokenizer):
    tiny_tokenizer.save_pretrained(tmp_path / "given")
    config = TextEncoderDecoderConfig(**SHAPE)
    begin(task_of(SequenceToSequence), choice(pairs), config, tmp_path / "new", tokenizer=str(tmp_path / "given"))
    assert config.vocab_size == 384  # 379 to 384 pieces, to a multiple of 64
    assert len(open_tokenizer(str(tmp_path / "new"))) == len(tiny_tokenizer)


def test_refuses_other_tasks_and_trained_models(pairs, tmp_path):
    with pytest.raises(ValueError, match="a task from text to text is wanted"):
        begin(task_of(Classification), choice(pairs), TextEncoderDecoderConfig(**SHAPE), tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ValueError, match="holds a trained model"):
        begin(task_of(SequenceToSequence), choice(pairs), TextEncoderDecoderConfig(**SHAPE), tmp_path)


def run(script: str, *flags: object) -> str:
    asked = [sys.executable, str(ROOT / "scripts" / script), *map(str, flags)]
    done = subprocess.run(asked, check=False, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "epochs", "least"),
    [("SequenceToSequence", 20, 0.9), ("ConditionalMaskedTokens", 50, 0.2)],  # which learns more slowly
)
def test_the_commands(pairs, tmp_path, objective, epochs, least):
    """A toy language is learnt by heart, token by token and in parallel, and spoken by predict.py."""
    rate = 0.01 if objective == "SequenceToSequence" else 0.005
    shape = [f"--model.{name}={value}" for name, value in SHAPE.items()]
    data = ["--data.name", pairs / "train.jsonl", "--data.held_out", pairs / "held_out.jsonl"]
    run("new_model.py", "--task", "translation", "--output", tmp_path / "new", *shape, *data)
    run(
        "finetune.py", "--task", "translation", "--scratch", "true", "--model", tmp_path / "new", *data,
        "--objective", objective, "--output", tmp_path / "run", "--tune.learning_rate", rate,
        "--tune.epochs", epochs,
    )  # fmt: skip
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())["translation"]
    assert scores["figure"][0] > least
    assert scores["baseline"][1] < 0.1  # the source as it stands
    run(
        "predict.py", "--model", tmp_path / "run", "--input", pairs / "held_out.jsonl", "--output", tmp_path / "p.jsonl"
    )
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert sum(row["prediction"] == row["target"] for row in rows) >= (0.9 if least > 0.5 else 0) * len(rows)
    assert all(row["prediction"] for row in rows)

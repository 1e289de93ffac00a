"""What can be learnt is learnt: whole runs on texts made so that the answers can be read."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification

ROOT = Path(__file__).parents[1]
FLAGS = {
    "--model.vocab_size": 580,
    "--model.hidden_size": 64,
    "--model.num_attention_heads": 2,
    "--model.num_hidden_layers": 2,
    "--model.intermediate_size": 256,
    "--data.block_size": 64,
    "--train.max_minutes": "null",
    "--train.num_steps": 1000,
    "--train.eval_every": 1000,
    "--train.save_every": 1000,
}

pytestmark = pytest.mark.slow


def words(chance: random.Random, count: int) -> list[str]:
    return ["".join(chance.choices("abcdefghilmnoprstu", k=chance.randint(2, 6))) for _ in range(count)]


def launch(script: str, folder: Path, *flags: object, **changes: object) -> str:
    """Run a script on the text beside a folder; what it printed."""
    given = {"--corpus": folder.parent / "text", "--output": folder, **FLAGS}
    given |= {f"--{name.replace('__', '.')}": value for name, value in changes.items()}
    command = [sys.executable, ROOT / "scripts" / script, *(part for pair in given.items() for part in pair), *flags]
    environment = os.environ | {"SELFSUP_CACHE": str(folder.parent / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def write(folder: Path, documents: list[list[str]]) -> None:
    folder.mkdir()
    for number, sentences in enumerate(documents):
        (folder / f"{number}.txt").write_text("\n\n".join(sentences))


def test_order_is_learnt_where_it_can_be_read(tmp_path):
    """Every document names the same fifty words one after the other, among others drawn by chance."""
    chance = random.Random(0)
    others = words(chance, 300)
    marks = [f"Q{consonant}{vowel}" for consonant in "bcdfghklmn" for vowel in "aeiou"]
    documents = []
    for _ in range(200):
        sentences = [f"{mark} {' '.join(chance.choices(others, k=chance.randint(3, 9)))}." for mark in marks * 3]
        documents.append(sorted(sentences, key=lambda sentence: marks.index(sentence[:3])))
    write(tmp_path / "text", documents)
    launch("pretrain.py", tmp_path / "run")
    found = results(tmp_path / "run")
    print(f"order: {found['validation_order_accuracy']:.1%} right of {found['validation_order_count']} pairs")
    assert found["validation_order_interval"][0] > 0.85
    assert found["validation_tokens_perplexity"] < found["unigram_perplexity"] / 3


@pytest.fixture(scope="module")
def topics(tmp_path_factory) -> Path:
    """Documents of one topic of three each; a topic has forty words of its own, with pairs that stand together."""
    folder, chance = tmp_path_factory.mktemp("topics"), random.Random(0)
    vocabularies = [words(chance, 40) for _ in range(3)]
    documents = []
    for number in range(160):
        own = vocabularies[number % 3]
        sentences = []
        for _ in range(40):
            places = [chance.randrange(20) for _ in range(chance.randint(2, 4))]
            sentences.append(" ".join(f"{own[place]} {own[place + 20]}" for place in places).capitalize() + ".")
        documents.append(sentences)
    write(folder / "text", documents)
    return folder


def test_strangers_are_found_where_documents_have_topics(topics):
    ask = "{tokens: {class_path: MaskedTokens}, next: {class_path: NextSentence}}"
    launch("pretrain.py", topics / "next", "--objectives", ask, model__vocab_size=420, data__validation_share=0.2)
    found = results(topics / "next")
    # A third of the strangers are of the same topic, and nothing tells them: 83 % are the most there is to learn.
    print(f"next: {found['validation_next_accuracy']:.1%} right of {found['validation_next_count']} pairs")
    assert found["validation_next_interval"][0] > 0.65
    assert found["validation_next_blind_accuracy"] == pytest.approx(0.5, abs=0.1)


def test_replaced_tokens_are_found_and_both_players_open_anywhere(topics):
    ask = "{replaced: {class_path: ReplacedTokens, init_args: {generator_share: 0.5}}}"
    printed = launch("pretrain.py", topics / "replaced", "--objectives", ask, model__vocab_size=420)
    found = results(topics / "replaced")
    shares = found["validation_replaced_accuracy"], found["validation_replaced_blind_accuracy"]
    print(f"replaced: {shares[0]:.1%} right, {shares[1]:.1%} if always called original")
    assert found["validation_replaced_interval"][0] > found["validation_replaced_blind_accuracy"] + 0.02
    assert found["validation_tokens_perplexity"] < found["unigram_perplexity"] / 3
    assert "always the same" in printed
    model = AutoModelForTokenClassification.from_pretrained(topics / "replaced" / "model", trust_remote_code=True)
    generator = AutoModelForMaskedLM.from_pretrained(topics / "replaced" / "generator", trust_remote_code=True)
    assert model.config.id2label == {0: "ORIGINAL", 1: "REPLACED"}
    assert generator.get_input_embeddings().weight.equal(model.get_input_embeddings().weight)
    assert (model.config.num_hidden_layers, generator.config.num_hidden_layers) == (2, 1)
    assert "pipeline_tag: token-classification" in (topics / "replaced" / "model" / "README.md").read_text()


def test_a_comparison_goes_on_where_it_was_stopped_and_says_what_it_found(topics, tmp_path):
    """Pairs of one topic or of two: what next sentence asks, with labels."""
    sentences = [[line for line in (topics / "text" / f"{n}.txt").read_text().splitlines() if line] for n in range(160)]
    rows = [
        {"sentence_A": a[i % 40], "sentence_B": (a if i % 2 else b)[(i * 7) % 40], "label": int(i % 2)}
        for i, (a, b) in enumerate(zip(sentences * 3, (sentences[1:] + sentences[:1]) * 3, strict=True))
    ]
    (tmp_path / "root" / "sick").mkdir(parents=True)
    for split, part in (("train", rows[:360]), ("validation", rows[360:])):
        pq.write_table(pa.Table.from_pylist(part), tmp_path / "root" / "sick" / f"{split}.parquet")
    (tmp_path / "text").symlink_to(topics / "text")
    flags = {"data_root": tmp_path / "root", "seeds": 1, "train__num_steps": 30, "data__batch_size": 16}
    flags |= {"train__eval_rows": 32, "optim__warmup_steps": 5, "tune__epochs": 2, "model__vocab_size": 420}
    printed = launch("compare_pretraining.py", tmp_path / "all", **flags)
    rows_ = [line.split("  ")[0] for line in printed.splitlines()]
    assert [row for row in rows_ if row in ("no question", "next sentence", "sentence order", "not pretrained")] == [
        "no question", "next sentence", "sentence order", "not pretrained",
    ]  # fmt: skip
    figures = json.loads((tmp_path / "all" / "comparison.json").read_text())
    assert figures["majority"] == 0.5
    assert (tmp_path / "all" / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    weights = tmp_path / "all" / "next_sentence-0" / "model" / "model.safetensors"
    before = weights.read_bytes()
    (tmp_path / "all" / "not_pretrained-0" / "trial" / "trial.json").unlink()
    kept = (tmp_path / "all" / "next_sentence-0" / "trial" / "trial.json").read_bytes()
    again = launch("compare_pretraining.py", tmp_path / "all", **flags)
    assert weights.read_bytes() == before
    assert (tmp_path / "all" / "next_sentence-0" / "trial" / "trial.json").read_bytes() == kept
    assert again.splitlines()[-9:] == printed.splitlines()[-9:]

"""What can be learnt is learnt: a whole run on a text made so that its order can be read."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.slow
def test_order_is_learnt_where_it_can_be_read(tmp_path):
    """Every document names the same fifty words one after the other, among others drawn by chance."""
    chance = random.Random(0)
    others = ["".join(chance.choices("abcdefghilmnoprstu", k=chance.randint(2, 6))) for _ in range(300)]
    marks = [f"Q{consonant}{vowel}" for consonant in "bcdfghklmn" for vowel in "aeiou"]
    text = tmp_path / "text"
    text.mkdir()
    for number in range(200):
        sentences = [f"{mark} {' '.join(chance.choices(others, k=chance.randint(3, 9)))}." for mark in marks * 3]
        sentences = sorted(sentences, key=lambda sentence: marks.index(sentence[:3]))
        (text / f"{number}.txt").write_text("\n\n".join(sentences))
    run = tmp_path / "run"
    command = [sys.executable, ROOT / "scripts" / "pretrain.py", "--corpus", text, "--output", run]
    flags = [str(part) for pair in FLAGS.items() for part in pair]
    environment = os.environ | {"SELFSUP_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    subprocess.run([*map(str, command), *flags], check=True, capture_output=True, env=environment)
    results = json.loads((run / "results.json").read_text())
    print(f"order: {results['validation_order_accuracy']:.1%} right of {results['validation_order_count']} pairs")
    assert results["validation_order_interval"][0] > 0.85
    assert results["validation_tokens_perplexity"] < results["unigram_perplexity"] / 3

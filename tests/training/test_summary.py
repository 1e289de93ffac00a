"""The table at the end of a run."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from selfsup.data.plan import Plan, Stage
from selfsup.objectives import Joint, MaskedTokens, NextToken, SentenceOrder
from selfsup.training.evaluation import Score, unigram_loss
from selfsup.training.summary import peak_memory_gib, summarise, table


def test_columns_line_up():
    assert table([("", "this run"), ("loss", "1"), ("accuracy", "22")]).splitlines() == [
        "          this run",
        "--------  --------",
        "loss      1",
        "accuracy  22",
    ]


def test_a_run_stands_beside_what_needs_no_learning(tiny_corpus, tiny_tokenizer, tiny_config, tmp_path, capsys):
    objective = Joint({"tokens": MaskedTokens(), "order": SentenceOrder()})
    objective.bind(tiny_tokenizer, tiny_config)
    training, held = tiny_corpus.split(0.2)
    plan, held_out = (Plan(tiny_corpus, regions, stages=[Stage(64, 4)]) for regions in (training, held))
    lines = [{"step": 0, "validation_loss": 3.0}]
    lines += [
        {"step": s, "tokens": 100 * s, "tokens_per_second": speed} for s, speed in ((1, 10.0), (2, 5000.0), (3, 70.0))
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    score = Score({"tokens": math.log(9), "order": 0.6}, {"tokens": 40, "order": 30}, {"tokens": 160, "order": 40},
                  {"tokens": 1.0, "order": 1.0}, {"order": 19})  # fmt: skip

    figures = summarise(score, plan, held_out, objective, 5, tmp_path)

    unigram = math.exp(unigram_loss(tiny_corpus.counts(training), tiny_corpus, held_out.epoch()[:5], objective))
    wanted: dict[str, Any] = {
        "steps": 3,
        "tokens": 300,
        "tokens_per_second": 70.0,
        "padding_share": plan.padding_share(),
    }
    wanted |= {"unigram_perplexity": unigram, **score.figures()}
    assert {name: figures[name] for name in wanted} == wanted
    assert figures["validation_order_interval"] == score.interval("order")
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(figures))
    printed = " ".join(capsys.readouterr().out.split())
    assert f"masked-token perplexity 9.0 {unigram:.1f} (unigram)" in printed
    low, high = score.interval("order")
    assert f"75.0 % ({100 * low:.1f} to {100 * high:.1f}) 47.5 % (always the same)" in printed


def test_bits_per_byte_of_a_decoder(tiny_corpus, tiny_tokenizer, tiny_decoder_config, tmp_path):
    objective = Joint({"next": NextToken()})
    objective.bind(tiny_tokenizer, tiny_decoder_config)
    training, held = tiny_corpus.split(0.2)
    plan, held_out = (Plan(tiny_corpus, part, stages=[Stage(64, 4)], **objective.reading) for part in (training, held))
    asked = sum(stop - start for start, stop in held) + len(held)  # and where documents end
    (tmp_path / "metrics.jsonl").write_text("")
    score = Score({"next_token": math.log(2)}, {"next_token": 1}, {"next_token": asked}, {"next_token": 1.0})

    figures = summarise(score, plan, held_out, objective, 10**6, tmp_path)

    text = [tiny_tokenizer.convert_ids_to_tokens(tiny_corpus.tokens[a:b].tolist()) for a, b in held]
    one_byte = re.compile("<0x[0-9A-F]{2}>")
    num_bytes = sum(len(one_byte.sub("x", piece).replace("\u2581", " ").encode()) for part in text for piece in part)
    assert any(one_byte.fullmatch(piece) for part in text for piece in part)
    assert figures["validation_bytes"] == num_bytes
    assert figures["validation_bits_per_byte"] == pytest.approx(asked / num_bytes)  # one bit a token
    assert type(figures["validation_bits_per_byte"]) is float  # a card would hold a number of numpy as a pickle


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="VmHWM is Linux's")
def test_peak_memory_is_what_the_system_says():
    kibibytes = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert kibibytes
    assert peak_memory_gib() == pytest.approx(int(kibibytes[1]) / 2**20, rel=0.05)

"""Ways to write: each is the search that it is called after, all are timed, and the figures are sacrebleu's."""

import json
from pathlib import Path

import pytest
import sacrebleu
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from selfsup.benchmark.decoding import (
    COPIED,
    DecodingConfig,
    Way,
    figures,
    keep,
    report,
    sides_of,
    told_apart,
    ways_of,
    write_all,
)
from selfsup.generation.beam import BeamConfig, beam_search
from selfsup.generation.parallel import mask_predict
from selfsup.metrics.trees import write_tree
from selfsup.predicting.translating import read_source
from selfsup.task import load_task

CONFIG = DecodingConfig(beams=(1, 3), rounds=(1, 2), lengths=2, max_new_tokens=6, batch_size=2, laps=2)
TEXTS = ["The miller found a map.", "The queen sang.", "A boy ran in the garden before the storm."]


@pytest.mark.parametrize("parallel", [False, True])
def test_every_way_is_its_search(parallel, tiny_pair_config, tiny_tokenizer):
    tiny_pair_config.parallel = parallel
    torch.manual_seed(0)
    auto = AutoModelForMaskedLM if parallel else AutoModelForSeq2SeqLM
    model = auto.from_config(tiny_pair_config).eval()
    ways = ways_of(model, tiny_tokenizer, TEXTS, CONFIG)
    assert list(ways) == (["mask-predict, T = 1", "mask-predict, T = 2"] if parallel else ["greedy", "3 beams"])
    names = list(write_all(ways, CONFIG))
    assert names == [*ways, *reversed(ways)]  # two laps, the second the other way round
    sources = [read_source(tiny_tokenizer, model.config, text) for text in TEXTS]
    if parallel:
        wanted = mask_predict(model, tiny_tokenizer, sources, rounds=2, lengths=2, max_new_tokens=6)
    else:
        wanted = [best.ids for best, *_ in beam_search(model, sources, BeamConfig(3, max_new_tokens=6))]
    last = list(ways.values())[-1]
    assert last.targets == [text.strip() for text in tiny_tokenizer.batch_decode(wanted, skip_special_tokens=True)]
    assert all(len(way.seconds) == 2 and min(way.seconds) > 0 for way in ways.values())


def test_figures_are_sacrebleus_and_speed_is_of_all_sentences(tiny_tokenizer):
    gold = ["the old mill stands by the river", "a boy runs home"]
    said = ["the old mill stood by the river", "a boy runs"]
    ways = {"one": Way(lambda rows: [], tiny_tokenizer, [[1], [2]], said, [0.5, 0.25])}
    found, signature = figures(ways, gold, gold)
    assert 100 * found["one"]["BLEU"][0] == pytest.approx(sacrebleu.corpus_bleu(said, [gold]).score)
    assert 100 * found["one"]["chrF"][0] == pytest.approx(sacrebleu.corpus_chrf(said, [gold]).score)
    assert found["one"]["sentences/s"] == (6.0, 4.0, 8.0)
    assert found["one"]["seconds"] == (0.375, 0.25, 0.5)
    assert found["one"]["length"][0] == 10 / 11
    assert found[COPIED]["BLEU"] == pytest.approx((1.0, 1.0, 1.0))
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp" in signature
    assert report(found, signature).splitlines()[2].split()[-3:] == ["0.91", "0.4", "6.0"]


def test_what_was_written_is_kept_beside_its_example(tiny_tokenizer, tmp_path):
    ways = {"one": Way(lambda rows: [], tiny_tokenizer, [[1]], ["a boy runs"], [0.5])}
    examples = [{"source": "ein Junge rennt", "target": "a boy runs home"}]
    found, _ = figures(ways, ["ein Junge rennt"], ["a boy runs home"])
    keep(ways, {"found": found}, examples, tmp_path, title="ways")
    assert [json.loads(line) for line in (tmp_path / "targets.jsonl").read_text().splitlines()] == [
        {**examples[0], "one": "a boy runs"}
    ]
    assert json.loads((tmp_path / "results.json").read_text())["found"]["one"]["sentences/s"] == [2.0, 2.0, 2.0]
    assert (tmp_path / "ways.png").read_bytes().startswith(b"\x89PNG")


def test_two_models_of_one_kind_are_told_apart(tiny_tokenizer):
    one, other, third, last = (Way(lambda rows: [], tiny_tokenizer, [[number]]) for number in range(4))
    ways = told_apart({"runs/a": {"greedy": one, "2 beams": other}, "runs/b": {"greedy": third}, "c": {"T = 1": last}})
    assert ways == {"runs/a: greedy": one, "2 beams": other, "runs/b: greedy": third, "T = 1": last}


def test_sides_are_those_of_the_task():
    parsing, sentiment = (load_task(name, Path(__file__).parents[2] / "tasks") for name in ("parsing", "sentiment"))
    words, heads, relations = ["It", "rained"], [2, 0], ["nsubj", "root"]
    example = {"words": words, "heads": heads, "relations": relations}
    assert sides_of(parsing, [example]) == (["It rained"], [write_tree(words, heads, relations)])
    with pytest.raises(ValueError, match="a task from text to text is wanted, but sentiment is none: name another"):
        sides_of(sentiment, [])


def test_numbers_below_one_are_refused():
    with pytest.raises(ValueError, match="rounds must be at least 1, but 0 came"):
        DecodingConfig(rounds=(0,))

"""Fine-tuning on pairs and what comes of it: learnt where it can be learnt, kept, and put side by side."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator
from transformers import AutoModelForSequenceClassification

from selfsup.data.labelled import PairTask, read_pairs
from selfsup.objectives import Classification
from selfsup.training.comparison import PLAIN, SCRATCH, compare, folder_of, questions, score_pairs
from selfsup.training.finetuning import FineTuneConfig, fine_tune, right_answers

WORDS = ["miller", "captain", "queen", "doctor", "cat", "teacher"]
TASK = PairTask(data="pairs", text="a", text_pair="b")
QUICK = FineTuneConfig(learning_rate=0.01, epochs=6, batch_size=16)


class Listener(Classification):
    """Notes which examples are read."""

    read: list[int]

    def encode(self, example):
        return {**super().encode(example), "place": example["place"]}

    def corrupt(self, example, **options):
        self.read.append(example["place"])
        return super().corrupt({name: value for name, value in example.items() if name != "place"}, **options)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Is the second text about the cat? Three rows of four say no."""
    root, rng = tmp_path_factory.mktemp("root"), np.random.default_rng(0)
    (root / "pairs").mkdir()
    for split, count in (("train", 240), ("validation", 61)):
        rows = []
        for number in range(count):
            about = "cat" if number % 4 == 0 else str(rng.choice(WORDS[:4]))
            rows.append(
                {"a": f"The {rng.choice(WORDS)} sold a box.", "b": f"The {about} hid.", "label": int(number % 4 == 0)}
            )
        pq.write_table(pa.Table.from_pylist(rows), root / "pairs" / f"{split}.parquet")
    return root


def test_a_task_that_can_be_learnt_is_learnt_and_the_answers_are_kept(
    root, tiny_config, tiny_tokenizer, tmp_path, capsys
):
    accelerator = Accelerator(cpu=True)
    options = {"data_root": root, "accelerator": accelerator, "seed": 0}
    right = score_pairs(tiny_config, tiny_tokenizer, TASK, QUICK, tmp_path, **options)
    assert (len(right), sum(right)) == (61, 61)
    record = json.loads((tmp_path / "pairs.json").read_text())
    assert record["right"] == right
    assert record["majority"] == 45 / 61
    record["right"] = [0] * 61
    (tmp_path / "pairs.json").write_text(json.dumps(record))
    assert sum(score_pairs(tiny_config, tiny_tokenizer, TASK, QUICK, tmp_path, **options)) == 0  # kept, not made anew
    other = FineTuneConfig(learning_rate=0.01, epochs=1, batch_size=16)
    assert sum(score_pairs(tiny_config, tiny_tokenizer, TASK, other, tmp_path, **options)) > 0  # another configuration


def test_fine_tuning_repeats_itself_and_reads_every_example_in_every_epoch(root, tiny_config, tiny_tokenizer):
    pairs = read_pairs(TASK, tiny_tokenizer, "train", root)[:50]
    examples = [{**pair, "place": place} for place, pair in enumerate(pairs)]
    objective = Listener()
    read = objective.read = []
    weights = []
    for _ in range(2):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(tiny_config)
        objective.bind(tiny_tokenizer, tiny_config)
        config = FineTuneConfig(epochs=2, batch_size=16)
        fine_tune(model, objective, examples, config, seed=3, accelerator=Accelerator(cpu=True))
        weights.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    assert weights[0].equal(weights[1])
    assert sorted(read[:50]) == sorted(read[50:100]) == list(range(50))
    assert read[:50] != read[50:100]
    assert read[:100] == read[100:]


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_answers_come_in_the_order_of_the_examples_whatever_the_batch(root, tiny_config, tiny_tokenizer, batch_size):
    examples, objective = read_pairs(TASK, tiny_tokenizer, "validation", root), Classification()
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(tiny_config).eval()
    objective.bind(tiny_tokenizer, tiny_config)
    found = right_answers(model, objective, examples, device=torch.device("cpu"), batch_size=batch_size)
    for example, hit in zip(examples, found, strict=True):
        ids = objective.encode(example)
        fields = {name: torch.from_numpy(ids[name])[None] for name in ("input_ids", "token_type_ids")}
        assert (int(model(**fields).logits.argmax()) == example["label"]) == hit


def test_the_table_says_what_the_answers_say(tmp_path, capsys):
    right = {
        PLAIN: [[1, 1, 0, 0], [1, 1, 0, 0]],
        "next sentence": [[1, 1, 1, 0], [1, 1, 1, 0]],
        "sentence order": [[1, 1, 0, 0], [1, 1, 0, 0]],
        SCRATCH: [[1, 0, 0, 0], [0, 0, 0, 0]],
    }
    for name in right:
        for seed in range(2):
            run = folder_of(tmp_path, name, seed)
            run.mkdir(parents=True)
            (run / "pairs.json").write_text(json.dumps({"majority": 0.5}))
            if name != SCRATCH:
                results = {"validation_tokens_perplexity": 30.0 + 2 * seed, "validation_tokens_accuracy": 0.3}
                if name == "next sentence":
                    results["validation_next_accuracy"] = 0.8
                (run / "results.json").write_text(json.dumps(results))
    figures = compare(right, tmp_path, title="made up")
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = {row[0]: [cell.strip() for cell in row[1:] if cell.strip()] for row in lines if row[0] in right}
    assert cells["next sentence"][:4] == ["31.0", "(30.0 to 32.0)", "80.0", "(80.0 to 80.0)"]
    assert (cells["next sentence"][4], cells["next sentence"][6]) == ("75.0", "+25.0")
    assert cells["sentence order"][-2:] == ["+0.0", "(+0.0 to +0.0)"]
    assert cells[SCRATCH][0] == "12.5"
    task, minus = (figures[name] for name in ("task: share right (%)", f"minus {PLAIN} (points)"))
    assert (task[PLAIN][0], minus["next sentence"][0], minus[SCRATCH][0]) == (50.0, 25.0, -37.5)
    assert task["sentence order"] == task[PLAIN]  # equal answers, equal intervals
    assert figures["majority"] == 50.0
    assert json.loads((tmp_path / "comparison.json").read_text())["majority"] == 50.0
    assert (tmp_path / "comparison.png").read_bytes()[:4] == b"\x89PNG"


def test_questions_read_the_same_pairs():
    for name, members in questions().items():
        assert max(member.num_segments for member in members.values()) == 2, name
        assert members["tokens"].rate == 0.15  # type: ignore[attr-defined]


def test_wrong_configurations_are_refused():
    for wrong in ({"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}):
        with pytest.raises(ValueError, match="are wanted, but FineTuneConfig"):
            FineTuneConfig(**wrong)

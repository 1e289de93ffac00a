"""What every task promises; a new file in tasks/ is found and tested without a word here."""

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.nn.functional import one_hot
from transformers.utils import ModelOutput

from selfsup.data.collate import collate
from selfsup.data.images import Picture
from selfsup.data.labelled import ANSWERS
from selfsup.metrics import TallyMetric
from selfsup.models.encoder_decoder_config import TextEncoderDecoderConfig
from selfsup.objectives import Supervised
from selfsup.task import Task, load_task
from selfsup.training.export import name_tokens
from selfsup.training.processors import plain_processor

FOLDER = Path(__file__).parents[2] / "tasks"
WORDS = ["the", "old", "house", "stands", "by", "the", "river"]


def raw_examples(task: Task, objective: Supervised) -> list[dict[str, Any]]:
    """A few of any kind, with the labels that the task names, where it names some."""
    labels = task.data[0].labels or ("B-place", "I-place", "O")
    examples = []
    for number in range(4):
        words = [*WORDS[number:], *WORDS[:number]]
        answers = {"text": [words[2]], "answer_start": [len(" ".join(words[:2])) + 1]}
        picture = Picture(np.random.default_rng(number).integers(0, 256, (1, 8, 8), dtype=np.uint8))
        roles = {
            "image": picture, "text": " ".join(words), "text_pair": "a pair", "label": labels[number % len(labels)],
            "number": number / 2,
            "words": words, "tags": [labels[(place + number) % len(labels)] for place in range(len(words))],
            "source": " ".join(words), "target": " ".join(reversed(words)), "heads": list(range(len(words))),
            "relations": ["root", *words[1:]],
            "question": "what is it?", "context": " ".join(words), "answers": answers, "id": str(number),
        }  # fmt: skip
        examples.append({role: roles[role] for role in (*objective.roles, *objective.optional)})
    return examples


def oracle(batch: dict[str, torch.Tensor], num_labels: int, vocab_size: int) -> dict[str, torch.Tensor]:
    """What a model that knows the answers gives."""
    if "targets" in batch:
        return ModelOutput(logits=one_hot(batch["targets"].clamp(min=0), vocab_size).float())
    if "start_positions" in batch:
        length = batch["input_ids"].shape[1]
        return {f"{edge}_logits": one_hot(batch[f"{edge}_positions"], length).float() for edge in ("start", "end")}
    if batch["labels"].is_floating_point():
        return {"logits": batch["labels"][:, None]}
    return {"logits": one_hot(batch["labels"].clamp(min=0), num_labels).float()}


@pytest.fixture(params=sorted(path.stem for path in FOLDER.glob("[!_]*.py")))
def task(request) -> Task:
    return load_task(request.param, FOLDER)


def test_it_says_in_a_sentence_what_it_asks(task):
    assert re.match(r"[A-Z][^.]*\?", ast.get_docstring(ast.parse((FOLDER / f"{task.name}.py").read_text())) or "")


def test_roles_are_those_of_its_objective(task):
    objective = task.objective()
    roles = {*objective.roles, *objective.optional}
    for data in task.data:
        assert data.columns.keys() <= roles
    if "image" in roles:
        assert task.prompt is None, "a model that goes on with a text sees no pictures"
        return
    assert task.prompt
    asked = re.findall(r"{(\w+)}", task.prompt.template)
    assert set(asked) <= roles
    assert task.prompt.template.endswith(f"{{{asked[-1]}}}"), "the answer stands last, where it can be written"
    assert [role for role in asked if role in ANSWERS] == asked[-1:]
    assert task.prompt.verbalisers.keys() <= {label for data in task.data for label in data.labels}


def test_names_of_data_sets_find_them(task):
    for data in task.data:
        assert all(task.choose(name) == data for name in data.names)
    assert task.choose() == task.data[0]


def test_an_example_goes_from_the_table_to_the_figure(task, tiny_tokenizer, tiny_config, tiny_picture_config):
    """Read by a model that knows all answers, every task scores 1; and a real model gives outputs of the same shape."""
    objective = task.objective()
    examples = raw_examples(task, objective)
    names = task.data[0].labels or objective.survey(examples)
    objective.survey(examples)
    if objective.auto_class == "AutoModelForSeq2SeqLM":
        tiny_config = TextEncoderDecoderConfig(
            vocab_size=tiny_config.vocab_size, hidden_size=16, num_encoder_layers=1, num_decoder_layers=1,
            num_attention_heads=2, intermediate_size=32,
        )  # fmt: skip
        name_tokens(tiny_config, tiny_tokenizer)
    processor = tiny_tokenizer
    if "image" in objective.roles:
        tiny_config, processor = tiny_picture_config, plain_processor(8, 8)
    tiny_config.id2label, tiny_config.label2id = dict(enumerate(names)), {name: n for n, name in enumerate(names)}
    tiny_config.problem_type = objective.problem_type()
    tiny_config.update(objective.findings())
    objective.bind(processor, tiny_config)
    for example in examples:
        objective.check(example)
    parts = [objective.parts(example) for example in examples]
    batch = collate([[objective.encode(part)] for some in parts for part in some], padding=objective.padding)
    known = oracle(batch, len(names), getattr(tiny_config, "vocab_size", 0))
    torch.manual_seed(0)
    model = getattr(transformers, objective.auto_class).from_config(tiny_config).eval()
    outputs = objective.forward({"model": model}, batch, "model")
    assert all(outputs[name].shape == known[name].shape for name in known)
    for scores, best in ((known, True), (outputs, False)):
        # What is written does not follow from one forward pass; behind the true target the oracle writes just that.
        found = objective.predict(scores, batch) if best else objective.answer({"model": model}, batch, scores)
        predictions = iter(found)
        concluded = [
            objective.conclude(example, [next(predictions) for _ in some])
            for example, some in zip(examples, parts, strict=True)
        ]
        scored = [objective.scored(conclusion) for conclusion in concluded]
        answers = [objective.reference(example) for example in examples]
        beside = [
            {"source": objective.source(example), "targets": [answer]}
            for example, answer in zip(examples, answers, strict=True)
            if task.source_metrics
        ]
        pairs = [(make, answers) for make in task.metrics] + [(make, beside) for make in task.source_metrics]
        for make, references in pairs:
            metric = make()
            assert isinstance(metric, TallyMetric)
            figure = metric.compute(predictions=scored, references=references)[metric.main]
            assert figure == pytest.approx(1) if best else -1 <= figure < 1

"""A task that can be learnt in seconds, and what learns it."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from transformers import AutoModelForMaskedLM

from selfsup.finetuning.learner import Learner
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.metrics import Accuracy
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.objectives import Classification
from selfsup.task import Task

NAMES = ["miller", "captain", "queen", "doctor", "teacher"]
Examples = list[dict[str, Any]]


@pytest.fixture(scope="session")
def about_cats() -> Callable[..., Examples]:
    """Is the text about the cat? Two of three say no; texts have 3 to 15 words."""

    def made(number: int, seed: int = 0) -> Examples:
        chance = random.Random(seed)
        examples = []
        for place in range(number):
            who = "cat" if place % 3 == 0 else chance.choice(NAMES)
            more = " and a silver spoon" * chance.choice((0, 0, 1, 3))
            examples.append({"text": f"The {who} hid{more}.", "label": "no" if place % 3 else "yes"})
        return examples

    return made


@pytest.fixture(scope="session")
def cats() -> Task:
    """The task of `about_cats`."""
    return Task(Classification, (Accuracy,), (), name="cats")


@pytest.fixture(scope="session")
def accelerator() -> Iterator[Accelerator]:
    """One for all; after each model it does not collect garbage, which takes longer here than the model did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelerate.utils.memory.gc", SimpleNamespace(collect=lambda: 0))
        yield Accelerator(cpu=True)


@pytest.fixture
def network(tiny_config, tiny_tokenizer) -> Callable[..., tuple[Any, Any]]:
    """A fresh model with the head of an objective, and the objective, bound."""
    import transformers

    def made(objective: Any = None, labels: tuple[str, ...] = ("no", "yes"), dtype=torch.float32, **fields: Any):
        objective = objective or Classification()
        config = type(tiny_config).from_dict(tiny_config.to_dict() | fields)
        config.id2label = dict(enumerate(labels))
        config.label2id = {name: number for number, name in enumerate(labels)}
        config.update(objective.findings())
        torch.manual_seed(0)
        model = getattr(transformers, objective.auto_class).from_config(config).to(dtype)
        objective.bind(tiny_tokenizer, config)
        return model, objective

    return made


@pytest.fixture
def untrained(tiny_config, tiny_tokenizer) -> Learner:
    """The shape of a model."""
    return Learner(tiny_config, tiny_tokenizer)


@pytest.fixture(scope="session")
def pretrained(tiny_tokenizer, tmp_path_factory) -> Path:
    """A folder as pretraining leaves it; the weights are those of chance."""
    from selfsup.training.export import export

    config = TextEncoderConfig(
        vocab_size=len(tiny_tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("pretrained")
    torch.manual_seed(7)
    export(AutoModelForMaskedLM.from_config(config), tiny_tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def quick() -> FineTuneConfig:
    """One epoch in large steps."""
    return FineTuneConfig(learning_rate=0.01, epochs=1, batch_size=16, slice_share=0.0)

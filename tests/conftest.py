"""What all tests share: no network, one thread, and a made-up text with its tokenizer, cache and model."""

import ipaddress
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: sums over threads round differently

import pytest

SUBJECTS = """the miller|a small boy|the old captain|my neighbour|the queen|a travelling doctor|the grey cat|our teacher
two farmers|the night watch|a stranger|the baker's daughter|the judge|a tired soldier|the gardener|her uncle"""
VERBS = """carried|found|painted|sold|remembered|forgot|counted|repaired|hid|borrowed|washed|admired|described|lost
measured|opened|watched|praised|broke|collected"""
OBJECTS = """a wooden box|the silver spoon|seven letters|an empty bottle|the broken clock|a map of the island|some bread
the blue door|his father's coat|a basket of apples|the long rope|an unknown song|the second chapter|a black horse"""
PLACES = """in the garden|near the harbour|behind the church|on the hill|under the bridge|at the market|by the river
before breakfast|after the storm|without a word|for the third time|with great care|in the last light of the evening"""
OPENINGS = "|||||Then |At noon |Later that day |Nobody knew why |In winter |Once more |Without any doubt "

NAMES = ["miller", "captain", "queen", "doctor", "teacher"]
Examples = list[dict[str, Any]]


def sentence(rng: random.Random) -> str:
    """One sentence of a small grammar; now and then a long one."""
    subjects, verbs, objects, places = (
        words.replace("\n", "|").split("|") for words in (SUBJECTS, VERBS, OBJECTS, PLACES)
    )
    text = f"{rng.choice(OPENINGS.split('|'))}{rng.choice(subjects)} {rng.choice(verbs)} {rng.choice(objects)}"
    if rng.random() < 0.6:
        text += f" {rng.choice(places)}"
    if rng.random() < 0.2:
        text += f", and {rng.choice(subjects)} {rng.choice(verbs)} {rng.choice(objects)}"
    return text[0].upper() + text[1:] + rng.choice("....!?")


def document(rng: random.Random) -> str:
    """Paragraphs with blank lines between them: most documents are short, some a single sentence, some long."""
    num_paragraphs = rng.choice((1, 1, 2, 3, 12))
    return "\n\n".join(" ".join(sentence(rng) for _ in range(rng.randint(1, 7))) for _ in range(num_paragraphs))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no worker is left with it in the end: the commands of the README take minutes."""
    items.sort(key=lambda item: "commands_and_python_of_the_readme" not in item.name)


@pytest.fixture(scope="session", autouse=True)
def loopback(tmp_path_factory) -> Iterator[None]:
    """Refuse every connection beyond this machine, and keep caches out of the home folder."""

    def is_local(host: str | None) -> bool:
        try:
            return host in (None, "", "localhost", socket.gethostname()) or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def guarded(method):
        def call(self, address, *rest):
            if self.family != socket.AF_UNIX and not is_local(address[0]):
                raise PermissionError(f"tests use no network, but something connects to {address}")
            return method(self, address, *rest)

        return call

    def look_up(host, *rest, **options):
        if not is_local(host.decode() if isinstance(host, bytes) else host):
            raise PermissionError(f"tests use no network, but something asks for the address of {host}")
        return getaddrinfo(host, *rest, **options)

    getaddrinfo = socket.getaddrinfo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", look_up)
        patch.setenv("SELFSUP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_text_folder(tmp_path_factory) -> Path:
    """60 documents, one a file, some 800 sentences."""
    folder, rng = tmp_path_factory.mktemp("text"), random.Random(0)
    for number in range(60):
        (folder / f"{number:02d}.txt").write_text(document(rng) + "\n")
    return folder


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_text_folder, tmp_path_factory):
    """384 pieces, learnt from the text; its folder is its `name_or_path`."""
    from selfsup.tokenization.train import train_tokenizer

    texts = (file.read_text() for file in sorted(tiny_text_folder.iterdir()))
    return train_tokenizer(texts, tmp_path_factory.mktemp("tokenizer"), vocab_size=384)


@pytest.fixture(scope="session")
def tiny_corpus(tiny_text_folder, tiny_tokenizer, tmp_path_factory):
    """The cache of the text."""
    from selfsup.data.corpus import open_corpus
    from selfsup.data.sources import find_text
    from selfsup.tokenization.encode import batch_encoder, fingerprint

    return open_corpus(
        find_text(str(tiny_text_folder)),
        batch_encoder(tiny_tokenizer),
        tokenizer_fingerprint=fingerprint(tiny_tokenizer),
        vocab_size=len(tiny_tokenizer),
        cache_dir=tmp_path_factory.mktemp("corpus"),
        quiet=True,
    )


@pytest.fixture
def tiny_config(tiny_tokenizer):
    """A text encoder of two blocks, 16 wide; fresh for each test."""
    from selfsup.models.text_encoder import TextEncoderConfig

    return TextEncoderConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        pad_token_id=tiny_tokenizer.pad_token_id,
    )


# For what learns a task and what predicts ---------------------------------------------------------------------------


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
def cats():
    """The task of `about_cats`."""
    from selfsup.metrics import Accuracy
    from selfsup.objectives import Classification
    from selfsup.task import Task

    return Task(Classification, (Accuracy,), (), name="cats")


@pytest.fixture(scope="session")
def accelerator():
    """One for all; after each model it does not collect garbage, which takes longer here than the model did."""
    from accelerate import Accelerator

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelerate.utils.memory.gc", SimpleNamespace(collect=lambda: 0))
        yield Accelerator(cpu=True)


@pytest.fixture
def tiny_decoder_config(tiny_config):
    """A text decoder as small as the encoder, whose blocks do something from the start: gradients come through."""
    from selfsup.models.text_decoder import TextDecoderConfig

    shared = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"]
    shared += ["max_position_embeddings", "pad_token_id"]
    return TextDecoderConfig(**{name: getattr(tiny_config, name) for name in shared}, zero_init_output=False)


@pytest.fixture
def tiny_pair_config(tiny_config, tiny_tokenizer):
    """An encoder-decoder as small as the encoder, whose blocks do something from the start."""
    from selfsup.models.encoder_decoder import TextEncoderDecoderConfig

    shared = ["vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings"]
    return TextEncoderDecoderConfig(
        **{name: getattr(tiny_config, name) for name in shared}, num_encoder_layers=2, num_decoder_layers=2,
        zero_init_output=False, dropout=0.0, pad_token_id=tiny_tokenizer.pad_token_id,
        decoder_start_token_id=tiny_tokenizer.cls_token_id, bos_token_id=tiny_tokenizer.cls_token_id,
        eos_token_id=tiny_tokenizer.sep_token_id,
    )  # fmt: skip


@pytest.fixture
def tiny_picture_config():
    """A vision transformer of transformers for grey pictures of 8 x 8 pixels."""
    from transformers import ViTConfig

    return ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=8,
                     patch_size=4, encoder_stride=4, num_channels=1)  # fmt: skip


@pytest.fixture
def network(tiny_config, tiny_tokenizer) -> Callable[..., tuple[Any, Any]]:
    """A fresh model with the head of an objective, and the objective, bound."""
    import torch
    import transformers

    from selfsup.objectives import Classification

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
def untrained(tiny_config, tiny_tokenizer):
    """The shape of a model."""
    from selfsup.finetuning.learner import Learner

    return Learner(tiny_config, tiny_tokenizer)


@pytest.fixture(scope="session")
def pretrained(tiny_tokenizer, tmp_path_factory) -> Path:
    """A folder as pretraining leaves it; the weights are those of chance."""
    import torch
    from transformers import AutoModelForMaskedLM

    from selfsup.models.text_encoder import TextEncoderConfig
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
def quick():
    """One epoch in large steps."""
    from selfsup.finetuning.learning import FineTuneConfig

    return FineTuneConfig(learning_rate=0.01, epochs=1, batch_size=16, slice_share=0.0)

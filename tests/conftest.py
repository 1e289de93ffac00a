"""What all tests share: no network, one thread, and a made-up text with its tokenizer, cache and model."""

import ipaddress
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

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

"""A task of coloured names, a tokenizer of whole words, and two models: one by chance, one that copies."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from selfsup.data.labelled import Table
from selfsup.data.tables import Place
from selfsup.metrics import Accuracy
from selfsup.objectives import Classification
from selfsup.task import Prompt, Task

NAMES = [first + last for first in "bdfgkmpt" for last in ("ado", "eni")]
COLOURS = ("red", "green", "blue")
TIMES = ["now", "today", "soon", "later"]
WORDS = [
    "[UNK]",
    "[PAD]",
    *NAMES,
    *COLOURS,
    *TIMES,
    "is",
    "very",
    "dark",
    "Which",
    "colour",
    "?",
    "N",
    "/",
    "A",
    "MASK",
]


class Copier(nn.Module):
    """Says what followed when the last two tokens came before, and a little rather `likes` than anything else.

    So it answers by the examples of its prompt and by nothing else.
    """

    def __init__(self, vocab_size: int, likes: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(vocab_size=vocab_size, max_position_embeddings=400, is_encoder_decoder=False)
        self.likes, self.device = likes, torch.device("cpu")

    def can_generate(self) -> bool:
        return True

    def forward(self, input_ids, attention_mask):
        same = input_ids[:, :, None] == input_ids[:, None, :]
        both = same & torch.nn.functional.pad(same[:, :-1, :-1], (1, 0, 1, 0))  # [now, then], and the tokens before
        both = torch.tril(both, -1)[:, :, :-1].float()
        logits = 10 * both @ nn.functional.one_hot(input_ids[:, 1:], self.config.vocab_size).float()
        logits[..., self.likes] += 1
        return SimpleNamespace(logits=logits)

    def generate(self, input_ids, attention_mask, max_new_tokens, **options):
        for _ in range(max_new_tokens):
            best = self(input_ids, attention_mask).logits[:, -1:].argmax(dim=-1)
            input_ids = torch.cat([input_ids, best], dim=1)
        return input_ids


@pytest.fixture(scope="session")
def tokenizer():
    """One token for each word and mark; it puts nothing before a text, and leaves "~" out."""
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.normalizer = normalizers.Replace("~", "")
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]")


@pytest.fixture(scope="session")
def gpt2():
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(WORDS), n_positions=64, n_embd=16, n_layer=2, n_head=2, initializer_range=0.5,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="session")
def copier(tokenizer):
    """Of two colours that its prompt does not tell apart it says red."""
    return Copier(len(WORDS), likes=WORDS.index("red"))


@pytest.fixture(scope="session")
def colours():
    """The task: which colour is a name of?"""
    prompt = Prompt("{text} is {label}", "Which colour?", separator=" . ")
    return Task(Classification, (Accuracy,), (), prompt=prompt, name="colours")


@pytest.fixture(scope="session")
def coloured():
    """Tables of names in colours that nobody could guess; each name at some times in one, at others in the other."""

    def made(times: list[str], seed: int = 0) -> Table:
        colour = {
            name: COLOURS[number % 3] for number, name in enumerate(random.Random(seed).sample(NAMES, len(NAMES)))
        }
        examples: list[dict[str, Any]] = [
            {"text": f"{time} {name}", "label": colour[name]} for name in NAMES for time in times
        ]
        places = [Place("row", number + 1, "-".join(times)) for number in range(len(examples))]
        return Table("colours", examples, places, COLOURS)

    return made

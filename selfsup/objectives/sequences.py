"""What all that is learnt from pairs of a source and a target shares: how both are framed, cut, counted and decoded."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedTokenizerBase

from selfsup.data.roles import ANSWERS
from selfsup.objectives.objective import Batch, Example, Players, accepted_fields
from selfsup.objectives.supervised import Supervised
from selfsup.tokenization.encode import batch_encoder

PROBE = "a"  # a text whose frame shows which tokens a tokenizer puts around any
NUM_LONGEST = 32  # targets that are kept to find the longest in tokens among them
ROOM = 1.25  # how much longer than the longest target learnt from a prediction may become


class Sequences(Supervised):
    """A source, and the target to be written from it. Tasks whose roles are others override `source` and `target`.

    A source is framed as the tokenizer frames a text ([CLS] source [SEP] with one of ours); so is a target, but for
    the token that the decoder begins with. What is too long for the model is cut at its end: a source keeps its frame,
    a target loses the token that ends it, since there is no end where it was cut.

    Args:
        max_new_tokens: of a prediction; None: as the model learnt, a quarter more than the longest target had.
        weight: factor of the loss in a `Joint`.
    """

    roles: ClassVar[tuple[str, ...]] = ("source", "target")

    def __init__(self, max_new_tokens: int | None = None, weight: float = 1.0) -> None:
        super().__init__(weight)
        if max_new_tokens is not None and max_new_tokens < 1:
            raise ValueError(f"max_new_tokens of at least 1 is wanted, but {max_new_tokens} came")
        self.max_new_tokens = max_new_tokens
        self.longest: list[str] = []
        self.max_target_tokens: int | None = None

    def source(self, example: Example) -> str:
        """The text that is read."""
        return example["source"]

    def target(self, example: Example) -> str:
        """The text that is to be written."""
        return example["target"]

    def bind(self, tokenizer, config) -> None:
        """See `Objective.bind`; of the tokenizer no more is asked than that it frames texts, and of the model that it
        has an encoder and a decoder.

        Raises:
            ValueError: no token is known with which a target begins, or none that ends it.
        """
        self.fields = accepted_fields(self.auto_class, config)
        if not config.is_encoder_decoder:
            raise ValueError(
                f"{type(self).__name__} needs an encoder and a decoder, but a {type(config).__name__} came: make one "
                "with scripts/new_model.py, or name one of the Hub (BART, T5, Marian)"
            )
        self.label_ids = {}
        self.tokenizer = tokenizer
        pad = config.pad_token_id if config.pad_token_id is not None else tokenizer.pad_token_id
        self.start_id = _first(config.decoder_start_token_id, tokenizer.cls_token_id, tokenizer.bos_token_id)
        self.end_id = _first(config.eos_token_id, tokenizer.sep_token_id, tokenizer.eos_token_id)
        self.unknown_id = tokenizer.unk_token_id
        self.padding = {"input_ids": pad or 0, "decoder_input_ids": pad or 0, "targets": -100}
        limits = (getattr(config, "max_position_embeddings", None), tokenizer.model_max_length)
        self.max_tokens = min((limit for limit in limits if limit is not None and limit < 10**6), default=None)
        self.encode_source, self.encode_target = _encoders(tokenizer)
        self.source_frame = _frame(tokenizer, self.encode_source, target=False)
        before, after = _frame(tokenizer, self.encode_target, target=True)
        before = before[1:] if before[:1] == [self.start_id] else before
        self.target_frame = (before, after if self.end_id in after else [*after, self.end_id])
        if self.longest:
            longest = max(map(len, self.encode_target(self.longest)))
            self.max_target_tokens = math.ceil(ROOM * (longest + sum(map(len, self.target_frame))))
        elif self.max_target_tokens is None:
            self.max_target_tokens = getattr(config, "max_target_tokens", None)

    @property
    def num_written(self) -> int:
        """Tokens of a prediction at most; known once bound."""
        wanted = self.max_new_tokens or self.max_target_tokens or 128
        return wanted if self.max_tokens is None else min(wanted, self.max_tokens)

    def survey(self, examples: Sequence[Example]) -> list[str]:
        targets = []
        for example in filter(self._has_target, examples):
            with suppress(ValueError):  # `check` refuses it, by someone who knows the number of the row
                targets.append(self.target(example))
        self.longest = sorted(set(targets), key=lambda text: (-len(text), text))[:NUM_LONGEST]
        return []

    def findings(self) -> dict[str, Any]:
        return {} if self.max_target_tokens is None else {"max_target_tokens": self.max_target_tokens}

    def check(self, example: Example) -> None:
        for name, text in (("source", self.source(example)), ("target", self.target(example))):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"a {name} was wanted, but it is empty")

    def notes(self, example: Example) -> list[str]:
        read = {"source": (self.source(example), self.encode_source, self.source_frame)}
        if self._has_target(example):
            read["target"] = (self.target(example), self.encode_target, self.target_frame)
        said = []
        for name, (text, encode, around) in read.items():
            ids, most = encode([text])[0], self._room(around)
            if len(ids) > most:
                said.append(f"a {name} of {len(ids)} tokens was cut to {self.max_tokens} with those around it")
            if self.unknown_id is not None and (unknown := list(ids).count(self.unknown_id)):
                said.append(f"a {name} has {unknown} token(s) that the tokenizer does not know")
        return said

    def source_ids(self, example: Example) -> np.ndarray:
        """(tokens) int64 of the source, framed."""
        (before, after), ids = self.source_frame, self.encode_source([self.source(example)])[0]
        return np.array([*before, *ids[: self._room(self.source_frame)], *after], dtype=np.int64)

    def target_ids(self, example: Example) -> np.ndarray:
        """(tokens) int64 of the target with its end, unless it was cut."""
        (before, after), ids = self.target_frame, self.encode_target([self.target(example)])[0]
        most = 10**9 if self.max_tokens is None else self.max_tokens
        begun = [*before, *ids]
        return np.array([*begun, *after] if len(begun) + len(after) <= most else begun[:most], dtype=np.int64)

    def _room(self, around: tuple[list[int], list[int]]) -> int:
        return 10**9 if self.max_tokens is None else self.max_tokens - sum(map(len, around))

    def _has_target(self, example: Example) -> bool:
        return all(example.get(role) is not None for role in self.roles if role in ANSWERS)

    def answered(self, batch: Batch) -> bool:
        return "targets" in batch

    def conclude(self, example: Example, predictions: Sequence[Any]) -> Any:
        return self.tokenizer.decode(predictions[0], skip_special_tokens=True).strip()

    def reference(self, example: Example) -> Any:
        return self.target(example)


def bare(players: Players) -> Any:
    """The model itself, unwrapped: what is done with it before the one call that learns is no business of DDP's."""
    model = players["model"]
    return model.module if isinstance(model, DistributedDataParallel) else model


def real_tokens(batch: Batch) -> Tensor:
    """(rows, source tokens) bool: no padding."""
    mask = batch.get("attention_mask")
    return batch["input_ids"].new_ones(batch["input_ids"].shape).bool() if mask is None else mask.bool()


def _first(*candidates: Any) -> int:
    """The first id that is known; of several that end a text the first."""
    for found in candidates:
        if found is not None:
            return found[0] if isinstance(found, list) else int(found)
    raise ValueError(
        "tokens that begin and end a target are wanted, but neither the configuration (decoder_start_token_id, "
        "eos_token_id) nor the tokenizer names them: set them in the configuration"
    )


def _encoders(tokenizer: PreTrainedTokenizerBase) -> tuple[Callable, Callable]:
    """What turns sources, and what turns targets, into ids without special tokens: Marian has two vocabularies."""
    if tokenizer.is_fast:
        return (encode := batch_encoder(tokenizer)), encode
    return (
        lambda texts: tokenizer(texts, add_special_tokens=False)["input_ids"],
        lambda texts: tokenizer(text_target=texts, add_special_tokens=False)["input_ids"],
    )


def _frame(tokenizer: PreTrainedTokenizerBase, encode: Callable, *, target: bool) -> tuple[list[int], list[int]]:
    """The special tokens before and behind a text, as the tokenizer puts them."""
    framed = list((tokenizer(text_target=PROBE) if target else tokenizer(PROBE))["input_ids"])
    inside = list(encode([PROBE])[0])
    for place in range(len(framed) - len(inside) + 1):
        if framed[place : place + len(inside)] == inside:
            return framed[:place], framed[place + len(inside) :]
    raise ValueError(
        f"a tokenizer that puts its special tokens around a text was wanted, but {type(tokenizer).__name__} makes "
        f"{framed} of {PROBE!r}, whose own tokens are {inside}"
    )

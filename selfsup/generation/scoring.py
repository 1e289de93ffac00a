"""Log-probabilities of tokens at chosen places of many rows, batched by length, with whatever head a model has."""

from collections.abc import Iterator, Sequence
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import DynamicCache, PreTrainedModel

LOGITS = 2**27  # of a batch at once, 512 MB in float32
CHUNK = 2**24  # of these, turned into log-probabilities at once
SHARED = 16  # tokens from which on a beginning is read once for all rows of a batch


class Row(NamedTuple):
    """What a model reads, and what is asked of it.

    Args:
        input_ids: (tokens) read.
        places: (answers) in `input_ids`, where the answers are read off.
        targets: (answers) the tokens whose log-probabilities are wanted.
    """

    input_ids: Sequence[int]
    places: Sequence[int]
    targets: Sequence[int]


class Answers(NamedTuple):
    """Of one row.

    Args:
        log_probs: (answers) float32, natural logarithms.
        best: (answers) bool; no other token is more probable.
    """

    log_probs: np.ndarray
    best: np.ndarray


def score(
    model: PreTrainedModel, rows: Sequence[Row], *, pad_id: int | None, batch_size: int, quiet: bool = True
) -> list[Answers]:
    """Ask a model for tokens of rows; rows of like lengths go together, and padding stands on the right.

    Rows of the same `input_ids`, as those of one context with continuations of one token each, are read once; and so
    is a beginning that all rows of a batch share, as examples in a prompt are, where the model keeps keys and values.

    Args:
        model: whose outputs have `logits`; it is put into evaluation mode meanwhile.
        rows: each with at least one token and one answer.
        pad_id: what fills short rows; nobody looks at it.
        batch_size: most rows in a batch; fewer where their logits would not fit into `LOGITS`.
        quiet: show no progress bar.
    Returns:
        one for each row, in the order in which they came.
    Raises:
        ValueError: `batch_size` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batches of at least one row are wanted, but a batch_size of {batch_size} came")
    alike: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(rows):
        alike.setdefault(tuple(row.input_ids), []).append(number)
    if len(alike) < len(rows):
        return _apart(rows, list(alike.values()), model, pad_id=pad_id, batch_size=batch_size, quiet=quiet)
    found: list[Answers | None] = [None] * len(rows)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), tqdm(total=len(rows), unit="row", disable=quiet, leave=False) as bar:
            for batch in _batches(rows, batch_size, model.config.vocab_size):
                log_probs, best = _answers(model, [rows[i] for i in batch], pad_id or 0)
                stops = np.cumsum([len(rows[i].targets) for i in batch])
                for i, stop in zip(batch, stops, strict=True):
                    answers = slice(stop - len(rows[i].targets), stop)
                    found[i] = Answers(log_probs[answers], best[answers])
                bar.update(len(batch))
    finally:
        model.train(was_training)
    return [answers for answers in found if answers is not None]


def _apart(
    rows: Sequence[Row], groups: Sequence[Sequence[int]], model: PreTrainedModel, **options: Any
) -> list[Answers]:
    """Answers of rows by way of one row for each group of the same `input_ids`."""
    parts: list[tuple[list[int], list[int]]] = [([], []) for _ in groups]
    for group, (places, targets) in zip(groups, parts, strict=True):
        for number in group:
            places += rows[number].places
            targets += rows[number].targets
    merged = [Row(rows[group[0]].input_ids, *part) for group, part in zip(groups, parts, strict=True)]
    found: dict[int, Answers] = {}
    for group, answers in zip(groups, score(model, merged, **options), strict=True):
        edges = np.cumsum([len(rows[number].targets) for number in group])[:-1]
        split = zip(np.split(answers.log_probs, edges), np.split(answers.best, edges), strict=True)
        found |= {number: Answers(*of) for number, of in zip(group, split, strict=True)}
    return [found[number] for number in range(len(rows))]


def window(model: PreTrainedModel, tokenizer=None) -> int | None:
    """Most tokens that a model reads at once; None where nothing limits them.

    Args:
        model: of transformers.
        tokenizer: of RoBERTa knows better than its configuration, which counts positions from 2.
    """
    limits = [getattr(model.config, "max_position_embeddings", None), getattr(tokenizer, "model_max_length", None)]
    return min((limit for limit in limits if limit is not None and 0 < limit < 10**9), default=None)


def _batches(rows: Sequence[Row], batch_size: int, vocab_size: int) -> Iterator[list[int]]:
    """Numbers of rows that go together; the longest come first, so that what is too large fails at once."""
    batch: list[int] = []
    most = 0
    for i in sorted(range(len(rows)), key=lambda i: -len(rows[i].input_ids)):
        if batch and (len(batch) == batch_size or (len(batch) + 1) * most * vocab_size > LOGITS):
            yield batch
            batch = []
        most = most if batch else len(rows[i].input_ids)
        batch.append(i)
    if batch:
        yield batch


def _answers(model: PreTrainedModel, rows: Sequence[Row], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """(answers of all rows) log-probabilities, and whether each is the best."""
    width = max(len(row.input_ids) for row in rows)
    input_ids = torch.full((len(rows), width), pad_id)
    attention_mask = torch.zeros(len(rows), width, dtype=torch.int64)
    for number, row in enumerate(rows):
        input_ids[number, : len(row.input_ids)] = torch.tensor(row.input_ids)
        attention_mask[number, : len(row.input_ids)] = 1
    fields = {"input_ids": input_ids.to(model.device), "attention_mask": attention_mask.to(model.device)}
    counts = torch.tensor([len(row.places) for row in rows])
    numbers = torch.arange(len(rows)).repeat_interleave(counts).to(model.device)
    places, targets = (
        torch.tensor([value for row in rows for value in values(row)], device=model.device)
        for values in (lambda row: row.places, lambda row: row.targets)
    )
    if shared := _shared(model, rows):
        cache = DynamicCache(config=model.config)
        begin = {"input_ids": fields["input_ids"][:1, :shared], "attention_mask": fields["attention_mask"][:1, :shared]}
        _logits(model, {**begin, **_keeping(cache)}, numbers[:1], places[:1] * 0 + shared - 1)
        cache.batch_repeat_interleave(len(rows))
        fields = {**fields, "input_ids": fields["input_ids"][:, shared:], **_keeping(cache)}
        places = places - shared
    logits = _logits(model, fields, numbers, places)
    chunk = max(1, CHUNK // logits.shape[-1])
    parts = [_read_off(*part) for part in zip(logits.split(chunk), targets.split(chunk), strict=True)]
    log_probs, best = (torch.cat(side).cpu().numpy() for side in zip(*parts, strict=True))
    return log_probs, best


def _shared(model: PreTrainedModel, rows: Sequence[Row]) -> int:
    """How many tokens all rows begin with, none of which is asked for an answer; 0 where it is too few to matter."""
    keeps = getattr(model, "_supports_default_dynamic_cache", None)  # private, but what `generate` asks
    takes = "past_key_values" in signature(model.forward).parameters
    if len(rows) < 2 or not model.can_generate() or keeps is None or not keeps() or not takes:
        return 0
    most = min(min(row.places) for row in rows)
    begins = np.array([row.input_ids[:most] for row in rows])
    alike = (begins == begins[0]).all(axis=0)
    number = most if alike.all() else int(alike.argmin())
    return number if number >= SHARED else 0


def _keeping(cache: DynamicCache) -> dict[str, Any]:
    return {"past_key_values": cache, "use_cache": True}


def _logits(model: PreTrainedModel, fields: dict[str, Any], numbers: Tensor, places: Tensor) -> Tensor:
    """(answers, vocab) at a place of a row each; where the head allows, it is not applied elsewhere."""
    taken = signature(model.forward).parameters
    if "logit_positions" in taken:  # ours
        return model(**fields, logit_positions=numbers * fields["input_ids"].shape[1] + places).logits
    if "logits_to_keep" in taken:
        first = int(places.min())
        return model(**fields, logits_to_keep=fields["input_ids"].shape[1] - first).logits[numbers, places - first]
    return model(**fields).logits[numbers, places]


def _read_off(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """In float32 whatever the model computes in: 16 bits round log-probabilities of sentences to whole nats."""
    logits = logits.float()
    chosen = logits.gather(1, targets[:, None]).squeeze(1)
    return chosen - logits.logsumexp(dim=1), chosen >= logits.amax(dim=1)

"""Rows of examples to a batch of tensors."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

Example = Mapping[str, np.ndarray]
PATCH = 64  # pixels of a picture that count as a token


def collate(rows: Sequence[Sequence[Example]], *, padding: Mapping[str, int]) -> dict[str, Tensor]:
    """Lay the examples of every row side by side and pad the rows to one length.

    A field with one number for each token of `input_ids` runs along the tokens; a field with a single number belongs
    to the example as a whole, and comes out as (examples), one of the shape (1, n) as (examples, n). A field of three
    axes is a picture: pictures of one shape come out as (examples, channels, height, width), as they are.

    Where there are `decoder_input_ids`, they, `targets` and all fields whose names begin with "decoder_" run along the
    target instead, which has a width of its own; every row is then one example.

    Args:
        rows: examples with at least `input_ids` or a picture, grouped by the row they share.
        padding: what fills the rows, by field; 0 where nothing is said, -100 in `labels`.
    Returns:
        the fields, (rows, tokens) or (examples), int64 or float32, pictures uint8; `attention_mask` where there is
        padding; where a row holds several examples also `sequence_ids` (from 1; 0 is padding), `position_ids`
        (restarting with each example) and `sequence_starts` (examples), places of their first tokens in the flattened
        batch; with `labels` also `label_positions` (answers), the places in the flattened batch at which something is
        asked. Fields of targets are (rows, target tokens), with `decoder_attention_mask` where those are padded.
    """
    padding = {"labels": -100, **padding}
    sizes = [[num_tokens(example) for example in row] for row in rows]
    width = max(map(sum, sizes))
    fields: dict[str, np.ndarray] = {}
    packed = any(len(row) > 1 for row in rows)
    padded = any(sum(row) < width for row in sizes)
    targets = [num_target_tokens(row[0]) for row in rows]
    assert not (packed and any(targets)), "a source and its target have a row for themselves"
    for name, value in rows[0][0].items():
        if np.ndim(value) == 0:
            fields[name] = np.array([example[name] for row in rows for example in row], dtype=_kind(value))
            continue
        if np.ndim(value) == 3:
            fields[name] = np.stack([example[name] for row in rows for example in row])
            continue
        if np.ndim(value) == 2:
            fields[name] = np.concatenate([example[name] for row in rows for example in row])
            continue
        along = max(targets) if max(targets) and _of_target(name) else width
        table: np.ndarray = np.full((len(rows), along), padding.get(name, 0), dtype=_kind(value))
        for line, row in zip(table, rows, strict=True):
            line[: sum(len(example[name]) for example in row)] = np.concatenate([example[name] for example in row])
        fields[name] = table
    if packed:
        for name in ("sequence_ids", "position_ids"):
            fields[name] = np.zeros((len(rows), width), dtype=np.int64)
        starts = []
        for number, lengths in enumerate(sizes):
            place = 0
            for sequence, length in enumerate(lengths, start=1):
                fields["sequence_ids"][number, place : place + length] = sequence
                fields["position_ids"][number, place : place + length] = np.arange(length)
                starts.append(number * width + place)
                place += length
        fields["sequence_starts"] = np.array(starts, dtype=np.int64)
    if padded:
        fields["attention_mask"] = (np.arange(width) < np.array([[sum(row)] for row in sizes])).astype(np.int64)
    if min(targets) < max(targets):
        fields["decoder_attention_mask"] = (np.arange(max(targets)) < np.array(targets)[:, None]).astype(np.int64)
    if "labels" in fields and fields["labels"].ndim == 2 and fields["labels"].dtype == np.int64:
        fields["label_positions"] = np.flatnonzero(fields["labels"] != -100)
    return {name: torch.from_numpy(value) for name, value in fields.items()}


def num_tokens(example: Example) -> int:
    """How much room an example takes: its tokens, or the patches of 8 x 8 pixels of its picture."""
    if "input_ids" in example:
        return len(example["input_ids"])
    height, width = example["pixel_values"].shape[-2:]
    return max(1, height * width // PATCH)


def num_target_tokens(example: Example) -> int:
    """How many tokens the target of an example has that is read beside its source; 0 where there is none."""
    return len(example.get("decoder_input_ids", ()))


def _of_target(name: str) -> bool:
    return name == "targets" or name.startswith("decoder_")


def _kind(value: np.ndarray) -> type:
    return np.float32 if np.issubdtype(np.asarray(value).dtype, np.floating) else np.int64

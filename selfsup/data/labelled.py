"""Rows with labels: a table from a file, a mirror of the Hub or the Hub itself, its columns named by role."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from selfsup.data.sources import FileText, HubText, find_text
from selfsup.tokenization.encode import batch_encoder


@dataclass(frozen=True)
class PairTask:
    """Two texts and a class in every row; the default is SICK (local only), pairs of sentences of three classes.

    Args:
        data: name of the data set, as for a corpus.
        text: column of the first text.
        text_pair: column of the second.
        label: column of the class, whole numbers from 0; rows below 0 have none and are left out.
        split: to learn from.
        held_out: split to score on.
    """

    data: str = "sick"
    text: str = "sentence_A"
    text_pair: str = "sentence_B"
    label: str = "label"
    split: str = "train"
    held_out: str = "validation"


def read_pairs(
    task: PairTask, tokenizer: PreTrainedTokenizerBase, split: str, data_root: Path | None = None
) -> list[dict[str, Any]]:
    """All labelled pairs of a split, their texts as ids.

    Args:
        task: which columns play which role.
        tokenizer: a fast one.
        split: of the data set.
        data_root: folder that mirrors the Hub.
    Returns:
        for each row `segments`, two arrays (tokens) of int64 ids, and `label`.
    Raises:
        ValueError: no such data set, split or column; labels that are no whole numbers; no labelled row.
    """
    roles = (task.text, task.text_pair, task.label)
    rows = _rows(find_text(task.data, split=split, data_root=data_root))
    if missing := [role for role in roles if rows and role not in rows[0]]:
        raise ValueError(
            f"{task.data} was to have the columns {', '.join(roles)}, but {', '.join(missing)} is not among "
            f"{', '.join(rows[0])}: name them with --task.text, --task.text_pair and --task.label"
        )
    if wrong := [row[task.label] for row in rows if not isinstance(row[task.label], int)]:
        raise ValueError(f"{task.label} of {task.data} was to hold whole numbers, but {wrong[0]!r} came: number them")
    rows = [row for row in rows if row[task.label] >= 0]
    if not rows:
        raise ValueError(f"{task.data} has no labelled row in {split}: name another split")
    encode = batch_encoder(tokenizer)
    first, second = (encode([row[column] or "" for row in rows]) for column in (task.text, task.text_pair))
    return [
        {"segments": [np.array(a, dtype=np.int64), np.array(b, dtype=np.int64)], "label": row[task.label]}
        for a, b, row in zip(first, second, rows, strict=True)
    ]


def _rows(found: Any) -> list[dict[str, Any]]:
    import datasets  # a second of imports

    if isinstance(found, HubText):
        return list(found.builder.as_streaming_dataset(split=found.source.split))
    assert isinstance(found, FileText)
    kinds = {"parquet": "parquet", "jsonl": "json", "gz": "json"}
    kind = kinds.get(found.files[0].suffix.lstrip("."))
    if kind is None:
        raise ValueError(f"A table (.parquet or .jsonl) with labels was wanted, but {found.files[0]} came.")
    files = [str(path) for path in found.files]
    return list(datasets.load_dataset(kind, data_files=files, split="train", streaming=True))

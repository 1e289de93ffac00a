"""Rows of examples to tensors, worked out by hand."""

from typing import Any

import numpy as np
import torch

from selfsup.data.collate import collate


def example(*ids: int, labels: tuple[int, ...] | None = None, order: int | None = None) -> dict[str, Any]:
    fields: dict[str, Any] = {"input_ids": np.array(ids)}
    if labels is not None:
        fields["labels"] = np.array(labels)
    if order is not None:
        fields["next_sentence_label"] = np.int64(order)
    return fields


def same(batch: dict[str, torch.Tensor], wanted: dict[str, list]) -> bool:
    return {name: value.tolist() for name, value in batch.items()} == wanted


def test_packed_padded_and_labelled():
    rows = [
        [
            example(2, 7, 3, labels=(-100, 7, -100), order=1),
            example(2, 8, 9, 3, labels=(-100, -100, 9, -100), order=-100),
        ],
        [example(2, 5, 5, 3, labels=(5, -100, -100, -100), order=0)],
    ]
    batch = collate(rows, padding={"input_ids": 1})
    assert same(
        batch,
        {
            "input_ids": [[2, 7, 3, 2, 8, 9, 3], [2, 5, 5, 3, 1, 1, 1]],
            "labels": [[-100, 7, -100, -100, -100, 9, -100], [5] + [-100] * 6],
            "next_sentence_label": [1, -100, 0],
            "sequence_ids": [[1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 1, 0, 0, 0]],
            "position_ids": [[0, 1, 2, 0, 1, 2, 3], [0, 1, 2, 3, 0, 0, 0]],
            "sequence_starts": [0, 3, 7],
            "attention_mask": [[1] * 7, [1, 1, 1, 1, 0, 0, 0]],
            "label_positions": [1, 5, 7],
        },
    )
    assert {value.dtype for value in batch.values()} == {torch.int64}
    # What the places point at: first tokens, and the tokens that are asked for.
    assert batch["input_ids"].flatten()[batch["sequence_starts"]].tolist() == [2, 2, 2]
    assert batch["labels"].flatten()[batch["label_positions"]].tolist() == [7, 9, 5]


def test_full_rows_need_no_mask():
    assert same(collate([[example(2, 7, 3)], [example(2, 8, 3)]], padding={}), {"input_ids": [[2, 7, 3], [2, 8, 3]]})


def test_padding_alone_does_not_make_rows_packed():
    batch = collate([[example(2, 3)], [example(2, 8, 3)]], padding={"input_ids": 9})
    assert same(batch, {"input_ids": [[2, 3, 9], [2, 8, 3]], "attention_mask": [[1, 1, 0], [1, 1, 1]]})


def test_one_label_for_a_sequence_has_no_position():
    rows: list[list[dict[str, Any]]] = [
        [{"input_ids": np.array([2, 3]), "labels": np.int64(4)}],
        [{"input_ids": np.array([2, 3]), "labels": np.int64(0)}],
    ]
    assert same(collate(rows, padding={}), {"input_ids": [[2, 3], [2, 3]], "labels": [4, 0]})


def test_the_order_of_rows_is_kept():
    rows = [[example(2, number, 3)] for number in range(5)]
    forwards, backwards = collate(rows, padding={}), collate(rows[::-1], padding={})
    assert torch.equal(forwards["input_ids"], backwards["input_ids"].flip(0))


def test_pictures_are_stacked_as_they_are():
    pictures = [np.full((3, 4, 4), value, dtype=np.uint8) for value in (7, 250)]
    rows: list[list[dict[str, Any]]]
    rows = [[{"pixel_values": picture, "chances": np.full((1, 2), 0.5, np.float32), "labels": np.int64(n)}]
            for n, picture in enumerate(pictures)]  # fmt: skip
    batch = collate(rows, padding={})
    assert batch["pixel_values"].dtype == torch.uint8
    np.testing.assert_array_equal(batch["pixel_values"], np.stack(pictures))
    assert batch["chances"].shape == (2, 2)
    assert batch["labels"].tolist() == [0, 1]
    assert batch.keys() == {"pixel_values", "chances", "labels"}

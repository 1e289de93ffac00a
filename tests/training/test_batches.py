"""How the rows of a step are shared out among processes and micro-batches."""

from typing import Any

import pytest

from selfsup.training.batches import Share


@pytest.mark.parametrize("size", [None, 1, 2, 3, 5, 100])
def test_every_row_is_read_once_in_as_many_passes_everywhere(size):
    for count in range(1, 30):
        rows: list[Any] = [[number] for number in range(count)]
        for num_processes in range(1, min(count, 5) + 1):
            parts = [Share(process, num_processes, size).of(rows) for process in range(num_processes)]
            assert [row for part in parts for batch in part for row in batch] == rows
            assert len({len(part) for part in parts}) == 1
            sizes = [len(batch) for part in parts for batch in part]
            assert min(sizes) >= 1
            uneven_ones = size == 1 and count % num_processes
            assert size is None or max(sizes) <= (2 if uneven_ones else size)


def test_more_processes_than_rows_are_refused():
    with pytest.raises(ValueError, match=r"1 row\(s\) cannot be shared among 2 processes: raise batch_size or"):
        Share(1, 2).of([[]])

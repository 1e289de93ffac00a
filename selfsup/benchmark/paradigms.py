"""Pairs of sentences that differ in one thing, as BLiMP has them, from a file, a mirror of the Hub or the Hub."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selfsup.data.places import TABLES, has_split, is_here, listed
from selfsup.data.tables import FileRows, HubRows, find_rows
from selfsup.training.export import opening

Share = Literal["first", "second", "all"]
# Where a copy of BLiMP has no column `field`: Warstadt et al. 2020, table 4, by what they call phenomenon.
FIELDS = {
    "anaphor_agreement": "morphology",
    "argument_structure": "syntax",
    "binding": "syntax_semantics",
    "control_raising": "syntax_semantics",
    "determiner_noun_agreement": "morphology",
    "ellipsis": "syntax",
    "filler_gap_dependency": "syntax",
    "irregular_forms": "morphology",
    "island_effects": "syntax",
    "npi_licensing": "semantics",
    "quantifiers": "semantics",
    "s-selection": "syntax",
    "subject_verb_agreement": "morphology",
}
_COLUMNS = {"paradigm": "uid", "phenomenon": "linguistics_term", "field": "field", "good": "sentence_good"}
_COLUMNS |= {"bad": "sentence_bad"}


@dataclass(frozen=True)
class Paradigm:
    """Pairs of sentences that differ in one thing.

    Args:
        name: of the paradigm, "UID" in BLiMP.
        phenomenon: what it is about, "linguistics_term" in BLiMP.
        field: of linguistics.
        good: sentences that people accept.
        bad: their twins.
    """

    name: str
    phenomenon: str
    field: str
    good: tuple[str, ...]
    bad: tuple[str, ...]


def read_paradigms(
    name: str, *, share: Share = "all", split: str | None = None, data_root: Path | None = None
) -> list[Paradigm]:
    """All paradigms of a data set.

    Args:
        name: a path, or a data set of the Hub; of one with configurations, all are read.
        share: the first or the second half of the pairs of each paradigm, or all.
        split: by default the only one, or "validation" where there are several.
        data_root: folder that mirrors the Hub.
    Returns:
        paradigms in the order of the data.
    Raises:
        ValueError: nothing is there, a column is missing, a sentence is empty, or half of one pair is wanted.
    """
    kept: dict[str, tuple[str, str, list[str], list[str]]] = {}
    for rows in _tables(name, split, data_root):
        columns = _columns(rows)
        for place, row in rows.rows(list(columns.values())):
            cells: dict[str, Any] = {role: row.get(column) for role, column in columns.items()}
            for role in ("paradigm", "good", "bad"):
                if not isinstance(cells[role], str) or not cells[role].strip():
                    raise ValueError(
                        f"{place}: text is wanted in {columns[role]}, but {cells[role]!r} came: leave the row out"
                    )
            phenomenon = cells.get("phenomenon") or cells["paradigm"]
            field = cells.get("field") or FIELDS.get(phenomenon, "other")
            _, _, good, bad = kept.setdefault(cells["paradigm"], (phenomenon, field, [], []))
            good.append(cells["good"])
            bad.append(cells["bad"])
    if not kept:
        raise ValueError(f"pairs of sentences are wanted, but {name} has no rows: check the name")
    return [
        Paradigm(name, phenomenon, field, *_shared(name, share, good, bad))
        for name, (phenomenon, field, good, bad) in kept.items()
    ]


def _tables(name: str, split: str | None, data_root: Path | None) -> Iterator[FileRows | HubRows]:
    """The tables of a data set: one here, or one for each configuration on the Hub."""
    if is_here(name, data_root, formats=TABLES):
        splits = ("validation", "train", "test")
        there = [one for one in splits if has_split(name, one, data_root, formats=TABLES)]
        yield find_rows(name, split=split or next(iter(there), "train"), data_root=data_root)
        return
    for config in _configurations(name):
        yield find_rows(f"{name}/{config}", split=split or "train", data_root=data_root)


def _configurations(name: str) -> list[str]:
    import datasets  # a second of imports that local files do not need

    with opening("pairs in a file, a mirror of the Hub or on the Hub are wanted", name):
        return datasets.get_dataset_config_names(name)


def _columns(rows: FileRows | HubRows) -> dict[str, str]:
    """The columns by role; the Hub writes "UID", others "uid"."""
    there = {column.lower(): column for column in rows.columns}
    found = {role: there[column] for role, column in _COLUMNS.items() if column in there}
    if missing := [_COLUMNS[role] for role in ("paradigm", "good", "bad") if role not in found]:
        raise ValueError(
            f"columns as in BLiMP are wanted, but {rows.name} has no {listed(missing)}, only {listed(rows.columns)}: "
            "rename them"
        )
    return found


def _shared(name: str, share: Share, good: list[str], bad: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    half = len(good) // 2
    part = {"first": slice(half), "second": slice(half, None), "all": slice(None)}[share]
    if not good[part]:
        raise ValueError(f"the {share} half of the pairs is wanted, but {name} has {len(good)}: take --share all")
    return tuple(good[part]), tuple(bad[part])

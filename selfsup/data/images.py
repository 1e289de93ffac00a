"""Pictures as a model wants them: from bytes, paths and PIL's own to pixels of one size and one mode."""

import os
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

MEMORY = 2 << 30  # bytes of pixels of a table that lie in memory; further ones lie in a file
BLOCK = 64 << 20  # bytes of pixels that lie side by side
_PROBES = ((301, 413), (467, 379))  # width, height, of no shape that a processor might leave alone by chance
ORIENTATION = 0x0112  # of Exif: which way up the picture lies; not of JPEG alone
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture as a model reads it; as text it is a digest of its pixels.

    Args:
        pixels: (channels, height, width) uint8.
        notes: what of it is not as it came.
    """

    pixels: np.ndarray
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return blake2b(self.pixels.tobytes(), digest_size=8).hexdigest()


class PictureForm:
    """The size and the mode that a model wants.

    Sizes are those that its image processor makes, in the processor's own way: squeezed, or shrunk and cropped. What it
    makes of values is told by `black` and `white`, and left to the objective.

    Args:
        processor: of transformers.
        channels: 1 for grey, 3 for red, green and blue.
    Raises:
        ValueError: another number of channels, or a processor that does more than cut, rescale and standardise.
    """

    def __init__(self, processor: Any, channels: int) -> None:
        if channels not in (1, 3):
            raise ValueError(f"a model of grey pictures (1 channel) or colours (3) is wanted, but {channels} came")
        self.processor, self.mode = processor, "L" if channels == 1 else "RGB"
        self.size: tuple[int, int] | None = self._usual_size()  # height, width; None where any is taken
        self.keeps = all(self._is_kept(size) for size in ([self.size] if self.size else _PROBES))
        self.black, self.white = self._ends()  # (channels) float32 each

    def reader(self, column: str, memory: int = MEMORY) -> Callable[[Any, bool], Picture]:
        """What reads the cells of a column of one table.

        Args:
            column: for sentences.
            memory: bytes of pixels that lie in memory.
        Returns:
            from a cell (bytes, a path, a mapping with the one or the other, or a picture of PIL), and whether it must
            be filled, to the picture; it refuses a cell with a ValueError.
        """
        return partial(self._read, column=column, shelves=Shelves(memory))

    def _read(self, cell: Any, needed: bool, *, column: str, shelves: "Shelves") -> Picture:
        image = opened(cell, column)
        frames = getattr(image, "n_frames", 1)
        image, notes = _converted(image, self.mode, column)
        if frames > 1:
            notes.insert(0, f"of {frames} frames the first is read")
        pixels = np.asarray(image)[None] if self.mode == "L" else np.asarray(image).transpose(2, 0, 1)
        if not (self.keeps and self.size in (None, pixels.shape[1:])):
            pixels = self._processed(image)
            if pixels.shape[1:] != (image.height, image.width):
                notes.append(f"{image.width} x {image.height} pixels became {pixels.shape[2]} x {pixels.shape[1]}")
        place = shelves.keep(pixels)
        if place is None:
            height, width = shelves.shape[1:]
            raise ValueError(
                f"pictures of one size were wanted in {column!r}, {width} x {height} pixels as the first has, but "
                f"{image.width} x {image.height} came: give the model an image processor that makes one size"
            )
        return Picture(place, tuple(notes))

    def _processed(self, image: Any) -> np.ndarray:
        """(channels, height, width) uint8, as the processor leaves the picture before it rescales the values."""
        asked = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
        return np.asarray(self.processor.preprocess([image], **asked)["pixel_values"])[0].astype(np.uint8)

    def _usual_size(self) -> tuple[int, int] | None:
        """Height and width of all that the processor makes; None where they follow those of what came."""
        from PIL import Image

        made = {self._processed(Image.new(self.mode, size)).shape[1:] for size in _PROBES}
        return made.pop() if len(made) == 1 else None

    def _is_kept(self, size: tuple[int, int]) -> bool:
        """Does the processor leave a picture of its size alone? (Some enlarge it, and crop it then.)"""
        image = self._noise(size)
        kept = self._processed(image)
        return np.array_equal(kept[0] if self.mode == "L" else kept.transpose(1, 2, 0), np.asarray(image))

    def _noise(self, size: tuple[int, int]) -> Any:
        from PIL import Image

        noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        return Image.fromarray(noise).convert(self.mode)

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """What 0 and 255 become in each channel; all between lies on a straight line, or the processor is refused."""
        image = self._noise(self.size or _PROBES[0])
        given = self._processed(image).astype(np.float64) / 255
        reason = "it does more"
        try:
            made = np.asarray(self.processor([image], return_tensors="np")["pixel_values"])[0].astype(np.float64)
        except ValueError as error:  # statistics of three channels for a picture of one
            made, reason = np.empty(0), " ".join(str(error).split())
        if made.shape == given.shape:
            lines = [np.polyfit(old.ravel(), new.ravel(), 1) for old, new in zip(given, made, strict=True)]
            slope, black = np.array(lines).T.round(6)[..., None, None]
            if np.abs(slope * given + black - made).max() < 1e-4 * max(1, np.abs(made).max()):
                return black.ravel().astype(np.float32), (black + slope).ravel().astype(np.float32)
        raise ValueError(
            f"an image processor that cuts, rescales and standardises pictures of {len(given)} channel(s) is wanted, "
            f"but {type(self.processor).__name__} came ({reason}): choose another model, or correct its "
            "preprocessor_config.json"
        )


class Shelves:
    """Room for pictures of one shape: in memory, and from some size on in a file that vanishes with this process.

    Args:
        memory: bytes in memory.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self.memory, self.filled = memory, 0
        self.in_memory: list[weakref.ref] = []  # blocks; those whose pictures nobody holds are gone
        self.shape: tuple[int, ...] = ()
        self.block: np.ndarray = np.empty(0, dtype=np.uint8)

    def keep(self, pixels: np.ndarray) -> np.ndarray | None:
        """Lay a picture beside the others.

        Args:
            pixels: (channels, height, width) uint8.
        Returns:
            the same pixels in their place; None where the shape is another than that of the first.
        """
        self.shape = self.shape or pixels.shape
        if pixels.shape != self.shape:
            return None
        if self.filled == len(self.block):
            self.block, self.filled = self._room(max(1, BLOCK // pixels.nbytes)), 0
        place = self.block[self.filled]
        place[:] = pixels
        self.filled += 1
        return place

    def _room(self, number: int) -> np.ndarray:
        shape = (number, *self.shape)
        self.in_memory = [block for block in self.in_memory if block() is not None]
        if (len(self.in_memory) + 1) * int(np.prod(shape)) <= self.memory:
            block = np.empty(shape, dtype=np.uint8)
            self.in_memory.append(weakref.ref(block))
            return block
        folder = Path(os.environ.get("SELFSUP_CACHE", Path.home() / ".cache" / "selfsup"))
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:  # the map outlives the name and the handle
            file.truncate(int(np.prod(shape)))
            if hasattr(os, "posix_fallocate"):  # else a full disk would end the process without a word, at some pixel
                os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)))
            return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)


def opened(cell: Any, column: str) -> Any:
    """A picture of PIL, read to its end and turned the right way up; of several frames the first.

    Args:
        cell: bytes, a path, a mapping with the one or the other, or a picture of PIL.
        column: for sentences.
    Raises:
        ValueError: there is none, or it does not decode.
    """
    from PIL import Image, ImageOps

    if isinstance(cell, dict):
        cell = cell.get("path") if cell.get("bytes") is None else cell["bytes"]
    if cell is None or cell in ("", b""):
        raise ValueError(f"a picture was wanted in {column!r}, but it is missing")
    try:
        if isinstance(cell, str | Path):
            image = Image.open(BytesIO(Path(cell).expanduser().read_bytes()))  # PIL would keep the file open
        else:
            image = Image.open(BytesIO(cell)) if isinstance(cell, bytes) else cell
        image.load()
        return ImageOps.exif_transpose(image) if image.getexif().get(ORIENTATION, 1) != 1 else image
    except FileNotFoundError:
        raise ValueError(f"a picture was wanted in {column!r}, but there is no file {cell}") from None
    except Exception as error:  # whatever a decoder raises
        what = f"a {type(cell).__name__}" if not isinstance(cell, bytes | str | Path) else "what"
        reason = " ".join(str(error).split()).partition(" <_io")[0] or type(error).__name__
        raise ValueError(f"a picture was wanted in {column!r}, but {what} came does not open: {reason}") from error


def _converted(image: Any, mode: str, column: str) -> tuple[Any, list[str]]:
    """A picture in a mode, 8 bits deep, and what had to change for it."""
    from PIL import Image

    notes = []
    if image.mode in _SIXTEEN_BITS:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(
                f"values of 8 or 16 bits were wanted in {column!r}, but they reach from {values.min()} to "
                f"{values.max()}: save the picture as PNG"
            )
        # Whole numbers of 32 bits are of pixels of 8 bits too, as numpy counts; PIL makes 16 of all that PGM may hold.
        eight = image.mode == "I" and image.format != "PPM" and values.max() <= 255
        image = Image.fromarray((values if eight else values >> 8).astype(np.uint8))
        notes.append(f"{32 if eight else 16} bits became 8")
    if image.mode == "F":
        values = np.asarray(image)
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(
                f"fractions from 0 to 1 were wanted in {column!r}, but they reach from {values.min():g} to "
                f"{values.max():g}: scale them first"
            )
        image = Image.fromarray((values * 255).round().astype(np.uint8))
        notes.append("fractions became 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            notes.append("what is transparent became white")
        image = image.convert("RGB")
    if mode == "L" and image.mode not in ("1", "L"):
        image = image.convert("RGB")
        if any(np.ptp(np.asarray(image).astype(np.int16), axis=2).ravel()):
            notes.append("colours became grey")
    return (image if image.mode == mode else image.convert(mode)), notes

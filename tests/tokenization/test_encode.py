import shutil

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerFast

from selfsup.tokenization.encode import batch_encoder, fingerprint
from selfsup.tokenization.train import train_tokenizer

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "Don't  panic: the [MASK] is only ▁text,",
    "and <0x41> is not the letter A\u0301!",
    "Whoever reads this reads it quickly, lazily or not at all.",
]


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizers") / request.param
    train_tokenizer(SENTENCES, path, vocab_size=312, kind=request.param)
    return path


@pytest.fixture
def wordpiece():
    vocab = {
        "[PAD]": 0,
        "[UNK]": 1,
        "[CLS]": 2,
        "[SEP]": 3,
        "[MASK]": 4,
        "[": 5,
        "]": 6,
        "mask": 7,
        "hell": 8,
        "##o": 9,
    }
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", mask_token="[MASK]", pad_token="[PAD]")


def refuse(*args, **kwargs):
    raise AssertionError("the slow way was taken")


def test_sentences_one_after_the_other_are_the_running_text(folder):
    encode = batch_encoder(AutoTokenizer.from_pretrained(folder))
    sentences = SENTENCES * 100  # beyond the length at which a text is cut
    assert [i for ids in encode(sentences) for i in ids] == encode([" ".join(sentences)])[0]
    assert encode([]) == []
    assert encode([""]) == [[]]


def test_ours_is_read_by_sentencepiece_and_gives_the_fast_tokenizers_ids(folder, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [*SENTENCES, " ".join(SENTENCES * 100), "", "x" * 5000]
    expected = tokenizer(texts, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    monkeypatch.setattr(PreTrainedTokenizerFast, "__call__", refuse)
    assert batch_encoder(tokenizer)(texts) == expected
    assert not {0, 1, 2, 3, 4} & {i for ids in expected for i in ids}


def test_a_model_that_is_not_the_tokenizers_own_is_left_alone(folder, tmp_path):
    expected = batch_encoder(AutoTokenizer.from_pretrained(folder))(SENTENCES)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    train_tokenizer(reversed([s.upper() for s in SENTENCES]), tmp_path / "other", vocab_size=310)
    shutil.copy(tmp_path / "other" / "tokenizer.model", tmp_path)
    assert batch_encoder(AutoTokenizer.from_pretrained(tmp_path))(SENTENCES) == expected
    (tmp_path / "tokenizer.model").unlink()
    assert batch_encoder(AutoTokenizer.from_pretrained(tmp_path))(SENTENCES) == expected


def test_any_fast_tokenizer_encodes_and_takes_a_special_token_for_text(wordpiece):
    assert batch_encoder(wordpiece)(["Hello", "[MASK]", ""]) == [[8, 9], [5, 7, 6], []]
    assert batch_encoder(wordpiece)([]) == []
    assert wordpiece("[MASK]")["input_ids"] == [4]


def test_fingerprint_names_what_decides_the_ids(folder, tmp_path, wordpiece):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    name = fingerprint(tokenizer)
    assert len(bytes.fromhex(name)) == 32
    tokenizer(SENTENCES, padding=True, truncation=True, max_length=4)
    assert fingerprint(tokenizer) == name
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert fingerprint(AutoTokenizer.from_pretrained(tmp_path / "elsewhere")) == name
    assert fingerprint(wordpiece) != name
    tokenizer.add_tokens(["quick brown"])
    assert fingerprint(tokenizer) != name


def test_a_tokenizer_written_in_python_is_refused():
    with pytest.raises(ValueError, match=r"ByT5Tokenizer is written in Python: load one that has a tokenizer.json"):
        fingerprint(ByT5Tokenizer())

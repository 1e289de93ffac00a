import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from selfsup.tokenization.align import Words, punctuation, word_starts
from selfsup.tokenization.train import train_tokenizer


def fast(backend: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]"
    )


def marked(table: np.ndarray, tokenizer: PreTrainedTokenizerFast) -> set[str]:
    return set(tokenizer.convert_ids_to_tokens(np.flatnonzero(table).tolist()))


SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture
def unigram() -> PreTrainedTokenizerFast:
    pieces = [*SPECIAL, "<0x0A>", "<0xC3>", "▁", "▁don", "'", "t", "▁(", ".", "▁3", "€", "'s", "ी", "▁yes", ","]
    return fast(Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0, byte_fallback=True)))


@pytest.fixture
def byte_level() -> PreTrainedTokenizerFast:
    pieces = [*SPECIAL, "Ġ", "Ġthe", "the", "Ġ(", "!", "Ċ", "Ã©", "Ã", "ĠâĤ¬", "s"]  # é, half of é, " €"
    backend = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return fast(backend)


@pytest.fixture
def wordpiece() -> PreTrainedTokenizerFast:
    pieces = [*SPECIAL, "play", "##ing", "(", ")", "##)", "7", "don", "'", "t", "."]
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return fast(backend)


def test_starts_of_the_three_families(unigram, byte_level, wordpiece):
    assert marked(word_starts(unigram), unigram) == {"▁", "▁don", "▁(", "▁3", "▁yes"}
    assert marked(word_starts(byte_level), byte_level) == {"Ġ", "Ġthe", "Ġ(", "ĠâĤ¬"}
    assert marked(word_starts(wordpiece), wordpiece) == {"play", "(", ")", "7", "don", "'", "t", "."}


def test_punctuation_of_the_three_families(unigram, byte_level, wordpiece):
    assert marked(punctuation(unigram), unigram) == {"'", "▁(", ".", "€", ","}
    assert marked(punctuation(byte_level), byte_level) == {"Ġ(", "!", "Ċ", "ĠâĤ¬"}
    assert marked(punctuation(wordpiece), wordpiece) == {"(", ")", "##)", "'", "."}


def test_words_worked_out_by_hand(unigram):
    words = Words.of(unigram)
    tokens = ["[CLS]", "▁yes", ",", "▁don", "'", "t", ".", "[SEP]", "t", "'s", "[MASK]", "'s", "▁", "<0xC3>", "<0x0A>"]
    ids = np.array(unigram.convert_tokens_to_ids(tokens))
    expected = [-1, 0, 1, 2, 3, 4, 5, -1, 6, 6, -1, 7, 8, 8, 8]
    assert words.ids(ids).tolist() == expected
    assert words.ids(np.stack([ids, ids[::-1]]))[0].tolist() == expected
    assert words.ids(ids[::-1]).max() == words.ids(np.stack([ids, ids[::-1]]))[1].max()
    assert words.ids(ids[:0]).tolist() == []
    assert words.ids(ids.astype(np.uint16)).dtype == np.int64


def test_words_of_wordpiece_are_those_of_its_pre_tokenizer(wordpiece):
    encoding = wordpiece("playing (don't play). playing", add_special_tokens=False)
    assert Words.of(wordpiece).ids(np.array(encoding["input_ids"])).tolist() == encoding.word_ids()


def test_words_of_ours_without_punctuation_are_those_between_spaces(tmp_path):
    texts = ["the people of the land", "of the people by the people", "land of the free"]
    tokenizer = train_tokenizer(texts, tmp_path, vocab_size=275)
    encoding = tokenizer(" the  people of naïve lands", add_special_tokens=False)
    assert Words.of(tokenizer).ids(np.array(encoding["input_ids"])).tolist() == encoding.word_ids()

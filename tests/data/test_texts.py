"""From a name to the two plans of a run."""

import shutil
from itertools import pairwise

import pytest
from transformers import AutoTokenizer

from selfsup.data.plan import Stage
from selfsup.data.sources import find_text
from selfsup.data.texts import DataConfig, find_texts, open_plans, own_tokenizer, read_paragraphs
from selfsup.tokenization.characters import train_characters
from selfsup.tokenization.encode import adds_spaces, batch_encoder, needs_spaces


@pytest.fixture
def config(tmp_path):
    return DataConfig(cache_dir=tmp_path / "cache", block_size=32, batch_size=4)


def opened(name, tokenizer, config, *, seed: int = 1):
    return open_plans(find_texts(str(name), config), tokenizer, config, 2, pack=True, seed=seed)


def test_a_part_is_held_out_where_nothing_else_is_given(tiny_text_folder, tiny_tokenizer, config):
    plan, held_out = opened(tiny_text_folder, tiny_tokenizer, config)
    assert plan.corpus.folder == held_out.corpus.folder
    edges = sorted([*plan.regions, *held_out.regions])
    assert (edges[0][0], edges[-1][1]) == (0, len(plan.corpus.tokens))
    assert all(left[1] == right[0] for left, right in pairwise(edges))


def test_validation_is_the_same_whatever_the_seed(tiny_text_folder, tiny_tokenizer, config):
    plans = [opened(tiny_text_folder, tiny_tokenizer, config, seed=seed) for seed in (1, 2)]
    assert plans[0][1].epoch() == plans[1][1].epoch()
    assert plans[0][0].epoch() != plans[1][0].epoch()


def test_a_split_of_the_text_itself_is_scored_on(tiny_text_folder, tiny_tokenizer, config, tmp_path):
    files = sorted(tiny_text_folder.iterdir())
    for split, part in (("train", files[:40]), ("validation", files[40:])):
        (tmp_path / "text").mkdir(exist_ok=True)
        (tmp_path / "text" / f"{split}.txt").write_text("\n\n".join(file.read_text() for file in part))
    plan, held_out = opened(tmp_path / "text", tiny_tokenizer, config)
    assert plan.corpus.folder != held_out.corpus.folder
    for one in (plan, held_out):
        assert one.regions == [(0, len(one.corpus.tokens))]
    assert len(plan.corpus.documents) == len(held_out.corpus.documents) == 1
    assert len(plan.corpus.tokens) > len(held_out.corpus.tokens)


def test_a_named_validation_text_comes_first(tiny_text_folder, tiny_tokenizer, config, tmp_path):
    other = shutil.copy(next(tiny_text_folder.iterdir()), tmp_path / "other.txt")
    config = DataConfig(cache_dir=config.cache_dir, block_size=32, validation=str(other))
    plan, held_out = opened(tiny_text_folder, tiny_tokenizer, config)
    assert plan.regions == [(0, len(plan.corpus.tokens))]
    assert held_out.corpus.name == str(other)


def test_stages_win_over_sizes_and_validation_reads_the_last_block(tiny_text_folder, tiny_tokenizer, tmp_path):
    stages = [Stage(32, 8, 0.5), Stage(64, 4)]
    config = DataConfig(cache_dir=tmp_path, block_size=512, stages=stages)
    plan, held_out = opened(tiny_text_folder, tiny_tokenizer, config)
    assert plan.stages == stages
    assert [stage.block_size for stage in held_out.stages] == [64]


def test_the_folder_of_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("SELFSUP_CACHE", str(tmp_path))
    assert DataConfig().cache() == tmp_path
    monkeypatch.delenv("SELFSUP_CACHE")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(DataConfig().cache()) == "/home/someone/.cache/selfsup"
    assert DataConfig(cache_dir=tmp_path / "own").cache() == tmp_path / "own"


def test_paragraphs_are_those_of_the_files(tiny_text_folder):
    wanted = [
        paragraph for file in sorted(tiny_text_folder.iterdir()) for paragraph in file.read_text().strip().split("\n\n")
    ]
    assert list(read_paragraphs(find_text(str(tiny_text_folder)))) == wanted


def test_a_run_trains_its_tokenizer_once(tiny_text_folder, tmp_path, capsys):
    text = find_text(str(tiny_text_folder))
    folder = own_tokenizer(text, tmp_path, 384)
    made = (tmp_path / "tokenizer" / "tokenizer.json").stat().st_mtime_ns
    assert own_tokenizer(text, tmp_path, 384) == folder == str(tmp_path / "tokenizer")
    assert (tmp_path / "tokenizer" / "tokenizer.json").stat().st_mtime_ns == made
    assert capsys.readouterr().out == f"training a tokenizer of 384 pieces on {tiny_text_folder}\n"


def test_too_large_a_vocabulary_names_the_flag(tiny_text_folder, tmp_path):
    with pytest.raises(ValueError, match=r"--model\.vocab_size"):
        own_tokenizer(find_text(str(tiny_text_folder)), tmp_path, 30_000)


def test_a_tokenizer_of_an_earlier_try_is_not_taken_for_this_one(tiny_text_folder, tmp_path):
    text = find_text(str(tiny_text_folder))
    for size in (384, 400):
        folder = own_tokenizer(text, tmp_path, size)
        assert len(AutoTokenizer.from_pretrained(folder)) == size


def test_the_text_itself_is_no_validation_text(tiny_text_folder, config):
    same = DataConfig(cache_dir=config.cache_dir, validation=str(tiny_text_folder))
    with pytest.raises(ValueError, match="validation must be another text than the corpus"):
        find_texts(str(tiny_text_folder), same)


def test_below_a_folder_of_splits_nothing_is_read_twice(tmp_path):
    for name in ("train.txt", "validation.txt", "extra/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"This is {name}.")
    training, validation = find_texts(str(tmp_path), DataConfig())
    assert [piece for _, piece in training.pieces()] == ["This is train.txt."]
    assert validation is not None
    assert [piece for _, piece in validation.pieces()] == ["This is validation.txt."]


class TestSpaces:
    """Sentences are encoded one by one; the text that comes back has the spaces between them."""

    def test_which_pieces_lose_or_add_them(self, tiny_tokenizer, tmp_path):
        ours, characters = batch_encoder(tiny_tokenizer), batch_encoder(train_characters(["a b\n"], tmp_path))
        assert not needs_spaces(ours)
        assert adds_spaces(ours)
        assert needs_spaces(characters)
        assert not adds_spaces(characters)

    def test_characters_of_clean_text_keep_them(self, tmp_path):
        (tmp_path / "a.txt").write_text("One is here. Two is there.\n\nThree is gone. Four too.\n")
        words = train_characters(["One is here. Two is there. Three is gone. Four too."], tmp_path / "words")
        data = DataConfig(cache_dir=tmp_path / "cache", validation_share=0.5)
        plan, _ = open_plans(find_texts(str(tmp_path / "a.txt"), data), words, data, 1, pack=True, seed=0)
        assert words.decode(plan.corpus.tokens) == "One is here. Two is there. Three is gone. Four too."

    def test_raw_text_wants_pieces_that_add_none(self, tiny_text_folder, tiny_tokenizer, tmp_path):
        data = DataConfig(cache_dir=tmp_path, raw=True)
        with pytest.raises(ValueError, match="this tokenizer puts one before every line"):
            open_plans(find_texts(str(tiny_text_folder), data), tiny_tokenizer, data, 1, pack=True, seed=0)
        with pytest.raises(ValueError, match=r"set --data\.pieces character"):  # before it is trained
            own_tokenizer(find_text(str(tiny_text_folder)), tmp_path / "run", 384, data)
        assert not (tmp_path / "run").exists()

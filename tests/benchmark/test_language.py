"""Bits per byte: every token and byte once, and the baselines beside."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from selfsup.benchmark import language
from selfsup.data.sources import find_text
from selfsup.data.texts import DataConfig
from selfsup.tokenization.characters import train_characters

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_language.py"


@pytest.fixture(scope="module")
def decoder(tiny_tokenizer, tmp_path_factory) -> Path:
    """A folder with a decoder of chance, whose vocabulary is evenly probable."""
    folder = tmp_path_factory.mktemp("decoder")
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tiny_tokenizer), n_embd=8, n_layer=1, n_head=1, n_positions=16,
                        bos_token_id=None, eos_token_id=None)  # fmt: skip
    model = GPT2LMHeadModel(config)
    torch.nn.init.zeros_(model.lm_head.weight)
    model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


def test_held_out_text_is_whole(tiny_text_folder, tiny_tokenizer, monkeypatch):
    monkeypatch.setattr(language, "SLICE", 50)
    text = find_text(str(tiny_text_folder))
    (tokens, starts), held_out = language.open_text((text, None), tiny_tokenizer, DataConfig(validation_share=0.2))
    assert len(starts) == 48
    assert len(held_out.starts) == 12
    assert set(held_out.starts) <= set(held_out.slices)
    files = sorted(tiny_text_folder.iterdir())
    clean = [" ".join(file.read_text().split()) for file in files[2::5]]  # the middle of each five
    assert held_out.num_bytes.sum() == sum(len(part.encode()) + 1 for part in clean)
    encoded = [tiny_tokenizer(part, add_special_tokens=False)["input_ids"] for part in clean]
    assert held_out.tokens.tolist() == [i for ids in encoded for i in ids]
    assert held_out.starts.tolist() == [0, *np.cumsum([len(ids) for ids in encoded[:-1]])]
    sizes = np.diff(np.append(held_out.slices, len(held_out.tokens)))
    assert len(sizes) > 20
    assert sizes.max() < 50 + 60  # a slice ends with the sentence that makes it full
    rest = [" ".join(f.read_text().split()) for number, f in enumerate(files) if number % 5 != 2]
    assert tokens.tolist() == [i for ids in tiny_tokenizer(rest, add_special_tokens=False)["input_ids"] for i in ids]


def test_a_text_of_its_own_is_scored_whole(tiny_text_folder, tiny_tokenizer, tmp_path):
    (tmp_path / "other.txt").write_text("The queen sold a map.\n\nNobody knew why.")
    texts = find_text(str(tiny_text_folder)), find_text(str(tmp_path))
    (_, starts), held_out = language.open_text(texts, tiny_tokenizer, DataConfig())
    assert len(starts) == 60
    assert held_out.num_bytes.tolist() == [len("The queen sold a map. Nobody knew why. ")]
    assert held_out.slices.tolist() == held_out.starts.tolist() == [0]


def test_bits_per_byte_by_hand():
    held_out = language.HeldOut(np.zeros(6, dtype=int), np.array([0]), np.array([0, 2]), np.array([8, 8]))
    even, worse = np.full(6, np.log(1 / 16)), np.log(np.array([1 / 16, 1 / 16, 1 / 4, 1 / 256, 1 / 256, 1 / 256]))
    found = language.compare({"even": even, "worse": worse}, held_out, rng=np.random.default_rng(0))
    assert found["even"]["bits_per_byte"] == pytest.approx((24 / 16, 8 / 8, 16 / 8))
    assert found["worse"]["bits_per_byte"][0] == pytest.approx(34 / 16)
    assert found["worse"]["difference"] == pytest.approx((-10 / 16, -10 / 8, 0))
    assert found["even"]["difference"] == (0, 0, 0)
    printed = language.report(found, held_out)
    assert "even   1.500 (1.000 to 2.000)  4.000" in printed
    assert "-0.625 (-1.250 to +0.000)" in printed
    assert printed.endswith("2 slices of the text, too few to trust them")


def test_the_command_scores_a_decoder_and_n_grams(decoder, tiny_text_folder, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("bench_language", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    data = DataConfig(validation_share=0.2)
    script.main(str(decoder), str(tiny_text_folder), data, output=tmp_path / "new" / "found.json")
    printed = capsys.readouterr().out
    assert "windows  16 tokens (as many as the model reads), the last 8 of each are scored" in printed
    found = json.loads((tmp_path / "new" / "found.json").read_text())
    assert f"decoder            {found['decoder']['bits_per_byte'][0]:.3f}" in printed
    even = np.log2(384)
    assert f"{even:.3f}" in printed  # bits per token of a model that knows nothing
    assert found["5-gram Kneser-Ney"]["bits_per_byte"][2] < found["unigram"]["bits_per_byte"][1]
    assert found["unigram"]["bits_per_byte"][0] < found["decoder"]["bits_per_byte"][0]


def test_pieces_that_lose_spaces_are_refused(tiny_text_folder):
    wordpiece = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]")))
    text = find_text(str(tiny_text_folder))
    with pytest.raises(ValueError, match="WordPiece loses spaces"):
        language.open_text((text, None), wordpiece, DataConfig())


def test_unknown_characters_are_told():
    held_out = language.HeldOut(np.arange(4), np.array([0]), np.array([0]), np.array([9]), num_unknown=1)
    found = {"even": {"bits_per_byte": (1.5, 1.0, 2.0), "difference": (0.0, 0.0, 0.0)}}
    assert "4 tokens (1 of them unknown characters, which count no byte), 1 doc" in language.report(found, held_out)


def test_mostly_unknown_characters_are_no_text_to_score(tiny_text_folder, tmp_path):
    """Of 60 letters 4 are unknown, of which no bytes are known: bits per byte would be too many by a fifteenth."""
    words = train_characters([file.read_text() for file in tiny_text_folder.iterdir()], tmp_path / "words")
    texts = []
    for number, unknown in enumerate(("\u03b1" * 3, "\u03b1" * 4)):
        (tmp_path / f"{number}.txt").write_text(unknown + "t" * (60 - len(unknown)))
        texts.append((find_text(str(tiny_text_folder)), find_text(str(tmp_path / f"{number}.txt"))))
    data = DataConfig(raw=True, pieces="character")
    _, held_out = language.open_text(texts[0], words, data)
    assert (held_out.num_unknown, held_out.num_bytes.sum()) == (3, 57)
    with pytest.raises(ValueError, match=r"but 4 of 60 tokens stand for unknown ones, .* \(at most 5% may\)"):
        language.open_text(texts[1], words, data)


def test_windows_are_as_in_training(tmp_path):
    def window(limit: int | None, *asked: int | None) -> tuple[int, int]:
        model: Any = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=limit))
        return language.window_of(str(tmp_path), model, *asked)[:2]

    assert window(512) == (512, 256)
    assert window(None) == window(131_072) == (1024, 512)
    (tmp_path / "run.yaml").write_text("data: {block_size: 256}")
    assert window(512) == (256, 128)
    assert window(512, 300, 100) == (300, 100)
    stages = [{"block_size": 64, "until": 0.5}, {"block_size": 128}]
    (tmp_path / "run.yaml").write_text(json.dumps({"data": {"block_size": 512, "stages": stages}}))
    assert window(512) == (128, 64)
    with pytest.raises(ValueError, match="reads at most 512 tokens, but --max_tokens 513 came: lower it"):
        window(512, 513)
    with pytest.raises(ValueError, match=r"a window of 128 tokens .*, but --stride 129 came"):
        window(512, None, 129)


def test_what_a_run_held_out_is_told_by_its_record(tmp_path):
    assert language.data_of(str(tmp_path)) == DataConfig()
    told = {"data": {"raw": True, "pieces": "character", "validation_share": 0.1, "batch_size": 4}}
    (tmp_path / "run.yaml").write_text("# selfsup 0.1.0\n" + json.dumps(told))
    found = language.data_of(str(tmp_path))
    assert found == DataConfig(raw=True, pieces="character", validation_share=0.1)
    kept = language.data_of(str(tmp_path), DataConfig(raw=True, cache_dir=tmp_path))
    assert kept == DataConfig(raw=True, pieces="character", validation_share=0.1, cache_dir=tmp_path)
    with pytest.raises(ValueError, match=r"it had --data.validation_share 0.1, but 0.3 came: leave that flag out"):
        language.data_of(str(tmp_path), DataConfig(validation_share=0.3))


def test_a_broken_decoder_is_not_taken_for_one_that_knows_nothing(tiny_text_folder, tiny_tokenizer, monkeypatch):
    text = find_text(str(tiny_text_folder))
    _, held_out = language.open_text((text, None), tiny_tokenizer, DataConfig(validation_share=0.2))
    nats = np.full(len(held_out.tokens), -1.0)
    nats[held_out.starts] = np.nan  # nothing stands before them
    model: Any = SimpleNamespace(config=SimpleNamespace(vocab_size=384))
    monkeypatch.setattr(language, "running_log_probs", lambda *_, **__: [nats.copy()])
    options: dict[str, Any] = {"max_tokens": 16, "stride": 8, "batch_size": 2}
    found = language.decoder_log_probs(model, tiny_tokenizer, held_out, **options)
    assert set(found.tolist()) == {-1.0, -np.log(384)}
    nats[held_out.starts[0] + 1] = np.nan
    with pytest.raises(ValueError, match=r"for 1 of .* tokens the model gives none"):
        language.decoder_log_probs(model, tiny_tokenizer, held_out, **options)


@pytest.mark.parametrize("command", ["bench_language", "compare_continuations"])
def test_an_encoder_is_refused(pretrained, tiny_text_folder, tmp_path, command):
    spec = importlib.util.spec_from_file_location(command, SCRIPT.with_stem(command))
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with pytest.raises(ValueError, match="is a TextEncoderForMaskedLM, which is none: choose a decoder"):
        script.main(str(pretrained), str(tiny_text_folder), output=tmp_path / "found")
    assert not (tmp_path / "found").exists()

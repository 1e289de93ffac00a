"""A translation class: what is written does not depend on the batch, is what `generate` writes, and has its score."""

import importlib.util
import json
import math
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch.nn.functional import log_softmax
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    MarianConfig,
    MarianMTModel,
    T5Config,
    T5ForConditionalGeneration,
)

from selfsup.models.encoder_decoder import (
    TextEncoderDecoderConfig,
    TextEncoderDecoderForMaskedLM,
    TextEncoderDecoderForSeq2SeqLM,
)
from selfsup.predicting.files import predict_file
from selfsup.predicting.opening import open_head
from selfsup.predicting.translating import Translator, open_translator, read_source, writer_class
from selfsup.training.export import export, name_tokens

TEXTS = ["The queen found bread.", "So", "A tired soldier washed the long rope under the bridge.", "The queen hid it!"]

NUM_BYTES = 5 + 256


def ours(tokenizer, folder, **fields) -> str:
    """A random encoder-decoder whose probabilities are far apart, and that writes pieces of words."""
    config = TextEncoderDecoderConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_encoder_layers=1, num_decoder_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=48, zero_init_output=False, initializer_range=0.5, **fields,
    )  # fmt: skip
    tokenizer = deepcopy(tokenizer)  # others read segments with it
    name_tokens(config, tokenizer)
    torch.manual_seed(3)
    kind = TextEncoderDecoderForMaskedLM if config.parallel else TextEncoderDecoderForSeq2SeqLM
    model = kind(config)
    with torch.no_grad():
        model.get_input_embeddings().weight[:NUM_BYTES] = 0  # special tokens and bytes are never the likeliest
    export(model, tokenizer, folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tiny_tokenizer, tmp_path_factory) -> str:
    return ours(tiny_tokenizer, tmp_path_factory.mktemp("ours") / "model")


@pytest.fixture(scope="module")
def translator(folder) -> Translator:
    return Translator.from_pretrained(folder, device="cpu")


def hub_model(kind: str, tokenizer):
    """A random one of transformers' own."""
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.sep_token_id}
    ids |= {"decoder_start_token_id": tokenizer.cls_token_id, "bos_token_id": tokenizer.cls_token_id}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    layers |= {"d_model": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 48}
    torch.manual_seed(5)
    match kind:
        case "T5":
            return T5ForConditionalGeneration(
                T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, **ids)
            ).eval()  # fmt: skip
        case "Bart":
            return BartForConditionalGeneration(BartConfig(**layers, **ids, init_std=0.5)).eval()
        case _:
            config = MarianConfig(**layers, **ids, decoder_vocab_size=len(tokenizer), init_std=0.5)
            return MarianMTModel(config).eval()


def test_one_text_gives_one_and_several_come_in_order(translator):
    together = translator(TEXTS, beams=3)
    assert translator(TEXTS[0], beams=3) == together[0]
    assert translator(TEXTS, beams=3, batch_size=1) == together
    assert translator(TEXTS[::-1], beams=3) == together[::-1]
    assert translator([]) == []
    assert len(set(together)) > 1


def test_it_writes_what_generate_writes(translator):
    tokenizer, model = translator.tokenizer, translator.model
    for beams in (1, 4):
        for text in TEXTS:
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            wanted = model.generate(ids, num_beams=beams, max_new_tokens=9, do_sample=False)[0]
            assert translator(text, beams=beams, max_new_tokens=9) == tokenizer.decode(wanted, skip_special_tokens=True)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_score_is_the_mean_log_probability_of_what_is_written(translator, beams):
    for text in TEXTS:
        [[best]] = translator.written([text], beams=beams, max_new_tokens=6)
        source = torch.tensor([translator.tokenizer(text)["input_ids"]])
        target = translator.model.generate(source, num_beams=beams, max_new_tokens=6, do_sample=False)[:, 1:]
        with torch.no_grad():
            logits = translator.model(input_ids=source, labels=target).logits
        each = log_softmax(logits[0], dim=-1)[range(target.shape[1]), target[0]]
        assert best.score == pytest.approx(float(each.mean()), abs=1e-4)


def test_the_best_come_first(translator):
    [found] = translator.written(TEXTS[:1], beams=4, num_returned=4)
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert len({one.text for one in found}) == 4
    assert translator(TEXTS[0], beams=4, num_returned=4) == [one.text for one in found]


def test_a_model_knows_how_long_what_it_learnt_was(folder, tmp_path):
    translator = Translator.from_pretrained(folder, device="cpu")
    translator.model.config.max_target_tokens = 3
    ids = torch.tensor([translator.tokenizer(TEXTS[0])["input_ids"]])
    wanted = translator.model.generate(ids, num_beams=2, max_new_tokens=3)[0]
    assert translator(TEXTS[0], beams=2) == translator.tokenizer.decode(wanted, skip_special_tokens=True)
    assert len(translator(TEXTS[0], beams=2, max_new_tokens=6)) > len(translator(TEXTS[0], beams=2))


def test_every_text_begins_with_the_prefix(translator):
    for text in translator(TEXTS, prefix="A small boy", beams=2, max_new_tokens=5):
        assert text.startswith("A small boy")
    assert translator(TEXTS[0], prefix="A small boy", beams=2) != translator(TEXTS[0], beams=2)


def test_a_literal_mask_is_text(translator):
    tokenizer = translator.tokenizer
    ids = read_source(tokenizer, translator.model.config, "The [MASK]")
    assert tokenizer.mask_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "The [MASK]"
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)


@pytest.mark.parametrize("kind", ["T5", "Bart", "Marian"])
def test_models_of_the_hub_keep_their_own_settings(kind, tiny_tokenizer):
    model = hub_model(kind, tiny_tokenizer)
    model.generation_config.max_length = 7
    model.generation_config.bad_words_ids = [[tiny_tokenizer.convert_tokens_to_ids("▁the")]]
    translator = Translator(model, tiny_tokenizer)
    found = translator(TEXTS, beams=3)
    assert translator(TEXTS, beams=3, batch_size=1) == found
    for text, said in zip(TEXTS, found, strict=True):
        wanted = model.generate(torch.tensor([tiny_tokenizer(text)["input_ids"]]), num_beams=3)[0]
        assert len(wanted) <= 7
        assert said == tiny_tokenizer.decode(wanted, skip_special_tokens=True).strip()
    short = model.generate(torch.tensor([tiny_tokenizer(TEXTS[0])["input_ids"]]), num_beams=1, max_length=3)[0]
    said = translator(TEXTS[0], beams=1, max_new_tokens=2)
    assert said == tiny_tokenizer.decode(short, skip_special_tokens=True).strip()


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([TEXTS[0], " "], {}, "text 1: a text was wanted, but it is empty"),
        ("", {}, "a text was wanted, but it is empty"),
        ([TEXTS[0], None], {}, "text 1: a text was wanted, but NoneType came"),
        ([" ".join(TEXTS) * 3], {}, r"the model reads at most 48 tokens, but the text has \d+: cut it"),
        (TEXTS, {"beams": 0}, "beams of at least 1 is wanted, but 0 came"),
        (TEXTS, {"batch_size": 0}, "batch_size of at least 1 is wanted, but 0 came"),
        (TEXTS, {"beams": 385}, "at most 384 beams are wanted, one for each piece of the vocabulary, but 385 came"),
        (TEXTS, {"beams": 2, "num_returned": 3}, "3 texts for each want as many beams, but 2 came: raise beams"),
        (TEXTS, {"max_new_tokens": 49}, "the model writes at most 48 tokens, but max_new_tokens is 49: lower it"),
        (TEXTS, {"prefix": "A", "max_new_tokens": 48}, "at most 47 tokens more behind this prefix, but max_new_tok"),
        (TEXTS, {"prefix": "A small boy " * 12}, r"at most 48 tokens, but the prefix has \d+: shorten it"),
    ],
)
def test_what_cannot_be_done_is_refused(translator, texts, options, message):
    with pytest.raises(ValueError, match=message):
        translator(texts, **options)


def test_a_prefix_that_the_tokenizer_does_not_know_is_refused(tiny_tokenizer, monkeypatch):
    translator = Translator(hub_model("Bart", tiny_tokenizer), tiny_tokenizer)
    ids = tiny_tokenizer("Ж", add_special_tokens=False)["input_ids"]  # made of bytes: ours know all characters
    monkeypatch.setattr(type(tiny_tokenizer), "unk_token_id", property(lambda self: ids[-1]), raising=False)
    with pytest.raises(ValueError, match="a prefix in the vocabulary of the model was wanted, but 'Ж' holds what its"):
        translator(TEXTS[0], prefix="Ж")


@pytest.mark.parametrize("beams", [1, 3])
def test_a_broken_model_is_named(folder, beams):
    broken = Translator.from_pretrained(folder, device="cpu")
    with torch.no_grad():
        broken.model.model.decoder.norm.weight.fill_(math.nan)
    with pytest.raises(ValueError, match="its weights are broken"):
        broken(TEXTS[0], beams=beams)


def test_other_models_are_refused(tiny_tokenizer, tmp_path):
    BertForMaskedLM(BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                               intermediate_size=8)).save_pretrained(tmp_path)  # fmt: skip
    tiny_tokenizer.save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"a model that writes a text for a text is wanted, but .* is a BertForMaskedLM"
    ):
        Translator.from_pretrained(str(tmp_path))
    with pytest.raises(ValueError, match="a model that writes a text for a text is wanted, but nowhere did not open"):
        Translator.from_pretrained("nowhere")
    assert writer_class(BertConfig()) is None
    assert writer_class(T5Config()) == "AutoModelForSeq2SeqLM"


class TestParallel:
    @pytest.fixture
    def parallel(self, tiny_tokenizer, tmp_path_factory) -> Translator:
        name = ours(tiny_tokenizer, tmp_path_factory.mktemp("parallel") / "model", parallel=True)
        return Translator.from_pretrained(name, device="cpu")

    def test_it_is_written_in_rounds(self, parallel):
        found = parallel(TEXTS, rounds=2, beams=2)
        assert parallel(TEXTS, rounds=2, beams=2, batch_size=1) == found
        assert parallel(TEXTS[1], rounds=2, beams=2) == found[1]
        [[best]] = parallel.written(TEXTS[:1], rounds=2)
        assert math.isnan(best.score)

    def test_it_knows_no_prefix_and_no_second_best(self, parallel):
        for options in ({"num_returned": 2}, {"prefix": "A"}):
            with pytest.raises(ValueError, match="this one writes all tokens at once: leave them out"):
                parallel(TEXTS, **options)

    def test_it_fills_no_masks(self, parallel, tmp_path):
        export(parallel.model, parallel.tokenizer, tmp_path / "model")
        said = "hidden words of a text is wanted, but .*model writes a text for another: use scripts/predict.py"
        with pytest.raises(ValueError, match=said):
            script("fill_masks").main(str(tmp_path / "model"))


class TestCommands:
    def test_a_file_of_texts_is_read_and_written(self, folder, translator, tmp_path):
        wanted = translator.written(TEXTS, beams=2)
        (tmp_path / "in.txt").write_text("\n".join(TEXTS) + "\n")
        (tmp_path / "in.jsonl").write_text("".join(json.dumps({"source": text}) + "\n" for text in TEXTS))
        for name in ("in.txt", "in.jsonl"):
            network, head = open_head(folder, beams=2)
            predict_file(network, head, tmp_path / name, tmp_path / "out.jsonl", accelerator=Accelerator())
            rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
            assert [row["prediction"] for row in rows] == [best.text for [best] in wanted]
            assert [row["score"] for row in rows] == pytest.approx([best.score for [best] in wanted], abs=2e-5)

    def test_bad_rows_are_named(self, folder, tmp_path):
        network, head = open_head(folder)
        for content, message in (
            (" \n", "line 1 .*: text was wanted in 'text', but it is empty"),
            ("So " * 90, r"line 1 .*: the model reads at most 48 tokens, but the text has"),
        ):
            (tmp_path / "in.txt").write_text(content)
            with pytest.raises(ValueError, match=message):
                predict_file(network, head, tmp_path / "in.txt", tmp_path / "out.jsonl", accelerator=Accelerator())

    @pytest.mark.parametrize(
        ("task", "row"),
        [
            ("parsing", {"words": ["So", "it", "sang"]}),
            ("parsing", {"tokens": ["So", "it", "sang"], "head": None}),  # as the treebank calls them
            ("qa_generate", {"question": "Who sang?", "context": "The queen sang."}),
            ("translation", {"source": "The queen sang."}),
        ],
    )
    def test_a_task_makes_its_source_of_other_columns(self, folder, translator, tmp_path, task, row):
        (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
        script("predict").main(folder, str(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", beams=2, task=task)
        source = {"parsing": "So it sang", "qa_generate": "Who sang?\nThe queen sang."}.get(task, "The queen sang.")
        [[best]] = translator.written([source], beams=2)
        found = json.loads((tmp_path / "out.jsonl").read_text())
        assert found == row | {"prediction": best.text, "score": pytest.approx(best.score, abs=2e-5)}

    def test_a_missing_column_and_another_task_are_told(self, folder, tmp_path):
        (tmp_path / "in.jsonl").write_text(json.dumps({"words": ["So", "it", "sang"]}) + "\n")
        for task, message in (
            (None, r"A column 'source' was wanted for the role source, but .*in.jsonl has words: say"),
            ("qa_generate", r"A column 'question' was wanted for the role question, but .* has words"),
            ("sentiment", "a task from text to text is wanted for --task, but sentiment is none: leave --task out"),
        ):
            with pytest.raises(ValueError, match=message):
                script("predict").main(folder, str(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", task=task)

    def test_beams_are_for_those_who_write(self, pretrained):
        with pytest.raises(ValueError, match="a model that writes texts is wanted for --beams, but"):
            open_head(str(pretrained), beams=2)
        with pytest.raises(ValueError, match=r"an encoder-decoder is wanted for --beams, but .* is none"):
            open_translator(str(pretrained), beams=2)
        assert open_translator(str(pretrained)) is None

    def test_the_terminal_gets_the_best_or_several_with_scores(self, folder, translator, capsys):
        generate = script("generate")
        generate.main(folder, prompt=TEXTS[0], beams=3)
        assert capsys.readouterr().out == translator(TEXTS[0], beams=3) + "\n"
        generate.main(folder, prompt=TEXTS[0], beams=3, num_samples=2)
        wanted = translator.written(TEXTS[:1], beams=3, num_returned=2)[0]
        assert capsys.readouterr().out == "".join(f"{one.score:8.3f}  {one.text}\n" for one in wanted)


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "scripts" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

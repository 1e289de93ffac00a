"""The commands that draw: what they take, and what they say to wrong input."""

import importlib.util
import json
from copy import deepcopy
from pathlib import Path
from types import ModuleType

import pytest
import torch
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from selfsup.models.encoder_decoder import (
    TextEncoderDecoderConfig,
    TextEncoderDecoderForMaskedLM,
    TextEncoderDecoderForSeq2SeqLM,
)
from selfsup.models.text_encoder import TextEncoderModel
from selfsup.training.export import export, name_tokens

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def drawn(monkeypatch):
    """What was given to the drawing functions of a script, in place of a picture."""
    seen: list[tuple] = []

    def watch(module: ModuleType, *names: str) -> list[tuple]:
        for name in names:
            monkeypatch.setattr(module, name, lambda *given, name=name, **named: seen.append((name, *given, named)))
        return seen

    return watch


@pytest.fixture
def folder(tiny_config, tiny_tokenizer, tmp_path) -> Path:
    torch.manual_seed(0)
    export(TextEncoderModel(tiny_config), tiny_tokenizer, tmp_path / "mine" / "model")
    return tmp_path / "mine" / "model"


def test_attention_of_our_encoder_is_what_its_heads_weigh(folder, tiny_config, drawn, tmp_path):
    show = script("show_attention")
    seen = drawn(show, "draw_heads", "draw_head")
    show.main(str(folder), "The queen found bread.", "A boy sold it.", tmp_path / "a.png")
    show.main(str(folder), "The queen found bread.", "A boy sold it.", tmp_path / "a.png", layer=1, head=0)
    (name, weights, queries, keys, _, named), (second, alone, *_) = seen
    assert (name, second) == ("draw_heads", "draw_head")
    assert queries == keys
    assert (queries[0], queries[-1], queries.count("[SEP]")) == ("[CLS]", "[SEP]", 2)
    assert weights.shape == (2, 2, len(queries), len(queries))
    assert weights.sum(-1) == pytest.approx(1.0, abs=1e-5)
    assert (alone == weights[1, 0]).all()
    assert named["title"] == "Attention heads of mine/model"


@pytest.mark.parametrize("parallel", [False, True])
def test_attention_of_an_encoder_decoder_goes_from_target_to_source(parallel, tiny_tokenizer, drawn, tmp_path):
    tokenizer = deepcopy(tiny_tokenizer)  # others read segments with it
    config = TextEncoderDecoderConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_encoder_layers=1, num_decoder_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=24, zero_init_output=False, parallel=parallel,
    )  # fmt: skip
    name_tokens(config, tokenizer)
    kind = TextEncoderDecoderForMaskedLM if parallel else TextEncoderDecoderForSeq2SeqLM
    model = kind(config).eval()
    export(model, tokenizer, tmp_path / "mine" / "model")
    show = script("show_attention")
    seen = drawn(show, "draw_heads", "draw_head")
    show.main(str(tmp_path / "mine"), "The queen found bread.", "A boy sold it.", tmp_path / "a.png")
    ((name, weights, queries, keys, _, named),) = seen
    source = tokenizer("The queen found bread.")["input_ids"]
    target = tokenizer("A boy sold it.")["input_ids"]
    assert (name, named["title"]) == ("draw_heads", f"Cross-attention heads of {tmp_path.name}/mine")
    assert (len(queries), len(keys)) == (len(target) - (2 if parallel else 1), len(source))
    assert (keys[0], keys[-1], queries[0]) == ("[CLS]", "[SEP]", "A")
    read = target[1:-1] if parallel else target[:-1]
    layers = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([read]), output_attentions=True)
    assert weights == pytest.approx(torch.cat(layers.cross_attentions).detach().numpy(), abs=1e-6)
    if not parallel:  # it writes what is not given
        show.main(str(tmp_path / "mine"), "The queen found bread.", output=tmp_path / "a.png", layer=1, head=0)
        assert seen[1][0] == "draw_head"
    with pytest.raises(ValueError, match=r"writes 1 to 24 tokens, but the target has \d+: give another one"):
        show.main(str(tmp_path / "mine"), "The queen.", "A boy sold it. " * 9)


def test_attention_of_a_bert_of_the_hub(tiny_tokenizer, tmp_path):
    config = BertConfig(vocab_size=len(tiny_tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=16, max_position_embeddings=12)  # fmt: skip
    BertModel(config).save_pretrained(tmp_path / "bert")
    tiny_tokenizer.save_pretrained(tmp_path / "bert")
    show = script("show_attention")
    show.main(str(tmp_path / "bert"), "The queen.", output=tmp_path / "new" / "a.png")
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"reads at most 12 tokens, but the text has \d\d: give a shorter one"):
        show.main(str(tmp_path / "bert"), "The queen found a wooden box in the garden and sold it.")


def test_heads_that_are_not_there_are_named(folder):
    show = script("show_attention")
    for wrong, message in (
        ({"layer": 1}, "wanted together"),
        ({"layer": 2, "head": 0}, "--layer must lie between 0 and 1, but 2 came"),
        ({"layer": 0, "head": -1}, "--head must lie between 0 and 1, but -1 came"),
    ):
        with pytest.raises(ValueError, match=message):
            show.main(str(folder), "The queen.", **wrong)


@pytest.mark.parametrize("kind", ["learned", "sinusoidal", "rotary"])
def test_positions_are_those_of_the_model(kind, tiny_config, tiny_tokenizer, drawn, tmp_path):
    tiny_config.position_type = kind
    model = TextEncoderModel(tiny_config)
    export(model, tiny_tokenizer, tmp_path / "mine" / "model")
    show = script("show_positions")
    ((_, table, _, named),) = _call(show, drawn, tmp_path / "mine" / "model")
    assert table.shape == (64, 8 if kind == "rotary" else 16)
    assert named["title"].startswith(f"{kind.capitalize()} position")
    if kind == "learned":
        assert torch.equal(table, model.embeddings.positions.weight)
    if kind == "rotary":
        assert table[0].tolist() == [1.0] * 8  # not turned


def test_biases_of_alibi_are_those_of_the_model(tiny_config, tiny_tokenizer, drawn, tmp_path):
    tiny_config.position_type = "alibi"
    export(TextEncoderModel(tiny_config), tiny_tokenizer, tmp_path / "mine" / "model")
    show = script("show_positions")
    seen = drawn(show, "draw_biases")
    show.main(str(tmp_path / "mine" / "model"))
    ((_, biases, _, _),) = seen
    assert biases.shape == (2, 64)
    assert biases[:, :3].tolist() == [[0.0, -(2**-4), -(2**-3)], [0.0, -(2**-8), -(2**-7)]]  # Press et al., two heads


def _call(show: ModuleType, drawn, folder: Path) -> list[tuple]:
    seen = drawn(show, "draw_positions")
    show.main(str(folder))
    return seen


def test_positions_of_a_hub_table(drawn, tmp_path):
    model = DistilBertModel(DistilBertConfig(vocab_size=8, dim=8, hidden_dim=8, n_layers=1, n_heads=1,
                                             max_position_embeddings=6))  # fmt: skip
    model.save_pretrained(tmp_path / "distil")
    ((_, table, *_),) = _call(script("show_positions"), drawn, tmp_path / "distil")
    assert torch.equal(table, model.embeddings.position_embeddings.weight)


@pytest.mark.parametrize(("name", "more"), [("show_attention", ["The queen."]), ("show_positions", [])])
def test_a_folder_without_a_model_is_named(name, more, tmp_path):
    with pytest.raises(
        ValueError,
        match=r"a(n exported)? folder or (a )?Hub id( with a tokenizer)? is wanted, but .*none did not open: [^\n]+$",
    ):
        script(name).main(str(tmp_path / "none"), *more)


def test_a_model_without_positions_is_refused(tmp_path):
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=8, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5EncoderModel(config).save_pretrained(tmp_path / "t5")
    with pytest.raises(ValueError, match="a model with positions in a table, sinusoidal, rotary or ALiBi is wanted"):
        script("show_positions").main(str(tmp_path / "t5"))


def test_runs_are_called_after_their_folders(drawn, tmp_path):
    show = script("show_curves")
    seen = drawn(show, "draw_runs")
    for name in ("a/seed", "b/seed", "c"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "metrics.jsonl").write_text(json.dumps({"step": 1, "tokens_loss": 1.0, "run": name}))
    show.main([tmp_path / "a/seed", tmp_path / "c"], tmp_path / "x.png", "steps")
    show.main([tmp_path / "a/seed", tmp_path / "b/seed", tmp_path / "a/seed"], tmp_path / "x.png")
    (_, first, _, named), (_, second, *_) = seen
    assert {name: lines[0]["run"] for name, lines in first.items()} == {"seed": "a/seed", "c": "c"}
    assert named == {"against": "steps"}
    assert list(second) == ["a/seed", "b/seed"]
    with pytest.raises(ValueError, match=r"nothing holds no metrics.jsonl: give what --output was"):
        show.main([tmp_path / "nothing"])

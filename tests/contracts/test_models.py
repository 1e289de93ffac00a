"""What every model promises; a new file in selfsup/models with AUTO_CLASSES is found and tested without a word here."""

import ast
import copy
import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers

import selfsup.models

OPTIONS = {
    "default": {},
    "classical BERT": {"norm_position": "post", "use_bias": True, "position_type": "learned", "norm_eps": 1e-12},
    "window": {
        "position_type": "alibi",
        "sliding_window": 3,
        "sliding_layers": "alternating",
        "attention_activation": "relu",
    },
    "patches": {"position_type": "rotary", "window": 1, "pooling": "class", "qk_norm": True},
}
PICTURES = {"image_size": 8, "channels": (4, 8), "stage_depths": (1, 1), "patch_size": 4}
ALLOWED = {"torch", "transformers", "huggingface_hub", *sys.stdlib_module_names}
FILES = sorted(Path(selfsup.models.__path__[0]).glob("[!_]*.py"))


def found() -> list[str]:
    rooms = [
        importlib.import_module(f"selfsup.models.{room.name}") for room in pkgutil.iter_modules(selfsup.models.__path__)
    ]
    return [room.__name__ for room in rooms if hasattr(room, "AUTO_CLASSES")]


def heads(module: str) -> list[tuple[str, str]]:
    """Auto class and class of every model of a file, the body too."""
    return [(auto, name) for auto, name in importlib.import_module(module).AUTO_CLASSES.items() if auto != "AutoConfig"]


CASES = [(module, auto, name) for module in found() for auto, name in heads(module)]


def test_the_encoder_is_found():
    assert "selfsup.models.text_encoder" in found()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_imports_only_what_a_stranger_has(file):
    """Hub law: torch, transformers, huggingface_hub and flat siblings as `from .x import Y`."""
    siblings = {other.stem for other in FILES}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= ALLOWED
        if isinstance(node, ast.ImportFrom):
            if node.level:
                assert node.level == 1
                assert node.module in siblings
            else:
                assert node.module
                assert node.module.split(".")[0] in ALLOWED


@pytest.mark.parametrize(("module", "auto", "name"), CASES, ids=lambda value: value)
def test_names_the_inputs_it_reads(module, auto, name):
    """Trainer drops columns, and objectives drop fields, that the signature of `forward` does not name."""
    model = getattr(importlib.import_module(module), name)
    body = getattr(importlib.import_module(module), importlib.import_module(module).AUTO_CLASSES["AutoModel"])
    inputs = set(inspect.signature(body.forward).parameters) - {"kwargs"}
    if getattr(model, "writes_in_parallel", False):  # it changes all tokens in every round, and keeps no cache
        inputs -= {"past_key_values", "use_cache"}
    assert inputs <= set(inspect.signature(model.forward).parameters)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("module", "auto", "name"), CASES, ids=lambda value: value)
def test_saves_loads_and_opens(module, auto, name, options, tiny_config, tmp_path):
    kind = getattr(importlib.import_module(module), name)
    config = config_for(kind, tiny_config)
    if not all(hasattr(config, field) for field in OPTIONS[options]):
        pytest.skip("these options are those of other models")
    choose(config, options)
    model = kind(config).eval()
    model.save_pretrained(tmp_path)
    opened, info = getattr(transformers, auto).from_pretrained(tmp_path, output_loading_info=True)
    assert type(opened) is kind
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    inputs = inputs_for(config)
    for one, other in zip(tensors(model(**inputs)), tensors(opened.eval()(**inputs)), strict=True):
        torch.testing.assert_close(one, other)
    auto_map = json.loads((tmp_path / "config.json").read_text())["auto_map"]
    assert auto_map.keys() == importlib.import_module(module).AUTO_CLASSES.keys()
    for reference in auto_map.values():
        assert (tmp_path / f"{reference.split('.')[0]}.py").is_file()


@pytest.mark.parametrize(("module", "auto", "name"), CASES, ids=lambda value: value)
def test_computes_in_bfloat16(module, auto, name, tiny_config):
    """Under autocast, and with weights of it; both are near what float32 gives."""
    kind = getattr(importlib.import_module(module), name)
    config = config_for(kind, tiny_config)
    torch.manual_seed(0)
    model, inputs = kind(config).eval(), inputs_for(config)
    with torch.no_grad():
        wanted = tensors(model(**inputs))
        with torch.autocast("cpu", torch.bfloat16):
            found = [tensors(model(**inputs))]
        found.append(tensors(model.to(torch.bfloat16)(**inputs)))
    for outputs in found:
        for one, other in zip(outputs, wanted, strict=True):
            torch.testing.assert_close(one.float(), other, atol=0.05, rtol=0.05)


def inputs_for(config) -> dict[str, torch.Tensor]:
    """A picture or a text, and what was written of its translation."""
    if hasattr(config, "num_channels"):
        sides = (config.image_size, config.image_size)
        return {"pixel_values": torch.rand(2, config.num_channels, *sides, generator=torch.Generator().manual_seed(0))}
    inputs = {"input_ids": torch.arange(5, 17)[None]}
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.arange(7, 12)[None]
    return inputs


def tensors(output) -> list[torch.Tensor]:
    """Of an output, those in tuples too; a cache is none."""
    parts = [part for value in output.to_tuple() for part in (value if isinstance(value, tuple) else (value,))]
    return [part for part in parts if isinstance(part, torch.Tensor)]


@pytest.fixture(autouse=True)
def folders_are_repositories(monkeypatch):
    """AutoBackbone asks the Hub whether a folder is a repository there, and refuses those that are not."""
    monkeypatch.setattr("transformers.models.auto.auto_factory.hf_api", lambda: SimpleNamespace(repo_exists=bool))


def config_for(kind, tiny_config):
    """As small as `tiny_config`, with those fields of size that the model has."""
    if isinstance(tiny_config, kind.config_class):
        return tiny_config
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    sizes = PICTURES | {name: getattr(tiny_config, name) for name in names}
    known = kind.config_class()
    config = kind.config_class(**{name: value for name, value in sizes.items() if hasattr(known, name)})
    if hasattr(config, "parallel"):
        config.parallel = getattr(kind, "writes_in_parallel", False)
    return config


def choose(config, options: str) -> None:
    for name, value in OPTIONS[options].items():
        setattr(config, name, value)


STRANGER = """
import sys
sys.modules["selfsup"] = None  # importing it would fail
import json, types, torch, transformers
from safetensors.torch import load_file

root, heads, pictures = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
expected = load_file(f"{root}/expected.safetensors")
tokenizer = transformers.AutoTokenizer.from_pretrained(f"{root}/AutoModelForMaskedLM", trust_remote_code=True)
batch = tokenizer(["Nobody knew why the miller sold the clock.", "At noon."], padding=True, return_tensors="pt")
for name, value in batch.items():
    assert torch.equal(value, expected[name]), name
for auto in heads:
    model = getattr(transformers, auto).from_pretrained(f"{root}/{auto}", trust_remote_code=True).eval()
    assert "transformers_modules" in type(model).__module__
    for i, value in enumerate(model(**batch).to_tuple()):
        torch.testing.assert_close(value, expected[f"{auto}.{i}"], atol=1e-6, rtol=0)
# One pretraining checkpoint opens under every head.
body = transformers.AutoModel.from_pretrained(f"{root}/AutoModelForPreTraining", trust_remote_code=True).state_dict()
for auto in heads:
    model = getattr(transformers, auto).from_pretrained(f"{root}/AutoModelForPreTraining", trust_remote_code=True)
    for name, value in getattr(model, "encoder", model).state_dict().items():
        assert torch.equal(value, body[name]), (auto, name)
factory = sys.modules["transformers.models.auto.auto_factory"]
factory.hf_api = lambda: types.SimpleNamespace(repo_exists=bool)  # AutoBackbone asks the Hub about folders too
for folder, auto in pictures:
    model = getattr(transformers, auto).from_pretrained(f"{root}/{folder}", trust_remote_code=True).eval()
    assert "transformers_modules" in type(model).__module__
    for i, value in enumerate(model(expected["pixel_values"]).to_tuple()):
        value = value[0] if isinstance(value, tuple) else value
        torch.testing.assert_close(value, expected[f"{folder}.{i}"], atol=1e-6, rtol=0)
    if auto == "AutoModelForPreTraining":  # and opens under the other heads
        head = transformers.AutoModelForImageClassification.from_pretrained(f"{root}/{folder}", trust_remote_code=True)
        for name, value in head.encoder.state_dict().items():
            assert torch.equal(value, model.encoder.state_dict()[name]), name
guess = transformers.pipeline("fill-mask", f"{root}/AutoModelForMaskedLM", trust_remote_code=True)
answers = guess("The miller sold the [MASK].", top_k=384)
assert abs(sum(answer["score"] for answer in answers) - 1) < 1e-3
assert answers[0]["score"] >= answers[1]["score"] > 0
assert not any(name.split(".")[0] == "selfsup" and module for name, module in sys.modules.items())
print(json.dumps([answers[0]["token"], answers[0]["score"]]))
"""


def test_a_stranger_opens_what_was_saved(tiny_config, tiny_tokenizer, tmp_path):
    """Hub law: in a process that cannot import selfsup."""
    from safetensors.torch import save_file
    from torch.optim import AdamW

    from selfsup.training.checkpoint import save_checkpoint

    torch.manual_seed(0)
    batch = tiny_tokenizer(
        ["Nobody knew why the miller sold the clock.", "At noon."], padding=True, return_tensors="pt"
    )
    expected = dict(batch)
    autos = [auto for auto, _ in heads("selfsup.models.text_encoder")]
    chosen = {"AutoModelForTokenClassification": "window", "AutoModelForNextSentencePrediction": "classical BERT"}
    for auto, name in heads("selfsup.models.text_encoder"):
        config = copy.deepcopy(tiny_config)
        choose(config, chosen.get(auto, "default"))
        model = getattr(importlib.import_module("selfsup.models.text_encoder"), name)(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape) * 0.2)  # fresh models all guess alike
            for i, value in enumerate(model(**batch).to_tuple()):
                expected[f"{auto}.{i}"] = value.contiguous()
            if auto == "AutoModelForMaskedLM":
                asked = tiny_tokenizer("The miller sold the [MASK].", return_tensors="pt")
                logits = model(**asked).logits[asked["input_ids"] == tiny_tokenizer.mask_token_id][0]
        if auto == "AutoModelForMaskedLM":  # a checkpoint of training opens too
            saved = save_checkpoint(tmp_path, 1, {"model": model}, {"model": AdamW(model.parameters())}, {},
                                    (model.config, tiny_tokenizer))  # fmt: skip
            saved.rename(tmp_path / auto)
            continue
        model.save_pretrained(tmp_path / auto)
        tiny_tokenizer.save_pretrained(tmp_path / auto)
    pictures = save_picture_models(tiny_config, tmp_path, expected)
    save_file(expected, tmp_path / "expected.safetensors")

    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path), json.dumps(autos), json.dumps(pictures)],
        capture_output=True, text=True, check=False, cwd=tmp_path, stdin=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    token, score = json.loads(done.stdout.splitlines()[-1])
    assert token == int(logits.argmax())
    assert score == pytest.approx(logits.softmax(-1).max().item(), abs=1e-5)


def save_picture_models(tiny_config, folder: Path, expected: dict[str, torch.Tensor]) -> list[tuple[str, str]]:
    """Folders with all models that read pictures, and their Auto classes; what they say of a picture is added."""
    saved = []
    for module, auto, name in CASES:
        kind = getattr(importlib.import_module(module), name)
        config = config_for(kind, tiny_config)
        if not hasattr(config, "num_channels"):
            continue
        model, inputs = kind(config).eval(), inputs_for(config)
        model.save_pretrained(folder / name)
        with torch.no_grad():
            outputs = tensors(model(**inputs))
        expected |= inputs | {f"{name}.{i}": value.contiguous() for i, value in enumerate(outputs)}
        saved.append((name, auto))
    assert saved
    return saved

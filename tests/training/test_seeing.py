"""From pictures without labels to a folder that opens anywhere, and that a task of pictures begins from."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoConfig, AutoImageProcessor, AutoModel, ViTImageProcessorPil, ViTMAEConfig

from selfsup.data.album import Look, PictureDataConfig
from selfsup.finetuning.learner import build_learner, open_learner
from selfsup.models.masked_autoencoder_config import MaskedAutoencoderConfig
from selfsup.objectives import Contrastive, ImageClassification, MaskedAutoencoding, MaskedPatches, Rotation
from selfsup.optim.optimizers import OptimConfig
from selfsup.predicting.opening import open_head
from selfsup.training.export import HubConfig
from selfsup.training.hub import files_to_push
from selfsup.training.loop import TrainConfig
from selfsup.training.processors import plain_processor
from selfsup.training.report import read_metrics
from selfsup.training.seeing import build_seeing_model, pretrain_pictures, shape_for

ROOT = Path(__file__).parents[2]
SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "patch_size": 4}
DECODER = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
CONVNET: dict[str, Any] = {"channels": [4, 4], "stage_depths": [1, 1]}
CASES: dict[str, tuple[type, str, dict[str, Any]]] = {
    "masked autoencoder": (MaskedAutoencoding, "selfsup_masked_autoencoder", SHAPE | DECODER),
    "masked patches": (MaskedPatches, "selfsup_vit", SHAPE),
    "views": (Contrastive, "selfsup_convnet", CONVNET),
    "turns": (Rotation, "vit", SHAPE),  # of transformers
}
ARGUMENTS = """# selfsup 0, torch 0
# commit none
# pretrain_pictures.py --corpus mine
corpus: mine
objective: {class_path: selfsup.objectives.Contrastive}
data: {validation: null, validation_share: 0.2}
train: {eval_rows: 512, num_steps: 2, max_minutes: null}
"""


@pytest.fixture
def shades(tmp_path) -> Path:
    """Twenty pictures of chance beside each other."""
    chance, folder = np.random.default_rng(0), tmp_path / "shades"
    folder.mkdir()
    for number in range(20):
        Image.fromarray(chance.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture
def run(shades, tmp_path, monkeypatch):
    """Two steps of pretraining, in a folder; a picture of curves takes as long as all the rest."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr("selfsup.pictures.curves.draw_curves", lambda *args: None)

    def pretrained(case: str = "views", output: str = "run", corpus: Path = shades, objective=None, **given) -> Path:
        asked, kind, fields = CASES[case]
        data = PictureDataConfig(**{"batch_size": 8, "validation_share": 0.2, **given.pop("data", {})})
        train = TrainConfig(
            **{"num_steps": 2, "eval_every": 2, "save_every": 1, "log_every": 1, **given.pop("train", {})}
        )
        given = {"kind": kind, "fields": fields, "arguments": ARGUMENTS} | given
        pretrain_pictures(
            str(corpus), tmp_path / output, objective or asked(), given.pop("kind"), given.pop("fields"), data,
            OptimConfig(warmup_steps=1), train, HubConfig(), **given,
        )  # fmt: skip
        return tmp_path / output

    return pretrained


def test_oblong_pictures_cannot_be_turned_by_quarters(run, tmp_path):
    (tmp_path / "oblong").mkdir()
    for number in range(20):
        Image.new("L", (12, 8), number).save(tmp_path / "oblong" / f"{number}.png")
    with pytest.raises(ValueError, match="square pictures can be turned by quarters, but 12 x 8 pixels came"):
        run("turns", corpus=tmp_path / "oblong", kind="resnet", fields={})


@pytest.mark.parametrize("case", CASES)
def test_a_run_leaves_what_a_task_begins_from(run, shades, case, capsys):
    folder = run(case)
    assert "16 pictures to learn from, 4 to score on" in capsys.readouterr().out
    figures = json.loads((folder / "results.json").read_text())
    assert (figures["pictures"], figures["corpus_pictures"], figures["steps"]) == (16, 16, 2)
    assert [line["pictures"] for line in read_metrics(folder / "metrics.jsonl") if "pictures" in line] == [8, 16]
    model = folder / "model"
    config = AutoConfig.from_pretrained(model)
    assert (config.image_size, config.num_channels) == (8, 1)
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "README.md"} <= set(files_to_push(model))
    card = (model / "README.md").read_text()
    assert "16 pictures" in card
    assert "token" not in card
    if case != "turns":  # which can be asked as it is
        with pytest.raises(ValueError, match="fine-tune it first"):
            open_head(str(folder))
    # the body comes with the weights, the head is fresh and has the labels of the task
    learner, task = open_learner(str(folder)), ImageClassification()
    labels = [str(number) for number in range(4 if case == "turns" else 64)]  # as many as the head tells already
    task.survey([{"label": label} for label in labels])
    network = build_learner(learner, task, labels, seed=5)
    trained, body = AutoModel.from_pretrained(model).state_dict(), network.base_model.state_dict()
    assert len(body) > 3
    assert all(torch.equal(value, trained[name]) for name, value in body.items())
    assert list(network.config.id2label.values()) == labels
    again = build_learner(learner, task, labels, seed=6)
    head = {name for name in network.state_dict() if name.startswith("classifier") and name.endswith("weight")}
    assert head
    assert not any(torch.equal(network.state_dict()[name], again.state_dict()[name]) for name in head)


def test_another_run_goes_on_from_it(run, tmp_path, capsys):
    first = run("masked autoencoder")
    second = run("masked autoencoder", "second", init_from=str(first), train={"num_steps": 1})
    assert "start afresh" not in capsys.readouterr().out
    other = run("masked autoencoder", "other", init_from=str(first), objective=Contrastive(width=8))
    assert "classifier.weight" in capsys.readouterr().out  # of the encoder, the head of views is fresh
    assert AutoConfig.from_pretrained(other / "model").num_labels == 8
    checkpoint = first / "checkpoints" / "checkpoint-00000002"
    with torch.random.fork_rng():
        model = build_seeing_model(MaskedAutoencoding(), AutoConfig.from_pretrained(checkpoint), str(checkpoint))
    last = load_file(first / "model" / "model.safetensors")
    assert all(torch.equal(value, last[name]) for name, value in model.state_dict().items())
    assert (second / "model" / "config.json").exists()


def test_going_on_wants_the_same_pictures_and_augmentation(run, shades):
    run("views")
    changed: list[dict[str, Any]] = [
        {"objective": Contrastive(temperature=0.3)},
        {"objective": Contrastive(augmentation=type(Contrastive().augmentation)(flip=0.1))},
        {"data": {"batch_size": 4}},
    ]
    for change, what in zip(changed, ("temperature of", "augmentation of", "--data.batch_size"), strict=True):
        with pytest.raises(ValueError, match=f"is of a run with other arguments: {what}"):
            run("views", resume=True, **change)
    run("views", resume=True, train={"num_steps": 3})


def test_what_is_wrong_is_said_before_anything_is_learnt(run, shades, pretrained, tmp_path):
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"init_from": str(pretrained)}, r"a model of pictures is wanted, but .* \(selfsup_text_encoder\) reads text"),
        ({"objective": ImageClassification()}, "ImageClassification learns from labels, which are not read here"),
        ({"data": {"batch_size": 17}}, "batch_size is 17 and .* has 16 pictures"),
        ({"data": {"batch_size": 1}}, "Contrastive compares pictures of a batch, so that two or more are wanted"),
        ({"data": {"batch_size": 5}, "train": {"micro_batch_size": 2}}, "two or more are wanted at once"),  # 1 + 2 + 2
        ({"data": {"validation_share": 0.05}}, "two or more to score on are wanted, but one came"),
        ({"kind": "bert", "fields": {}}, "a kind of model that takes pictures is wanted, .* but 'bert' came"),
        ({"kind": "hedgehog"}, "a kind of model is wanted, such as vit or resnet, but 'hedgehog' came"),
        ({"case": "masked patches", "fields": {"patch_size": 3}}, "patch_size must divide image_size, 8, but 3 came"),
        ({"case": "masked patches", "fields": {"hidden_size": "x"}}, "--fields: .*hidden_size"),
        ({"case": "masked patches", "kind": "selfsup_convnet", "fields": {}}, "knows no model for a ConvNetConfig"),
        ({"corpus": tmp_path / "gone"}, "gone"),
    ]
    for number, (given, said) in enumerate(wrong):
        with pytest.raises(ValueError, match=said):
            run(**({"output": f"wrong{number}"} | given))


def test_photos_want_a_size_which_kinds_that_read_any_size_keep_too():
    photo = Look(3000, 4000, 3)
    for kind in ("selfsup_masked_autoencoder", "resnet"):
        with pytest.raises(ValueError, match=r"the first has 4000 x 3000 pixels and --fields has no image_size"):
            shape_for(photo, kind, {})
    sizes = {"embedding_size": 4, "hidden_sizes": [4, 4], "depths": [1, 1]}
    config, processor = shape_for(photo, "resnet", sizes | {"image_size": 16})
    assert dict(processor.size) | {"height": 16, "width": 16} == dict(processor.size)
    assert config.num_channels == 3


def test_a_fresh_autoencoder_of_transformers_knows_places():
    config = ViTMAEConfig(image_size=8, num_channels=1, **SHAPE, **DECODER)
    torch.manual_seed(0)
    model = build_seeing_model(MaskedAutoencoding(), config).eval()
    with torch.no_grad():
        logits = model(torch.rand(1, 1, 8, 8), noise=torch.arange(4.0)[None]).logits
    assert (logits[0, 2] - logits[0, 3]).abs().max() > 1e-3  # both are hidden


def test_the_card_of_an_autoencoder_of_transformers_says_what_runs(run, shades):
    folder = run("masked autoencoder", kind="vit_mae", fields=SHAPE | DECODER) / "model"
    card = (folder / "README.md").read_text()
    assert "finetune.py --task TASK" in card
    python = card[card.index("```python") + 9 : card.index("```", card.index("```python") + 9)]
    printed: list[Any] = []
    python = python.replace(re.findall(r'from_pretrained\("(.+?)"', python)[0], str(folder))
    exec(python.replace("picture.png", str(shades / "03.png")), {"print": printed.append})
    assert printed == [(1, 5, 16)]  # all four patches, and a class token


def test_pictures_of_several_sizes_want_a_processor_that_makes_one(run, shades, tmp_path):
    Image.new("L", (9, 12)).save(shades / "large.png")
    run("views")  # squeezed to the size of the first
    first = run("views", "first")
    # shrinks the shorter side, and leaves the shape
    ViTImageProcessorPil(size={"shortest_edge": 8}, do_normalize=False).save_pretrained(first / "model")
    with pytest.raises(ValueError, match="pictures of one size were wanted"):
        run("views", "other", init_from=str(first / "model"))


def test_the_guess_that_learnt_nothing_by_hand():
    """Four patches of one shade each; the mean of the visible ones is the guess."""
    shape = MaskedAutoencoderConfig(image_size=4, patch_size=2, pixel_mean=0.0, pixel_std=1.0)
    objective = MaskedAutoencoding(rate=0.5)
    objective.bind(plain_processor(4, 4), shape)
    picture = np.kron(np.array([[0, 255], [51, 102]]), np.ones((2, 2))).astype(np.uint8)[None, None]
    hidden = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    batch = {"pixel_values": torch.from_numpy(picture), "hidden": hidden}
    found = objective.blind_losses({}, batch, "model")["patches"]
    assert float(found) == pytest.approx((0.2 - 0.5) ** 2 + (0.4 - 0.5) ** 2, rel=1e-5)  # visible: 0 and 1


STRANGER = """
import sys
sys.modules["selfsup"] = None
from PIL import Image
from transformers import AutoImageProcessor, AutoModel
processor = AutoImageProcessor.from_pretrained(sys.argv[1])
model = AutoModel.from_pretrained(sys.argv[1], trust_remote_code=True).eval()
output = model(**processor(Image.open(sys.argv[2]).convert("L"), return_tensors="pt"))
print(float(output.pooler_output.sum()))
"""


@pytest.mark.slow
def test_a_stranger_opens_it(run, shades, tmp_path):
    folder = run("masked autoencoder") / "model"
    picture = shades / "03.png"
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(folder), str(picture)], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(tmp_path / "modules"), "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder)
    ours = model(**processor(Image.open(picture), return_tensors="pt")).pooler_output.sum()
    assert float(done.stdout.split()[-1]) == pytest.approx(float(ours), abs=1e-5)


@pytest.mark.slow
def test_commands(shades, tmp_path):
    """Pretrained on the digits, learnt from a few of them, predicted and scored."""

    def command(script: str, *flags: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        done = subprocess.run([sys.executable, str(ROOT / "scripts" / script), *flags], cwd=tmp_path, env=environment,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    brief = (
        "--train.num_steps",
        "4",
        "--train.eval_every",
        "4",
        "--data.max_pictures",
        "200",
        "--optim.warmup_steps",
        "1",
    )
    printed = command("pretrain_pictures.py", "--corpus", "digits", "--output", "eye", *brief)
    assert "error of a pixel" in printed
    again = ("--corpus", "digits", "--output", "eye", "--resume", *brief, "--train.num_steps", "6")
    assert "patches" in command("pretrain_pictures.py", *again)
    few = ("--data.max_train", "60", "--data.max_held_out", "30", "--tune.epochs", "1")
    assert "logistic regression" in command(
        "finetune.py", "--task", "digits", "--model", "eye", "--output", "told", *few
    )
    command("predict.py", "--model", "told", "--input", str(shades), "--output", "out.jsonl")
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 20

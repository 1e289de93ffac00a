"""From a folder of pictures to a model that tells them apart, opens anywhere and predicts; also as commands."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

from selfsup.data.images import Picture
from selfsup.examples import DataChoice
from selfsup.finetuning.baselines import shallow
from selfsup.finetuning.beginning import begin_pictures
from selfsup.finetuning.learner import Learner, open_learner
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.material import open_material
from selfsup.finetuning.pixels import fit
from selfsup.finetuning.trial import run_trial
from selfsup.metrics import Accuracy
from selfsup.objectives import Classification, ImageClassification
from selfsup.objectives.augmentation import Augmentation
from selfsup.predicting.files import predict_file
from selfsup.predicting.opening import open_head
from selfsup.task import DataSet, Task
from selfsup.training.processors import fingerprint, plain_processor

ROOT = Path(__file__).parents[2]
SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "patch_size": 4}
SWIN = {"embed_dim": 8, "depths": [1], "num_heads": [1], "patch_size": 4}  # whose windows are larger than the picture
TASK = Task(ImageClassification, (Accuracy,), (DataSet("none", {"image": "image", "label": "label"}),), name="shades")


@pytest.fixture
def shades(tmp_path) -> Path:
    """Dark pictures and light ones."""
    chance, folder = np.random.default_rng(0), tmp_path / "shades"
    for label, low in (("dark", 0), ("light", 128)):
        (folder / label).mkdir(parents=True)
        for number in range(24):
            pixels = chance.integers(low, low + 128, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number:02d}.png")
    return folder


def choice(folder: Path, **options) -> DataChoice:
    return DataChoice(name=str(folder), **({"held_out": "0.25"} | options))


@pytest.fixture
def learner(tiny_picture_config) -> Learner:
    return Learner(tiny_picture_config, plain_processor(8, 8))


def test_learnt_kept_opened_and_predicted(shades, learner, accelerator, tmp_path):
    said: list[str] = []
    material = open_material(TASK, choice(shades), learner, say=said.append)
    assert said == [f"shades: 36 examples of {shades} to learn from, 12 to score on"]
    assert material.labels == ("dark", "light")
    config = FineTuneConfig(learning_rate=0.01, epochs=4, batch_size=12, slice_share=0.0)
    task = Task(partial(ImageClassification, augmentation=Augmentation(shift=0.1, flip=0.5)), (Accuracy,), ())
    start = partial(run_trial, learner, task, material.train, material.held_out, config, tmp_path / "trial",
                    labels=material.labels, seed=0, accelerator=accelerator, keep_model=True)  # fmt: skip
    trial = start()
    assert trial.figures["accuracy"] == 1
    assert start() == trial  # kept
    line = json.loads((tmp_path / "trial" / "predictions.jsonl").read_text().splitlines()[0])
    assert line == {"prediction": line["label"], "image": str(material.held_out[0]["image"]), "label": line["label"]}
    model = tmp_path / "trial" / "model"
    again = open_learner(str(model))
    assert again.fingerprint() != learner.fingerprint()
    assert fingerprint(again.processor) == fingerprint(learner.processor)

    network, head = open_head(str(model))
    tally = predict_file(network, head, shades, tmp_path / "out.jsonl", accelerator=accelerator)
    assert tally.rows == 48
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == sorted(str(path) for path in shades.rglob("*.png"))
    assert all(row["prediction"] == Path(row["image"]).parent.name for row in rows)
    theirs, processor = (
        AutoModelForImageClassification.from_pretrained(model),
        AutoImageProcessor.from_pretrained(model),
    )
    with torch.no_grad():
        logits = theirs(**processor([Image.open(row["image"]) for row in rows], return_tensors="pt")).logits
    for row, scores in zip(rows, logits.softmax(-1), strict=True):
        assert row["scores"] == pytest.approx(dict(zip(("dark", "light"), scores.tolist(), strict=True)), abs=1e-5)


def test_what_is_no_picture_is_named_among_predictions(shades, learner, accelerator, tmp_path):
    (shades / "light" / "00.png").write_bytes(b"broken")
    learner.start.id2label, learner.start.label2id = {0: "dark", 1: "light"}, {"dark": 0, "light": 1}
    model = AutoModelForImageClassification.from_config(learner.start)
    model.save_pretrained(tmp_path / "model")  # without its processor: the size is that of its configuration
    network, head = open_head(str(tmp_path / "model"))
    with pytest.raises(
        ValueError, match=r"picture 25 of .*light/00.png: a picture was wanted in 'image', but what came"
    ):
        predict_file(network, head, shades, tmp_path / "out.jsonl", accelerator=accelerator)
    tally = predict_file(network, head, shades, tmp_path / "out.jsonl", accelerator=accelerator, skip_bad_rows=True)
    assert (tally.rows, tally.bad) == (48, 1)
    one = predict_file(network, head, shades / "dark" / "00.png", tmp_path / "one.jsonl", accelerator=accelerator)
    assert one.rows == 1


def test_what_cannot_be_learnt_is_refused_before_it_begins(shades, learner, untrained):
    with pytest.raises(ValueError, match="AutoModelForImageClassification knows no model for a TextEncoderConfig"):
        open_material(TASK, choice(shades), untrained)
    words = Task(Classification, (Accuracy,), (DataSet("none", {"text": "label", "label": "label"}),), name="words")
    with pytest.raises(ValueError, match="AutoModelForSequenceClassification knows no model for a ViTConfig"):
        open_material(words, choice(shades), learner)
    with pytest.raises(ValueError, match="What is learnt from must not be scored on"):
        open_material(TASK, choice(shades, held_out="test"), learner)
    with pytest.raises(ValueError, match=r"two labels or more are wanted .* have dark"):
        open_material(TASK, choice(one_class(shades)), learner)


def one_class(shades: Path) -> Path:
    for path in sorted((shades / "light").iterdir()):
        path.unlink()
    return shades


def test_a_shape_that_fits_the_pictures(shades, tmp_path):
    line = begin_pictures(TASK, DataChoice(name=str(shades)), "vit", SHAPE, tmp_path / "shape")
    assert line == "vit for pictures of 8 x 8 pixels and 1 channel(s)"
    config = AutoConfig.from_pretrained(tmp_path / "shape")
    assert (config.image_size, config.num_channels, config.hidden_size) == (8, 1, 16)
    processor = open_learner(str(tmp_path / "shape"), scratch=True).processor
    assert fingerprint(processor) == fingerprint(plain_processor(8, 8)) != fingerprint(plain_processor(8, 9))
    for kind, fields, said in (
        (
            "vit",
            SHAPE | {"patch_size": 3},
            "patches that fit into pictures of 8 x 8 pixels are wanted, but patch_size is 3",
        ),
        ("vit", {"hiden_size": 3}, "--fields names hiden_size"),
        ("bert", {}, "a kind of model that takes pictures is wanted, such as vit or resnet, but 'bert' came"),
        ("swin", SWIN, r"reads pictures of 8 x 8 pixels is wanted, but swin .* does not \(.*\): name others"),
        ("hedgehog", {}, "a kind of model is wanted, such as vit or resnet, but 'hedgehog' came"),
    ):
        with pytest.raises(ValueError, match=said):
            begin_pictures(TASK, DataChoice(name=str(shades)), kind, fields, tmp_path / "other")
    with pytest.raises(ValueError, match="a task of pictures is wanted for --kind"):
        begin_pictures(Task(Classification, (), ()), DataChoice(name="x"), "vit", {}, tmp_path / "other")


def test_logistic_regression_is_that_of_scikit_learn():
    chance = np.random.default_rng(0)
    values, answers = chance.random((60, 5), dtype=np.float32), chance.integers(0, 3, 60)
    wanted = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(values, answers)
    found = fit(torch.from_numpy(values), torch.from_numpy(answers), 3)
    probabilities = (torch.from_numpy(values) @ found[:-1] + found[-1]).softmax(-1)
    np.testing.assert_allclose(probabilities, wanted.predict_proba(values), atol=2e-3)


def test_pictures_have_a_shallow_baseline_and_text_has_none():
    examples = [
        {"image": Picture(np.full((1, 2, 2), 200 * (number % 2), np.uint8)), "label": ("no", "yes")[number % 2]}
        for number in range(8)
    ]
    name, guess = shallow(ImageClassification(), examples) or ("", None)
    assert name == "logistic regression on pixels"
    assert guess
    assert [guess(example) for example in examples] == [example["label"] for example in examples]
    assert shallow(Classification(), [{"text": "a", "label": "b"}]) is None


@pytest.mark.slow
def test_commands(shades, tmp_path):
    def run(script: str, *flags: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, str(ROOT / "scripts" / script), *flags], cwd=tmp_path, env=environment,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    data = ("--task", "clothes", "--data.name", str(shades))
    fields = json.dumps(SHAPE)
    run("new_model.py", *data, "--output", "shape", "--kind", "vit", "--fields", fields)
    start = (
        "--model",
        "shape",
        "--scratch",
        "true",
        "--data.held_out",
        "0.25",
        "--tune.learning_rate",
        "0.01",
        "--tune.min_steps",
        "60",
    )
    printed = run("finetune.py", *data, *start, "--output", "run")
    assert "logistic regression on pixels" in printed
    assert (
        'processor = AutoImageProcessor.from_pretrained("./run/model")'
        in (tmp_path / "run/model/README.md").read_text()
    )
    tasks = json.dumps({"clothes": {"name": str(shades), "held_out": "0.25"}})
    printed = run(
        "score.py", "--model", "run", "--tasks", tasks, "--epochs", "null", "--seeds", "1", "--output", "scores"
    )
    assert "logistic regression on pixels" in printed
    run("predict.py", "--model", "run", "--input", str(shades), "--output", "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert all(row["prediction"] == Path(row["image"]).parent.name for row in rows)

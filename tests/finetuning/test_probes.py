"""Probes learn what they should, choose where they may, and see features of a body that stands still."""

import json
import runpy
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTMAEConfig, ViTMAEForPreTraining, ViTMAEModel

from selfsup.data.images import Picture
from selfsup.finetuning.features import extract, open_body, without_head
from selfsup.finetuning.learner import Learner, build_learner, open_learner
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.material import Material
from selfsup.finetuning.probes import PROBES, TEMPERATURE, Probe, choose, linear, nearest
from selfsup.finetuning.probing import FRESH, PIXELS, TRAINED, ProbeConfig, check_probed, probe, report
from selfsup.metrics import Accuracy
from selfsup.models.convnet import ConvNetModel
from selfsup.models.convnet_config import ConvNetConfig
from selfsup.objectives import Classification, ImageClassification, Rotation
from selfsup.objectives.supervised import Supervised
from selfsup.task import Task
from selfsup.training.processors import plain_processor

TASK = Task(ImageClassification, (Accuracy,), (), name="sides")


def pictures(number: int, seed: int = 0) -> list[dict]:
    """Noise that is brighter on the left, and on the right, in turn."""
    chance, examples = np.random.default_rng(seed), []
    for place in range(number):
        pixels = chance.integers(0, 128, (1, 8, 8), dtype=np.uint8)
        label = ("left", "right")[place % 2]
        pixels[..., slice(0, 4) if label == "left" else slice(4, 8)] += 120
        examples.append({"image": Picture(pixels), "label": label})
    return examples


def bound(config) -> tuple[Learner, Supervised]:
    learner = Learner(config, plain_processor(8, 8))
    return learner, Material("sides", without_head(TASK), pictures(4), [], ("left", "right")).bound(learner)


def test_one_near_neighbour_outvotes_two_that_are_far():
    known = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 5.0]])  # lengths do not count
    asked = torch.tensor([[3.0, 1.0], [1.0, 1.0]])
    answers = torch.tensor([0, 1, 1])
    # Cosines of the first are 0.949, 0.316, 0.316: exp(0.633 / 0.07) = 8,400 times the vote of each of the two.
    # Those of the second are all 0.707, so two outvote one.
    assert nearest(known, answers, asked, 2, 3).tolist() == [0, 1]
    assert nearest(known, answers, asked[:1], 2, 1).tolist() == [0]
    assert nearest(known, answers, asked, 2, 50).tolist() == [0, 1]  # there are only three


def test_neighbours_are_those_of_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    chance = np.random.default_rng(0)
    known, asked = chance.normal(size=(120, 6)), chance.normal(size=(80, 6))
    answers = chance.integers(0, 4, 120)
    for number in PROBES["nearest"].choices:
        theirs = neighbors.KNeighborsClassifier(
            int(number), metric="cosine", weights=lambda distances: np.exp((1 - distances) / TEMPERATURE)
        ).fit(known, answers)
        ours = nearest(torch.from_numpy(known), torch.from_numpy(answers), torch.from_numpy(asked), 4, number)
        assert ours.tolist() == theirs.predict(asked).tolist()


def test_linear_layer_is_that_of_scikit_learn_on_standardised_features():
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    chance = np.random.default_rng(0)
    known = chance.normal(size=(90, 4)) * [1, 100, 0.01, 0] + 3  # the last never changes
    asked = chance.normal(size=(60, 4)) * [1, 100, 0.01, 0] + 3
    answers = np.digitize((known - 3) @ [1, 0.01, 100, 0] + chance.normal(size=90), [-1, 1])
    for penalty in (1.0, 100.0):
        theirs = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, tol=1e-8)).fit(known, answers)
        ours = linear(torch.from_numpy(known), torch.from_numpy(answers), torch.from_numpy(asked), 3, penalty)
        best = np.sort(theirs.predict_proba(asked), axis=1)
        sure = best[:, -1] - best[:, -2] > 0.005  # at a border between classes the two searches may part
        assert ours[sure].tolist() == theirs.predict(asked)[sure].tolist()
        assert sure.sum() > 55


def test_what_is_chosen_does_best_on_a_slice_and_the_usual_stands_in():
    seen = []

    def fit(known, answers, asked, num_classes, choice):
        """Right in as many of ten as the choice says."""
        seen.append((set(known[:, 0].tolist()), set(asked[:, 0].tolist())))
        return torch.where(asked[:, 0] % 10 < choice, asked[:, 0] % 3, -1)

    form = Probe(fit, (2, 7, 5), usual=3, symbol="n")
    values = torch.arange(400)[:, None]
    assert choose(form, values, values[:, 0] % 3, 3, rng=np.random.default_rng(0)) == (7, True)
    for known, asked in seen:
        assert (len(known), len(asked)) == (320, 80)
        assert not known & asked
    assert choose(form, values[:249], values[:249, 0] % 3, 3, rng=np.random.default_rng(0)) == (3, False)


def test_features_of_a_convnet_are_means_of_places_and_its_running_averages_stand_still(accelerator):
    shape = {"channels": [4, 6], "stage_depths": [1, 1], "normalisation": "batch", "residual": False}
    learner, objective = bound(ConvNetConfig(image_size=8, num_channels=1, **shape))
    body = open_body(learner, seed=3)
    assert isinstance(body, ConvNetModel)
    before = {name: value.clone() for name, value in body.state_dict().items()}
    examples = pictures(7)
    whole = extract(body, objective, examples, accelerator=accelerator)
    single = extract(body, objective, examples, accelerator=accelerator, batch_tokens=1)
    torch.testing.assert_close(whole.values, single.values)
    with torch.no_grad():
        pixels = torch.from_numpy(np.stack([example["image"].pixels for example in examples])).float() / 255
        maps = body(pixels).last_hidden_state
    torch.testing.assert_close(whole.values, maps.mean(dim=(2, 3)))
    assert whole.said == f"mean of {maps.shape[2] * maps.shape[3]} places of the last feature map: 6 numbers"
    assert all(torch.equal(before[name], value) for name, value in body.state_dict().items())
    assert torch.equal(open_body(learner, seed=3).state_dict()["stages.0.layers.0.convolution.weight"],
                       before["stages.0.layers.0.convolution.weight"])  # fmt: skip
    with pytest.raises(ValueError, match="a model with a class token is wanted for --features class"):
        extract(body, objective, examples, pooling="class", accelerator=accelerator)


def test_features_of_a_transformer_leave_the_class_token_out_or_are_it(tiny_picture_config, accelerator):
    learner, objective = bound(tiny_picture_config)
    body, examples = open_body(learner), pictures(3)
    with torch.no_grad():
        pixels = torch.from_numpy(np.stack([example["image"].pixels for example in examples])).float() / 255
        hidden = body(pixels).last_hidden_state
    assert hidden.shape == (3, 5, 16)
    mean, first = (extract(body, objective, examples, pooling=kind, accelerator=accelerator) for kind in
                   ("mean", "class"))  # fmt: skip
    torch.testing.assert_close(mean.values, hidden[:, 1:].mean(dim=1))
    torch.testing.assert_close(first.values, hidden[:, 0])
    assert mean.said == "mean of 4 patches after the last layer: 16 numbers"


def test_a_masked_autoencoder_of_transformers_reads_whole_pictures_and_learns_labels(accelerator, tmp_path):
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
             "image_size": 8, "patch_size": 2, "num_channels": 1}  # fmt: skip
    whole = ViTMAEForPreTraining(ViTMAEConfig(**shape, decoder_hidden_size=16, decoder_num_attention_heads=2))
    whole.save_pretrained(tmp_path)
    plain_processor(8, 8).save_pretrained(tmp_path)
    learner = open_learner(str(tmp_path))
    objective = Material("sides", without_head(TASK), pictures(4), [], ("left", "right")).bound(learner)
    body, examples = open_body(learner), pictures(3)
    found = extract(body, objective, examples, accelerator=accelerator)
    assert found.said.startswith("mean of 16 patches")
    theirs = ViTMAEModel.from_pretrained(tmp_path, mask_ratio=0.0).eval()
    pixels = torch.from_numpy(np.stack([example["image"].pixels for example in examples])).float() / 255
    in_order = torch.arange(16.0).expand(3, -1)  # it shuffles the patches otherwise, and shows them in that order
    with torch.no_grad():
        hidden = theirs(pixels, noise=in_order).last_hidden_state
    torch.testing.assert_close(found.values, hidden[:, 1:].mean(dim=1))
    check_probed(TASK, learner, ProbeConfig(kinds=("full",)))
    network = build_learner(learner, TASK.objective(), ("left", "right"), seed=0)
    assert network.state_dict()["vit.embeddings.cls_token"].equal(whole.state_dict()["vit.embeddings.cls_token"])
    assert network.config.id2label == {0: "left", 1: "right"}


def test_features_of_texts_do_not_depend_on_padding(untrained, cats, about_cats, accelerator):
    examples = about_cats(9)
    material = Material("cats", without_head(cats), examples, [], ("no", "yes"))
    objective = material.bound(untrained)
    body = open_body(untrained)
    padded = extract(body, objective, examples, accelerator=accelerator)
    alone = extract(body, objective, examples, accelerator=accelerator, batch_tokens=1)
    torch.testing.assert_close(padded.values, alone.values, rtol=1e-4, atol=1e-5)
    assert padded.said == "mean of the tokens after the last layer: 16 numbers"


@pytest.fixture
def arms(tiny_picture_config) -> dict[str, Learner]:
    return dict.fromkeys((TRAINED, FRESH), Learner(tiny_picture_config, plain_processor(8, 8)))


def test_the_held_out_split_chooses_nothing_and_shares_are_counted(arms, accelerator, tmp_path, capsys):
    config = ProbeConfig(kinds=("nearest",), shares=(0.1, 1.0), seeds=2)
    material = Material("sides", without_head(TASK), pictures(260), pictures(30, seed=1), ("left", "right"))
    result = probe(arms, TASK, material, config, tmp_path, accelerator=accelerator)
    tenth, whole = result["shares"][0.1], result["shares"][1.0]
    assert (tenth["labels"], whole["labels"]) == (26, 260)
    assert list(whole["cells"]["nearest"]) == [TRAINED, FRESH, PIXELS]
    assert tenth["cells"]["nearest"][PIXELS]["chosen"] == ["k 5 (usual)"] * 2
    assert whole["cells"]["nearest"][PIXELS]["figure"][0] > 0.8
    assert result["baseline"] == ["most frequent label", 0.5]
    # Seed 0 of the fresh weights are those of the "trained" shape.
    assert whole["cells"]["nearest"][FRESH]["figures"][0] == whole["cells"]["nearest"][TRAINED]["figures"][0]

    other = [example | {"label": "right"} for example in material.held_out]
    again = replace(config, shares=(1.0,), seeds=1)
    turned = probe(arms, TASK, replace(material, held_out=other), again, tmp_path, accelerator=accelerator)
    for arm, cell in turned["shares"][1.0]["cells"]["nearest"].items():
        assert cell["chosen"] == whole["cells"]["nearest"][arm]["chosen"][:1]
        assert cell["figures"] != whole["cells"]["nearest"][arm]["figures"][:1]

    report(result, tmp_path, title="Sides")
    printed = capsys.readouterr().out
    assert "most frequent label" in printed
    assert "mean of 4 patches" in printed
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["shares"]["1.0"]["cells"]["nearest"][PIXELS]["figure"] == list(
        whole["cells"]["nearest"][PIXELS]["figure"]
    )
    assert (tmp_path / "probes.png").read_bytes().startswith(b"\x89PNG")


def test_full_fine_tuning_stands_beside_and_is_not_made_twice(arms, accelerator, tmp_path, monkeypatch):
    tune = FineTuneConfig(learning_rate=0.01, epochs=1, batch_size=8, slice_share=0.0)
    config = ProbeConfig(kinds=("full",), shares=(0.5,), seeds=1, tune=tune)
    material = Material("sides", without_head(TASK), pictures(16), pictures(6, seed=1), ("left", "right"))
    start = partial(probe, arms, TASK, material, config, tmp_path, accelerator=accelerator)
    result = start()
    cells = result["shares"][0.5]["cells"]["full"]
    assert list(cells) == [TRAINED, FRESH]
    assert cells[TRAINED]["figure"] == cells[FRESH]["figure"]  # one shape and one seed
    assert cells[FRESH]["gain"] == (0.0, 0.0, 0.0)
    assert (tmp_path / "share-0.5" / "fresh-weights-0" / "trial.json").exists()
    monkeypatch.setattr("selfsup.finetuning.trial.fine_tune", None)
    assert start()["shares"] == result["shares"]


def test_what_cannot_be_probed_is_refused(arms, tiny_pair_config, tiny_tokenizer, accelerator, tmp_path):
    turns = Task(Rotation, (Accuracy,), (), name="turns")
    with pytest.raises(ValueError, match=r"a task with one label for each example is wanted, .* turns learns by Rot"):
        check_probed(turns, arms[TRAINED], ProbeConfig())
    several = Task(partial(ImageClassification, multi_label=True), (Accuracy,), (), name="several")
    with pytest.raises(ValueError, match="a task with one label for each example is wanted"):
        without_head(several)
    blind = Learner(tiny_pair_config, tiny_tokenizer)
    with pytest.raises(ValueError, match=r"a model that reads pictures is wanted for sides, but .* reads text"):
        check_probed(TASK, blind, ProbeConfig())
    words = Task(Classification, (Accuracy,), (), name="words")
    with pytest.raises(ValueError, match=r"a model that reads text is wanted for words, but .* reads pictures"):
        check_probed(words, arms[TRAINED], ProbeConfig())
    with pytest.raises(ValueError, match="this one is an encoder-decoder"):
        open_body(blind)
    nothing = Material("sides", without_head(TASK), pictures(4), [], ("left", "right"))
    with pytest.raises(ValueError, match="none are held out"):
        probe(arms, TASK, nothing, ProbeConfig(), tmp_path, accelerator=accelerator)
    for wrong, said in (({"shares": (0.0,)}, "above 0 and at most 1"), ({"kinds": ()}, "at least one kind of probe"),
                        ({"seeds": 0}, "--seeds must be at least 1")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            ProbeConfig(**wrong)
    tall = ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=8,
                     patch_size=4, num_channels=1)  # fmt: skip
    open_body(arms[TRAINED]).save_pretrained(tmp_path / "short")
    tall.save_pretrained(tmp_path / "short")
    with pytest.raises(ValueError, match=r"weights of the whole body were wanted, but .* lacks 16 of them"):
        open_body(Learner(str(tmp_path / "short"), plain_processor(8, 8)))


def test_the_command_fine_tunes_by_the_objective_that_was_given(monkeypatch, tmp_path):
    main = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "probe.py"))["main"]
    seen: list[Supervised] = []
    for name, other in {
        "start": lambda *args, **options: SimpleNamespace(print=print, is_main_process=False),
        "open_learner": lambda *args, **options: None,
        "check_probed": lambda task, *args: task,
        "open_material": lambda *args, **options: None,
        "probe": lambda arms, task, *args, **options: seen.append(task.objective()),
    }.items():
        monkeypatch.setitem(main.__globals__, name, other)
    given = ImageClassification(label_smoothing=0.3)
    main("digits", "none", tmp_path, probes=ProbeConfig(kinds=("full",)), objective=given)
    assert [vars(one) for one in seen] == [vars(given)]
    with pytest.raises(ValueError, match=r"add full to --probes\.kinds"):
        main("digits", "none", tmp_path, objective=given)

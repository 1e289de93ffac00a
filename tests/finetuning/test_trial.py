"""One trial: kept and not made again, refused where it is another one; and which weights it starts from."""

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    RobertaConfig,
    RobertaForMaskedLM,
)

from selfsup.finetuning import trial as trials
from selfsup.finetuning.figures import Scorer
from selfsup.finetuning.learner import Learner, build_learner, open_learner, strange_head
from selfsup.finetuning.trial import RECORD, repetitions, run_trial
from selfsup.metrics import F1, Accuracy
from selfsup.models.encoder_decoder import TextEncoderDecoderForSeq2SeqLM
from selfsup.objectives import AnswerSpan, Classification, SequenceToSequence, Tagging
from selfsup.task import Task
from selfsup.training.export import export


@pytest.fixture
def learner(pretrained) -> Learner:
    return open_learner(str(pretrained))


@pytest.fixture
def start(learner, cats, about_cats, quick, accelerator, tmp_path):
    """Runs a trial in a folder; anything may be given otherwise."""

    def run(folder: Path = tmp_path / "trial", **changes):
        options = {
            "learner": learner, "task": cats, "examples": about_cats(32), "held_out": about_cats(7, seed=1),
            "config": quick, "labels": ("no", "yes"), "seed": 0, "accelerator": accelerator,
        } | changes  # fmt: skip
        return run_trial(folder=folder, **options)

    return run


@pytest.fixture
def no_learning(monkeypatch):
    """From now on whoever learns fails."""

    def poison():
        def refuse(*args, **options):
            raise AssertionError("it was learnt again")

        monkeypatch.setattr(trials, "fine_tune", refuse)

    return poison


def test_a_kept_trial_is_given_back_and_nothing_is_learnt(start, no_learning, tmp_path):
    first = start()
    no_learning()
    again = start()
    assert again == first
    assert len(first.conclusions) == 7
    assert set(first.conclusions) <= {"no", "yes"}
    assert first.figures["accuracy"] == sum(a == b for a, b in zip(first.conclusions, held_out(7), strict=True)) / 7
    assert first.learnt == 32
    lines = (tmp_path / "trial" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["prediction"] for line in lines] == first.conclusions
    curve = [json.loads(line) for line in (tmp_path / "trial" / "curves.jsonl").read_text().splitlines()]
    assert curve == first.curve
    assert [line["best"] for line in curve] == [1]


def test_seconds_of_before_a_stop_count_and_older_trials_get_some(start, no_learning, tmp_path, monkeypatch):
    lines = [{"epoch": 1, "step": 4, "train_loss": 0.5, "best": 0, "seconds": 500.0},
             {"epoch": 2, "step": 8, "train_loss": 0.4, "best": 1, "seconds": 1000.0}]  # fmt: skip
    monkeypatch.setattr(trials, "fine_tune", lambda *args, **options: lines)
    assert start().seconds == pytest.approx(1000, abs=100)
    no_learning()
    record = json.loads((tmp_path / "trial" / RECORD).read_text())
    for line in record["curve"]:
        del line["seconds"]
    (tmp_path / "trial" / RECORD).write_text(json.dumps(record | {"seconds": 80.0}))
    assert [line["seconds"] for line in start().curve] == [40, 80]


def held_out(number: int) -> list[str]:
    return ["no" if place % 3 else "yes" for place in range(number)]


def test_another_trial_in_the_same_folder_is_refused_by_name(
    start, quick, about_cats, untrained, learner, pretrained, tmp_path
):
    start()
    retaught = deepcopy(learner.processor)
    retaught.add_tokens(["spoon"])
    reshaped = shutil.copytree(pretrained, tmp_path / "reshaped")
    config = json.loads((reshaped / "config.json").read_text())
    (reshaped / "config.json").write_text(json.dumps(config | {"pooling": "first"}))
    before = {file.name: file.read_bytes() for file in (tmp_path / "trial").iterdir()}
    for change, named in (
        ({"config": replace(quick, learning_rate=0.02, epochs=3)}, "--tune.learning_rate, --tune.epochs"),
        ({"config": replace(quick, model={"dropout": 0.1})}, "--tune.model"),
        ({"seed": 1}, "seed"),
        ({"task": Task(partial(Classification, loss="squared_error"), (Accuracy,), ())}, "objective"),
        ({"task": Task(Classification, (F1,), ())}, "metrics"),
        ({"examples": about_cats(33)}, "examples"),
        ({"held_out": about_cats(8, seed=1)}, "held_out"),
        ({"learner": untrained}, "model"),
        ({"learner": replace(learner, start=str(reshaped))}, "model"),
        ({"learner": replace(learner, processor=retaught)}, "tokenizer"),
        ({"labels": ("no", "yes", "perhaps")}, "labels"),
        ({"accelerator": SimpleNamespace(mixed_precision="bf16")}, "precision"),
    ):
        with pytest.raises(ValueError, match=f"trial holds a trial already, with other {named}: choose another output"):
            start(**change)
    assert {file.name: file.read_bytes() for file in (tmp_path / "trial").iterdir()} == before


def test_a_killed_trial_is_made_anew(start, tmp_path):
    """What is written last stands for all: without it nothing of the rest is believed."""
    first = start()
    folder = tmp_path / "trial"
    for harm in (
        lambda: (folder / RECORD).unlink(),
        lambda: (folder / RECORD).write_text('{"asked": {"mod'),
    ):
        (folder / "predictions.jsonl").write_text('{"prediction": "half')
        harm()
        again = start()
        assert (again.conclusions, again.figures) == (first.conclusions, first.figures)
        assert json.loads((folder / RECORD).read_text())["figures"] == first.figures
    assert not (folder / f".{RECORD}").exists()


def test_labels_may_hold_any_sign(start, about_cats, no_learning):
    """U+2028 and U+0085 end lines for `splitlines`, and stand in texts that people ask questions about."""
    named = {"no": "n\u2028o", "yes": "y\x85e\ns"}
    examples, others = (
        [{**example, "label": named[example["label"]]} for example in about_cats(number)] for number in (32, 7)
    )
    given = {"examples": examples, "held_out": others, "labels": tuple(named.values())}
    first = start(**given)
    no_learning()
    assert start(**given).conclusions == first.conclusions
    assert set(first.conclusions) <= set(named.values())


def test_a_task_made_of_functions_is_the_same_task_next_time(start, no_learning, tmp_path):
    def task():
        return Task(lambda: Classification(), (lambda: Accuracy(),), ())

    assert repr(task()) != repr(task()), "they hold addresses"
    first = start(task=task())
    no_learning()
    assert start(task=task()) == first


def test_the_slice_chooses_and_is_not_learnt_from(start, about_cats, quick, monkeypatch):
    seen: dict[str, list] = {}
    fine_tune = trials.fine_tune

    def spied(model, objective, examples, config, **options):
        seen.update(examples=examples, held_back=options["held_back"])
        return fine_tune(model, objective, examples[:8], config, **options | {"held_back": options["held_back"][:8]})

    monkeypatch.setattr(trials, "fine_tune", spied)
    examples = [{**example, "id": number} for number, example in enumerate(about_cats(500))]
    found = start(examples=examples, config=replace(quick, slice_share=0.1))
    assert (len(seen["examples"]), len(seen["held_back"]), found.learnt) == (450, 50, 450)
    assert sorted(example["id"] for part in seen.values() for example in part) == list(range(500))
    assert {"slice_loss", "slice_accuracy"} <= found.curve[0].keys()


def test_a_kept_model_opens_and_concludes_the_same(start, about_cats, tmp_path, tiny_tokenizer, no_learning):
    first = start(keep_model=True)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "trial" / "model").eval()
    assert model.config.id2label == {0: "no", 1: "yes"}
    texts = [example["text"] for example in about_cats(7, seed=1)]
    with torch.no_grad():
        logits = [model(**tiny_tokenizer(text, return_tensors="pt")).logits for text in texts]
    assert [model.config.id2label[int(row.argmax())] for row in logits] == first.conclusions
    no_learning()
    assert start(keep_model=True) == first
    (tmp_path / "trial" / "model" / "config.json").unlink()
    with pytest.raises(AssertionError, match="learnt again"):
        start(keep_model=True)


# What a learner starts from.


def body_of(model) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.state_dict().items() if name.startswith(model.base_model_prefix)}


def test_the_body_is_the_learners_and_the_head_is_fresh_and_seeded(learner, pretrained):
    objective = Classification()
    one, again, other = (build_learner(learner, objective, ("no", "yes"), seed=seed) for seed in (1, 1, 2))
    stored = load_file(pretrained / "model.safetensors")
    for model in (one, other):
        assert all(torch.equal(value, stored[name]) for name, value in body_of(model).items())
    assert one.classifier.weight.equal(again.classifier.weight)
    assert not one.classifier.weight.equal(other.classifier.weight)
    assert one.config.id2label == {0: "no", 1: "yes"}
    assert (one.config.label2id, one.config.problem_type) == ({"no": 0, "yes": 1}, "single_label_classification")


@pytest.fixture
def classified(pretrained, tiny_tokenizer, tmp_path):
    """Folder of a model that tells apart some labels already."""

    def made(*labels: str, auto=AutoModelForSequenceClassification) -> Path:
        names = {"id2label": dict(enumerate(labels)), "label2id": {name: n for n, name in enumerate(labels)}}
        torch.manual_seed(5)
        export(auto.from_pretrained(pretrained, **names), tiny_tokenizer, tmp_path / "classified")
        return tmp_path / "classified"

    return made


@pytest.mark.parametrize("known", [("a", "b", "c"), ("b", "a"), ("yes", "no")])
def test_a_head_for_other_labels_starts_afresh(classified, known):
    """Of another number, of other names, or in another order."""
    start = classified(*known)
    learner = open_learner(str(start))
    model = build_learner(learner, Classification(), ("no", "yes"), seed=0)
    stored = load_file(start / "model.safetensors")
    assert strange_head(learner, Classification(), ("no", "yes")) == known
    assert model.classifier.weight.shape == (2, 16)
    assert not any(torch.equal(row, old) for row in model.classifier.weight for old in stored["classifier.weight"])
    assert all(torch.equal(value, stored[name]) for name, value in body_of(model).items())
    assert not any(value.isnan().any() for value in model.state_dict().values())


@pytest.mark.parametrize("known", [("no", "yes"), ("LABEL_0", "LABEL_1")])
def test_a_head_for_the_same_labels_goes_on(classified, known):
    """So does one whose labels nobody named."""
    start = classified(*known)
    learner = open_learner(str(start))
    model = build_learner(learner, Classification(), ("no", "yes"), seed=0)
    stored = load_file(start / "model.safetensors")
    assert strange_head(learner, Classification(), ("no", "yes")) == ()
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())
    assert model.config.id2label == {0: "no", 1: "yes"}


def test_a_head_of_another_kind_is_no_head(classified):
    learner = open_learner(str(classified("a", "b", auto=AutoModelForTokenClassification)))
    assert strange_head(learner, Classification(), ("no", "yes")) == ()
    assert strange_head(learner, Tagging(), ("no", "yes")) == ("a", "b")
    assert strange_head(learner, AnswerSpan(), ("start", "end")) == ()


def test_a_body_without_weights_is_refused(pretrained, tiny_tokenizer, tmp_path):
    for file in pretrained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(pretrained / "model.safetensors")
    lost = [name for name in weights if ".blocks.1." in name]
    save_file({name: value for name, value in weights.items() if name not in lost}, tmp_path / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    sentence = (
        rf"weights of the whole body were wanted, but .* lacks {len(lost)} of them, encoder.blocks.1.* among them"
    )
    with pytest.raises(ValueError, match=sentence):
        build_learner(open_learner(str(tmp_path)), Classification(), ("no", "yes"), seed=0)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="holds a shape and no weights: add --scratch true"):
        open_learner(str(tmp_path))
    assert open_learner(str(tmp_path), scratch=True)


def test_a_body_of_another_shape_is_refused(learner, untrained):
    """Weights that do not fit would be those of chance, and nobody would know."""
    fields = {"intermediate_size": 8}
    sentence = r"whole body were wanted, but 4 of them have another shape in .*, encoder.blocks.0.feed_forward"
    with pytest.raises(ValueError, match=sentence):
        build_learner(learner, Classification(), ("no", "yes"), seed=0, fields=fields)
    scratch = build_learner(untrained, Classification(), ("no", "yes"), seed=0, fields=fields)
    assert scratch.config.intermediate_size == 8


def test_a_writer_of_another_shape_is_refused_whole(tiny_pair_config, tiny_tokenizer, tmp_path):
    tiny_pair_config.copy_gate = True
    export(TextEncoderDecoderForSeq2SeqLM(tiny_pair_config), tiny_tokenizer, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["copy.key.weight"] = weights["copy.key.weight"].repeat(1, 2)  # as an older pointer had it
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"whole model were wanted, but 1 of them have .*copy\.key\.weight among"):
        build_learner(open_learner(str(tmp_path)), SequenceToSequence(), (), seed=0)


def test_from_scratch_it_has_the_shape_and_fresh_weights_of_32_bits(pretrained, learner):
    scratch: Any = open_learner(str(pretrained), scratch=True)
    scratch.start.dtype = torch.bfloat16  # as a folder says that was saved in 16 bits
    fresh, trained = (build_learner(one, Classification(), ("no", "yes"), seed=0) for one in (scratch, learner))
    assert {name: value.shape for name, value in fresh.state_dict().items()} == {
        name: value.shape for name, value in trained.state_dict().items()
    }
    assert {value.dtype for value in fresh.state_dict().values()} == {torch.float32}
    name = "encoder.blocks.0.attention.output.weight"
    assert not fresh.state_dict()[name].equal(trained.state_dict()[name])
    assert scratch.start.id2label != fresh.config.id2label, "the learner itself stays as it is"
    assert scratch.fingerprint() != learner.fingerprint()


def test_a_run_is_opened_by_its_model(pretrained, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model").symlink_to(pretrained)
    found = open_learner(str(tmp_path / "run"))
    assert found.start == str(tmp_path / "run" / "model")
    assert found.fingerprint() == open_learner(str(pretrained)).fingerprint()


def test_a_shape_is_the_same_one_in_another_folder(pretrained, tmp_path):
    moved = shutil.copytree(pretrained, tmp_path / "moved")
    one, other = (open_learner(str(folder), scratch=True) for folder in (pretrained, moved))
    assert one.fingerprint() == other.fingerprint()


def test_fields_of_the_configuration_can_be_set_and_wrong_ones_are_named(learner, untrained):
    for one in (learner, untrained):
        model = build_learner(one, Classification(), ("a", "b"), seed=0, fields={"dropout": 0.25})
        assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.25}
        with pytest.raises(ValueError, match=r"--tune.model names droput, but the configuration .* has no such field"):
            build_learner(one, Classification(), ("a", "b"), seed=0, fields={"droput": 0.25})


def test_roberta_reads_two_tokens_less_than_it_has_positions(tiny_tokenizer, cats, about_cats, quick, accelerator,
                                                            tmp_path):  # fmt: skip
    """Also after its model was kept: texts are longer than 14 tokens, and a position too far is an error."""
    from transformers import AutoTokenizer

    config = RobertaConfig(vocab_size=384, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                           intermediate_size=8, max_position_embeddings=16, type_vocab_size=1)  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer.name_or_path)
    tokenizer.model_max_length = 14
    RobertaForMaskedLM(config).save_pretrained(tmp_path / "roberta")
    learner = Learner(str(tmp_path / "roberta"), tokenizer)
    long = [{**example, "text": example["text"] * 3} for example in about_cats(8)]
    for seed in range(2):
        folder = tmp_path / str(seed)
        run_trial(learner, cats, long, long, quick, folder, labels=("no", "yes"), seed=seed, accelerator=accelerator,
                  keep_model=True)  # fmt: skip
        assert AutoTokenizer.from_pretrained(folder / "model").model_max_length == tokenizer.model_max_length == 14


def test_a_metric_that_looks_for_a_label_that_is_not_there_is_refused(network):
    _, objective = network()
    assert Scorer(Task(Classification, (partial(F1, positive="yes"),), ()), objective).metrics[0].labels == [
        "no",
        "yes",
    ]
    with pytest.raises(
        ValueError, match="F1 looks for the label 'equivalent', but the labels are no, yes: call them so"
    ):
        Scorer(Task(Classification, (partial(F1, positive="equivalent"),), ()), objective)


def test_the_main_figure_comes_first_and_tallies_add_up_to_it(network):
    _, objective = network()
    score = Scorer(Task(Classification, (partial(F1, positive="yes"), Accuracy), ()), objective)
    conclusions, examples = ["yes", "yes", "no", "no"], [{"label": label} for label in ("yes", "no", "no", "yes")]
    figures = score(conclusions, examples)
    assert next(iter(figures)) == "f1"
    assert (figures["f1"], figures["accuracy"]) == (0.5, 0.5)
    assert score.figure(score.tallies(conclusions, examples).sum(axis=0)) == 0.5


def test_a_bert_of_no_training_has_its_own_fingerprint(tiny_tokenizer):
    shapes = [BertConfig(hidden_size=size, num_attention_heads=1) for size in (8, 8, 16)]
    one, same, other = (Learner(shape, tiny_tokenizer).fingerprint() for shape in shapes)
    assert one == same != other


def test_seeds_are_counted_from_0_and_none_is_refused():
    assert list(repetitions(3)) == [0, 1, 2]
    with pytest.raises(ValueError, match="--seeds must be at least 1, but 0 came"):
        repetitions(0)

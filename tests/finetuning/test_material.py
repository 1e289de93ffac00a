"""Examples are read, labelled in an order that the model knows, and looked at before anything is learnt."""

import json
from functools import partial

import pytest
from transformers import AutoModelForSequenceClassification

from selfsup.examples import DataChoice
from selfsup.finetuning.figures import Scorer
from selfsup.finetuning.learner import Learner, open_learner
from selfsup.finetuning.material import open_material
from selfsup.metrics import F1, SpanF1, Squad
from selfsup.objectives import AnswerSpan, Classification, Tagging
from selfsup.task import Task
from selfsup.training.export import export


@pytest.fixture
def choice(about_cats, tmp_path):
    """Files of 30 and 9 examples; with `bad`, that line of the second is something else."""

    def made(bad: dict | None = None, **options) -> DataChoice:
        for name, number in (("train", 30), ("held_out", 9)):
            rows = about_cats(number, seed=number)
            if bad and name == "held_out":
                rows[4] = bad
            (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return DataChoice(train=str(tmp_path / "train.jsonl"), held_out=str(tmp_path / "held_out.jsonl"), **options)

    return made


def test_tags_that_mark_no_spans_are_refused_before_learning(network):
    _, objective = network(Tagging(), ("DET", "NOUN"))
    with pytest.raises(ValueError, match=r"tags that mark spans are wanted .* but 'DET' came"):
        Scorer(Task(Tagging, (SpanF1,), (), name="entities"), objective)


def test_what_is_read_is_said(cats, choice, untrained):
    said: list[str] = []
    found = open_material(cats, choice(), untrained, say=said.append)
    assert (found.name, len(found.train), len(found.held_out)) == ("cats", 30, 9)
    assert found.labels == ("no", "yes")
    assert said[0].startswith("cats: 30 examples of ")
    assert said[0].endswith(" to learn from, 9 to score on")
    assert found.bound(untrained).label_ids == {"no": 0, "yes": 1}


@pytest.mark.parametrize(
    ("known", "labels", "says"),
    [
        (("yes", "no"), ("yes", "no"), False),  # the same in another order: that of the model
        (("no", "yes"), ("no", "yes"), False),
        (("a", "b", "c"), ("no", "yes"), True),
        (("up", "down"), ("no", "yes"), True),
        (("axis 0", "axis 1", "axis 2"), ("no", "yes"), True),  # of contrastive learning: nobody reads those
    ],
)
def test_labels_that_a_model_knows_keep_its_order_and_a_fresh_head_is_said(
    cats, choice, pretrained, tiny_tokenizer, tmp_path, known, labels, says
):
    names = {"id2label": dict(enumerate(known)), "label2id": {name: number for number, name in enumerate(known)}}
    export(AutoModelForSequenceClassification.from_pretrained(pretrained, **names), tiny_tokenizer, tmp_path / "model")
    learner = open_learner(str(tmp_path / "model"))
    said: list[str] = []
    found = open_material(cats, choice(), learner, say=said.append)
    assert found.labels == labels
    assert found.bound(learner).label_ids == {name: number for number, name in enumerate(labels)}
    told = "views" if known[0].startswith("axis") else ", ".join(known)
    sentence = f"model has a head for {told}; here it is no, yes, so the head starts afresh"
    assert [line.endswith(sentence) for line in said if "afresh" in line] == [True] * says


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (
            {"text": "The cat hid.", "label": "maybe"},
            "a label was wanted that is one of no, yes, as in the rows to learn from, but 'maybe' came",
        ),
        ({"text": " ", "label": "no"}, "text was wanted in 'text', but it is empty"),
    ],
)
def test_a_row_that_is_none_is_refused_by_its_number_or_left_out(cats, choice, untrained, bad, sentence):
    with pytest.raises(ValueError, match=f"line 5 of held_out.jsonl: {sentence}; correct the row, or leave"):
        open_material(cats, choice(bad), untrained)
    said: list[str] = []
    found = open_material(cats, choice(bad, skip_bad_rows=True), untrained, say=said.append)
    assert len(found.held_out) == 8
    assert any(line.endswith(f"1 x {sentence}, first line 5 of held_out.jsonl") for line in said)


def test_a_question_that_is_cut_is_counted_and_named(untrained, tmp_path):
    """Neither refused nor passed over in silence."""
    rows = [{"question": "who?", "context": "the cat hid", "answers": {"text": ["cat"], "answer_start": [4]}}] * 4
    rows[2:] = [rows[0] | {"question": "who " * 99}] * 2
    for name in ("train", "held_out"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        rows = rows[:2]
    said: list[str] = []
    task = Task(partial(AnswerSpan, window=32, stride=8), (Squad,), (), name="asked")
    choice = DataChoice(train=str(tmp_path / "train.jsonl"), held_out=str(tmp_path / "held_out.jsonl"))
    assert len(open_material(task, choice, untrained, say=said.append).train) == 4
    cut = [line for line in said if "not read as they came" in line]
    assert len(cut) == 1
    assert "came: 2, first line 3 of train.jsonl: a question of " in cut[0]
    assert cut[0].endswith(" tokens was cut to 16")


def test_a_metric_that_does_not_fit_is_refused_before_anything_is_learnt(choice, untrained):
    task = Task(Classification, (lambda: F1(positive="equivalent"),), ())
    with pytest.raises(ValueError, match="F1 looks for the label 'equivalent', but the labels are no, yes"):
        open_material(task, choice(), untrained)


def test_the_shape_of_a_learner_is_not_written_to(cats, choice, tiny_config, tiny_tokenizer):
    before = tiny_config.to_dict()
    open_material(cats, choice(), Learner(tiny_config, tiny_tokenizer), say=lambda line: None)
    assert tiny_config.to_dict() == before

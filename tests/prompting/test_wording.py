"""A prompt, word for word, and templates and verbalisers that cannot be used."""

from functools import partial

import pytest

from selfsup.metrics import Accuracy
from selfsup.objectives import Classification, Tagging
from selfsup.prompting.wording import Wording
from selfsup.task import Prompt, Task

FILMS = Task(
    Classification,
    (Accuracy,),
    (),
    prompt=Prompt(
        "First: {text}\nSecond: {text_pair}\nThe same: {label}",
        "Do both mean the same?",
        {"equivalent": "yes"},
    ),
    name="films",
)
LABELS = ("equivalent", "not_equivalent")
A = {"text": "so {dull}", "text_pair": "how dull", "label": "equivalent"}
B = {"text": "a joy", "text_pair": "a bore", "label": "not_equivalent"}


def changed(template: str = "{text} is {label}", **options) -> Task:
    return Task(Classification, (Accuracy,), (), prompt=Prompt(template, **options), name="films")


def test_a_prompt_word_for_word():
    wording = Wording(FILMS, LABELS)
    assert wording.context(B, [(A, "equivalent"), (B, "equivalent")]) == (
        "Do both mean the same?\n\n"
        "First: so {dull}\nSecond: how dull\nThe same: yes\n\n"
        "First: a joy\nSecond: a bore\nThe same: yes\n\n"
        "First: a joy\nSecond: a bore\nThe same:"
    )
    assert [wording.answer(label) for label in LABELS] == [" yes", " not equivalent"]
    assert wording.context(B, described=False) == "First: a joy\nSecond: a bore\nThe same:"
    assert wording.question(wording.content_free("N/A")) == "First: N/A\nSecond: N/A\nThe same:"


def test_the_answer_of_a_query_is_not_read():
    wording = Wording(FILMS, LABELS)
    assert wording.context(A) == wording.context({**A, "label": "not_equivalent"})


def test_space_before_an_answer_belongs_to_it():
    wording = Wording(changed("{text}\n({label}"), ("good", "bad"))
    assert (wording.question(A), wording.answer("bad")) == ("so {dull}\n(", "bad")
    wording = Wording(changed("{text}\n{label}"), ("good", "bad"))
    assert (wording.question(A), wording.answer("bad")) == ("so {dull}", "\nbad")


def test_a_prompt_for_once_stands_for_that_of_the_task():
    wording = Wording(FILMS, LABELS, Prompt("{text}? {label}"))
    assert wording.context(A, [(B, "equivalent")]) == "a joy? equivalent\n\nso {dull}?"


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (Task(Classification, (Accuracy,), (), name="bare"), "a task with a prompt is wanted, but bare has none"),
        (changed("{review} is {label}"), r"films has the fields text, label, text_pair.*, but {review} came"),
        (changed("{} is {label}"), r"but {} came"),
        (changed("{text:>10} is {label}"), r"names roles as they are, as in {text}, but {text:>10} came: leave the r"),
        (changed("{text!r} is {label}"), r"but {text!r} came"),
        (changed("{text} is {label!s:9}"), r"as in {label}, but {label!s:9} came"),
        (
            changed("\ud800 {text} is {label}"),
            r"a prompt in Unicode is wanted, but it holds half a character, \\ud800, at",
        ),
        (
            changed(verbalisers={"good": "\u200b"}),
            r"words are wanted for the label good, but its verbaliser is '\\u200b'",
        ),
        (changed("{text is {label}"), r"the template '{text is {label}' cannot be read: write roles as {text}, and"),
        (changed("{text!} is {label}"), r"the template '{text!} is {label}' cannot be read: write roles as {text}"),
        (changed("{label}: {text}"), "a template ends with its answer"),
        (changed("{text} is {label}."), "a template ends with its answer"),
        (changed("{text} {label} {label}"), "put the answer last, once"),
        (changed("{text}"), "a template ends with its answer"),
        (changed(" {label}"), "says something before its answer"),
        (changed(verbalisers={"good": " "}), "words are wanted for the label good, but its verbaliser is ' '"),
        (changed(verbalisers={"good": "bad"}), "good and bad are both 'bad'"),
        (changed(verbalisers={"fine": "good"}), "stand for the labels good, bad, but fine came"),
        (
            Task(Tagging, (Accuracy,), (), prompt=Prompt("{words} {tags}"), name="names"),
            "answer is one label, or text, is wanted, but names asks for {tags}",
        ),
        (
            Task(partial(Classification, multi_label=True), (Accuracy,), (), prompt=Prompt("{text} {label}")),
            "but task asks for several labels at once",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(task, sentence):
    with pytest.raises(ValueError, match=sentence):
        Wording(task, ("good", "bad"))


def test_one_label_is_no_choice_and_roles_must_be_there():
    with pytest.raises(ValueError, match="two labels or more are wanted to choose from, but good came"):
        Wording(changed(), ("good",))
    with pytest.raises(ValueError, match=r"asks for {text_pair}, but an example has label, text alone"):
        Wording(FILMS, LABELS).question({"text": "so dull", "label": "equivalent"})

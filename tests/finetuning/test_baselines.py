"""What can be had without a network, worked out by hand."""

import pytest

from selfsup.finetuning.baselines import baseline, frequent_tags, sliding_window
from selfsup.objectives import AnswerSpan, Classification, SequenceToSequence, Tagging


def answered(*texts: str) -> list[dict]:
    """Questions whose answers are as long as these."""
    return [{"question": "", "context": text, "answers": {"text": [text], "answer_start": [0]}} for text in texts]


def test_the_most_frequent_label():
    name, guess = baseline(Classification(), [{"label": label} for label in ("a", "b", "b", "c")])
    assert name == "most frequent label"
    assert [guess({"text": "x"}), guess({"text": "y", "label": "a"})] == ["b", "b"]


def test_the_most_frequent_set_of_labels():
    examples = [{"label": label} for label in ([], ["a", "b"], ["a"], ["b", "a"], [])]
    examples.append({"label": ["b", "a", "b"]})
    assert baseline(Classification(multi_label=True), examples)[1]({}) == ["a", "b"]


def test_the_mean_of_numbers():
    class Numbers(Classification):
        roles = ("text", "number")

    name, guess = baseline(Numbers(), [{"number": number} for number in (1.0, 2.0, 6.0)])
    assert (name, guess({"number": 5.0})) == ("mean", 3.0)


def test_the_most_frequent_tag_of_each_word():
    examples = [
        {"words": ["the", "run", "was", "long"], "tags": ["DET", "NOUN", "VERB", "ADJ"]},
        {"words": ["we", "run", "home"], "tags": ["PRON", "VERB", "NOUN"]},
        {"words": ["run", "the", "mill"], "tags": ["VERB", "DET", "NOUN"]},
    ]
    name, guess = baseline(Tagging(), examples)
    assert name == "most frequent tag of each word"
    # Seen once: was VERB, long ADJ, we PRON, home NOUN, mill NOUN; so an unseen word is called a noun.
    assert guess({"words": ["the", "run", "zebra", "was"]}) == ["DET", "VERB", "NOUN", "VERB"]
    assert guess({"words": []}) == []
    twice = frequent_tags([{"words": ["a", "a", "b", "b"], "tags": ["X", "X", "X", "Y"]}])
    assert twice({"words": ["c"]}) == ["X"], "no word was seen once, so all count"


@pytest.mark.parametrize(
    ("question", "context", "wanted"),
    [
        ("Who sold the silver spoon?", "Rain fell all day. Miller sold the silver spoon. Nobody knew why.", "Miller"),
        ("What did the queen paint?", "The cat hid. It was noon. The queen did paint apples, they say.", "apples"),
        ("Where?", "Rome", "Rome"),
        ("What?", "", ""),
        ("What?", "...", ""),
    ],
)
def test_the_window_slides_to_where_the_words_of_the_question_stand(question, context, wanted):
    guess = sliding_window(answered("one", "two words", "three"))  # the median answer has one word
    found = guess({"question": question, "context": context})
    assert found == wanted
    assert found in context


def test_an_answer_is_as_long_as_the_median_one():
    guess = sliding_window(answered("a b", "c d", "e f g h i"))
    context = "Long ago the miller hid seven letters there. Others slept."
    assert guess({"question": "What was hid there by the miller?", "context": context}) == "seven letters"
    assert len(sliding_window([])({"question": "Who?", "context": "a b c d e"}).split()) == 3


def test_rare_words_of_the_question_weigh_more():
    """`of` stands everywhere, `harbour` once."""
    guess = sliding_window(answered("one"))
    context = "of left of. Then many others of sorts of things. Anna harbour."
    assert guess({"question": "Who of harbour?", "context": context}) == "Anna"


@pytest.mark.parametrize(
    ("objective", "example"),
    [
        (Classification(), {"text": "x", "label": "a"}),
        (Tagging(), {"words": ["x", "y"], "tags": ["A", "B"]}),
        (AnswerSpan(), answered("the miller")[0] | {"question": "who"}),
    ],
)
def test_answers_of_held_out_examples_are_not_looked_at(objective, example):
    guess = baseline(objective, [example])[1]
    without = {role: value for role, value in example.items() if role not in ("label", "tags", "answers")}
    assert guess(without) == guess(example)


class Parsed(Classification):
    roles = ("words", "heads", "relations")


def test_the_source_itself():
    name, guess = baseline(SequenceToSequence(), [{"source": "One and two.", "target": "Eins und zwei."}])
    assert (name, guess({"source": "Two."})) == ("copy of the source", "Two.")


TO_THE_RIGHT = [
    {"words": ["the", "old", "mills", "fell"], "heads": [3, 3, 4, 0], "relations": ["det", "amod", "nsubj", "root"]},
    {"words": ["rain", "fell"], "heads": [2, 0], "relations": ["nsubj", "root"]},
    {"words": ["go", "there"], "heads": [0, 1], "relations": ["root", "advmod"]},
]


def test_each_word_on_its_neighbour():
    """To the right: old, mills and rain, two of them subjects; to the left: there alone."""
    name, guess = baseline(Parsed(), TO_THE_RIGHT)
    assert name == "each word on its neighbour"
    assert guess({"words": ["a", "b", "c"]}) == "a nsubj+1 b nsubj+1 c root+0"
    left = baseline(Parsed(), TO_THE_RIGHT[2:])[1]
    assert left({"words": ["a", "b", "c"]}) == "a root+0 b advmod-1 c advmod-1"
    assert left({"words": ["a"]}) == "a root+0"
    assert baseline(Parsed(), [])[1]({"words": ["a", "b"]}) == "a dep+1 b dep+0"

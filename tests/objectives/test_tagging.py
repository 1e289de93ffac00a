"""Tags at first pieces: where the words lie in the running text, and what becomes of those that have no piece."""

import random

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from selfsup.data.collate import collate
from selfsup.objectives import Tagging
from selfsup.objectives.tagging import running_text
from selfsup.tokenization.encode import batch_encoder

TAGS = ["AUX", "PART", "PUNCT", "VERB"]
STOP = {"words": ["Do", "n't", "stop", "!"], "tags": ["AUX", "PART", "VERB", "PUNCT"], "text": "Don't stop!"}


def bound(tokenizer, config, examples=(STOP,), **arguments) -> Tagging:
    objective = Tagging(**arguments)
    names = objective.survey(list(examples))
    config.label2id = {name: number for number, name in enumerate(names)}
    config.id2label = dict(enumerate(names))
    objective.bind(tokenizer, config)
    return objective


def test_by_hand(wordpiece, tiny_config):
    objective = bound(wordpiece, tiny_config)
    row = objective.encode(STOP)
    assert row["input_ids"].tolist() == [2, 5, 6, 7, 8, 10, 3]  # don ' t stop !
    assert row["labels"].tolist() == [-100, 0, 1, -100, 3, 2, -100]
    assert row["first_pieces"].tolist() == [0, 1, 1, 0, 1, 1, 0]
    short = objective.encode({"words": ["stopped"], "tags": ["VERB"]})
    assert short["labels"].tolist() == [-100, 3, -100, -100]
    batch = collate([[row], [short]], padding=objective.padding)
    assert objective.counts(batch, "model") == {"tag": 5}
    logits = torch.randn(2, 7, 4, generator=torch.manual_seed(0))
    asked = logits[[0, 0, 0, 0, 1], [1, 2, 4, 5, 1]]
    wanted = cross_entropy(asked, torch.tensor([0, 1, 3, 2, 3]), reduction="sum")
    torch.testing.assert_close(objective.loss({"logits": logits}, batch, "model")["tag"], wanted)
    assert objective.predict({"logits": logits}, batch) == [asked[:4].argmax(1).tolist(), asked[4:].argmax(1).tolist()]
    assert objective.conclude(STOP, [[0, 1, 3, 2]]) == STOP["tags"] == objective.reference(STOP)


def test_words_without_a_piece_keep_their_place(wordpiece, tiny_config):
    usual = {"words": ["stop", "met", "."], "tags": ["VERB", "VERB", "PUNCT"]}
    example = {
        "words": ["can", "not", "\u200b", "stop"],
        "tags": ["AUX", "PART", "PUNCT", "VERB"],
        "text": "cannot \u200b stop",
    }
    objective = bound(wordpiece, tiny_config, [usual, example])
    row = objective.encode(example)
    assert row["input_ids"].tolist() == [2, 11, 8, 3]
    assert row["labels"].tolist() == [-100, TAGS.index("AUX"), TAGS.index("VERB"), -100]
    assert objective.conclude(example, [[0, 3]]) == ["AUX", "VERB", "PUNCT", "VERB"]  # the usual word, the usual sign
    assert len(objective.notes(example)) == 2
    assert "'not'" in objective.notes(example)[0]
    tiny_config.update(objective.findings())
    stranger = Tagging()
    stranger.bind(wordpiece, tiny_config)  # of a folder that was exported
    assert stranger.conclude(example, [[0, 3]]) == ["AUX", "VERB", "PUNCT", "VERB"]


def test_ids_are_those_of_the_running_text(tiny_tokenizer, tiny_config):
    text = "The miller's daughter — 👍🏽 — carried  seven letters (and a box)."
    words = [
        "The",
        "miller",
        "'s",
        "daughter",
        "—",
        "👍🏽",
        "—",
        "carried",
        "seven",
        "letters",
        "(",
        "and",
        "a",
        "box",
        ")",
        ".",
    ]
    example = {"words": words, "tags": ["AUX"] * len(words)}
    objective = bound(tiny_tokenizer, tiny_config, [example])
    encode = batch_encoder(tiny_tokenizer)
    assert objective.encode({**example, "text": text})["input_ids"].tolist()[1:-1] == encode([text])[0]
    assert objective.encode(example)["input_ids"].tolist()[1:-1] == encode([" ".join(words)])[0]


def test_no_word_falls_off_a_long_sentence(tiny_tokenizer, tiny_config):
    """What a word gets does not depend on the window it is asked in, so an oracle of pieces is right everywhere."""
    rng = random.Random(0)
    words = [rng.choice(["miller", "grey", "the", "box", ",", "."]) for _ in range(300)]
    example = {"words": words, "tags": ["AUX"] * 300}
    objective = bound(tiny_tokenizer, tiny_config, [{"words": TAGS, "tags": TAGS}])
    parts = objective.parts(example)
    assert len(parts) > 3
    rows = [objective.encode(part) for part in parts]
    assert max(len(row["input_ids"]) for row in rows) == 64
    assert sum(row["first_pieces"].sum() for row in rows) == 300
    batch = collate([[row] for row in rows], padding=objective.padding)
    oracle = one_hot(batch["input_ids"] % 4, 4).float()
    concluded = objective.conclude(example, objective.predict({"logits": oracle}, batch))
    whole, firsts = objective._first_pieces(example)
    assert concluded == [TAGS[i % 4] for i in whole[firsts]]
    middle = rows[1]["first_pieces"].nonzero()[0]
    assert middle.min() > 10  # what is asked has neighbours on both sides
    assert middle.max() < 54


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"words": ["a", "b"], "tags": ["AUX"]}, "a tag for each word was wanted, but 1 came for 2 words"),
        ({"words": [], "tags": []}, "words were wanted, but there are none"),
        ({"words": [" "], "tags": ["AUX"]}, "words were wanted, but there are none"),
        ({"words": ["a"], "tags": ["X"]}, "a tag was wanted that is one of AUX, PART, PUNCT, VERB, but 'X' came"),
    ],
)
def test_bad_examples_are_refused(wordpiece, tiny_config, example, message):
    with pytest.raises(ValueError, match=message):
        bound(wordpiece, tiny_config).check(example)


def test_balanced_weights_make_tags_count_alike(wordpiece, tiny_config):
    examples = [{"words": ["stop", "met", "in", "rome"], "tags": ["VERB", "VERB", "VERB", "PROPN"]}]
    objective = bound(wordpiece, tiny_config, examples, class_weights="balanced")
    torch.testing.assert_close(objective.factors, torch.tensor([4 / 2 / 1, 4 / 2 / 3]))  # PROPN, VERB
    batch = collate([[objective.encode(examples[0])]], padding=objective.padding)
    loss = objective.loss({"logits": torch.zeros(1, 6, 2)}, batch, "model")["tag"]
    assert loss.item() == pytest.approx(4 * np.log(2))
    with pytest.raises(ValueError, match="class_weights name NOUN, but the tags are PROPN, VERB"):
        bound(wordpiece, tiny_config, examples, class_weights={"NOUN": 2.0})


@pytest.mark.parametrize(
    ("words", "text", "joined"),
    [
        (["I", "do", "n't", "!"], "I don't!", "I don't!"),
        (["I", "do", "n't", "!"], None, "I do n't !"),
        (["a", "b"], " a \n  b ", "a \n  b"),
        (["de", "le", "pain", "."], "du pain.", "de le pain."),
        (["zu", "dem", "Haus", "."], "zum Haus.", "zu dem Haus."),
        (["``", "yes", "''", "she", "said"], '"yes" she said', "``yes '' she said"),
        (["20 000", "men"], "20 000  men", "20 000  men"),
        (["not", "in", "it"], "something else altogether", "not in it"),
        (["cut", "off", "early"], "cut of", "cut off early"),
        ([], "nothing", ""),
    ],
)
def test_white_space_is_where_the_text_has_it(words, text, joined):
    found, starts = running_text(words, text)
    assert found == joined
    assert [found[start : start + len(word)] for word, start in zip(words, starts, strict=True)] == words


def test_any_way_to_cut_a_text_gives_it_back():
    rng = random.Random(0)
    text = (
        "In  winter the baker's\tdaughter (who can't see) sold 3.5 e\u0301clairs, and 👍🏽 remembered.\nThen — nothing!"
    )
    for _ in range(50):
        cuts = sorted(rng.sample(range(1, len(text)), rng.randint(1, 40)))
        words = [part.strip() for part in map(lambda a, b: text[a:b], [0, *cuts], [*cuts, len(text)]) if part.strip()]
        assert running_text(words, text)[0] == text

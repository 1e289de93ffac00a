"""Written answers: the most probable words, the same in any batch, cut where an answer ends."""

import pytest
import torch

from selfsup.data.labelled import Table
from selfsup.data.tables import Place
from selfsup.metrics import Bleu, ExactMatch, Squad
from selfsup.objectives import AnswerSpan
from selfsup.prompting.demonstrations import Demonstrations
from selfsup.prompting.shots import BY_CHANCE, SHOWN, ShotConfig, interval, measure, open_metric, without_reading
from selfsup.prompting.wording import Wording
from selfsup.prompting.writer import NEW_TOKENS, Writer
from selfsup.task import Prompt, Task

ASKED = Task(AnswerSpan, (Squad,), (), prompt=Prompt("{question} is {answers}", separator=" ? "), name="asked")
QUERIES = [{"question": "now bado"}, {"question": "today very very dark feni"}, {"question": "soon"}]


def answered(table: Table) -> Table:
    """Names and colours as questions and answers of two words."""
    examples = [
        {"question": one["text"], "context": "-", "answers": {"text": [f"very {one['label']}"], "answer_start": [0]}}
        for one in table.examples
    ]
    return Table("asked", examples, table.places)


def test_words_are_those_of_a_plain_greedy_loop(gpt2, tokenizer):
    writer = Writer(gpt2, tokenizer, Wording(ASKED))
    found = writer.answer(QUERIES, [[]] * 3).texts
    for query, text in zip(QUERIES, found, strict=True):
        ids = tokenizer(f"{query['question']} is")["input_ids"]
        start = len(ids)
        for _ in range(NEW_TOKENS):
            with torch.no_grad():
                ids.append(int(gpt2(torch.tensor([ids])).logits[0, -1].argmax()))
        assert text == tokenizer.decode(ids[start:], skip_special_tokens=True).partition("?")[0].strip()
    assert len(set(found)) > 1


@pytest.mark.parametrize("batch_size", [1, 2])
def test_batch_size_changes_nothing(gpt2, tokenizer, batch_size):
    shown = [[(QUERIES[0], "dark")] * number for number in (3, 0, 1)]
    found = [
        Writer(gpt2, tokenizer, Wording(ASKED), batch_size=size).answer(QUERIES, shown) for size in (batch_size, 8)
    ]
    assert found[0].texts == found[1].texts


def test_answers_in_the_prompt_are_read(coloured, copier, tokenizer):
    pool, queries = answered(coloured(["now", "soon"])), answered(coloured(["today", "later"]))
    metric = open_metric(ASKED, ())
    rows: list[dict] = []
    config = ShotConfig((0, 2), orderings=3, demonstrations="nearest", control=True)
    writer = Writer(copier, tokenizer, Wording(ASKED))
    lines = measure(writer, metric, pool, queries, config, write=rows.append)
    figures = {(line.shots, line.arm): interval(metric, line)[0] for line in lines}
    assert figures[2, SHOWN] == 1
    assert figures[0, SHOWN] < 0.2, "red, and red, and red"
    assert figures[2, BY_CHANCE] < 0.9
    assert not {"label", "probabilities"} & rows[-1].keys()
    assert all((row["answer"] in row["answers"]) == (row["shots"] == 2) for row in rows if row["arm"] == SHOWN)
    assert without_reading(metric, pool, queries, ()) == {}


def test_a_target_is_written_as_answers_are(coloured, copier, tokenizer, monkeypatch):
    class Written(AnswerSpan):
        roles = ("source", "target")

    monkeypatch.setattr("selfsup.prompting.writer.TARGET_TOKENS", 24)  # the model has 64 positions
    task = Task(Written, (Bleu,), (), prompt=Prompt("{source} is {target}", separator=" ? "), name="written")
    pool, queries = (
        Table("t", [{"source": one["text"], "target": f"very {one['label']}"} for one in table.examples], table.places)
        for table in (coloured(["now", "soon"]), coloured(["today", "later"]))
    )
    rows: list[dict] = []
    writer = Writer(copier, tokenizer, Wording(task))
    assert writer.most == 24
    (line,) = measure(writer, ExactMatch(), pool, queries, ShotConfig((2,), 1, "nearest"), write=rows.append)
    assert interval(ExactMatch(), line)[0] == 1
    assert all(row["answer"] == row["target"] for row in rows)


@pytest.mark.parametrize(
    ("text", "answer"),
    [("very red ? soon", "very red"), ("red", "red"), ("? red", ""), ("red ? dark ? red", "red")],
)
def test_where_an_answer_ends(gpt2, tokenizer, text, answer):
    writer = Writer(gpt2, tokenizer, Wording(ASKED))
    assert writer._cut(tokenizer(text)["input_ids"]) == answer


def test_room_is_kept_for_an_answer(gpt2, tokenizer):
    """Of 64 positions 32 are kept; a demonstration has 5 tokens with its separator, the query 3."""
    writer = Writer(gpt2, tokenizer, Wording(ASKED))
    found = writer.answer(QUERIES[:1], [[(QUERIES[0], "red")] * 8])
    assert found.left_out == [2]  # 6 * 5 + 3 - 1 + 32 = 64
    with pytest.raises(ValueError, match="--batch_size 0 came"):
        Writer(gpt2, tokenizer, Wording(ASKED), batch_size=0)


def test_what_has_no_answer_is_shown_so_and_cannot_be_balanced(gpt2, tokenizer):
    wording = Wording(ASKED)
    silent = {"question": "now", "context": "-", "answers": {"text": [], "answer_start": []}}
    assert wording.context(QUERIES[2], [(silent, wording.right_answer(silent))]) == "now is unanswerable ? soon is"
    writer = Writer(gpt2, tokenizer, wording)
    writer._written = lambda rows: ["unanswerable"] * len(rows)  # type: ignore[method-assign]
    assert writer.answer(QUERIES[:1], [[]]).texts == [""]
    table = Table("t", [silent], [Place("row", 1, "t")])
    with pytest.raises(ValueError, match="answers, context, question alone: say --demonstrations random, or nearest"):
        Demonstrations("balanced", table.examples)

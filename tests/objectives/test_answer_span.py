"""Spans of answers: windows, places in characters, and no answer outside the text."""

import copy

import numpy as np
import pytest
import torch
from tokenizers import processors
from torch.nn.functional import cross_entropy

from selfsup.data.collate import collate
from selfsup.metrics import Squad
from selfsup.objectives import AnswerSpan

CONTEXT = "Ann met Bob in Rome."
EXAMPLE = {"question": "who met?", "context": CONTEXT, "answers": {"text": ["met Bob"], "answer_start": [4]}}
LONG = " ".join(f"the miller carried {number} letters to the queen." for number in range(60))


def bound(tokenizer, config, **arguments) -> AnswerSpan:
    objective = AnswerSpan(**arguments)
    objective.bind(tokenizer, config)
    return objective


def about(context: str, answer: str, question: str = "who carried it?") -> dict:
    return {"question": question, "context": context,
            "answers": {"text": [answer], "answer_start": [context.index(answer)]}}  # fmt: skip


def rows_of(objective, *examples):
    rows = [objective.encode(part) for example in examples for part in objective.parts(example)]
    return rows, collate([[row] for row in rows], padding=objective.padding)


def noise(batch, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = torch.manual_seed(seed)
    return {f"{edge}_logits": torch.randn(batch["input_ids"].shape, generator=rng) for edge in ("start", "end")}


def test_by_hand(wordpiece, tiny_config):
    objective = bound(wordpiece, tiny_config)
    [row], batch = rows_of(objective, EXAMPLE)
    assert row["input_ids"].tolist() == [
        2,
        12,
        16,
        13,
        3,
        14,
        16,
        15,
        17,
        18,
        19,
        3,
    ]  # who met ? | ann met bob in rome .
    assert row["token_type_ids"].tolist() == [0] * 5 + [1] * 7
    assert row["context_mask"].tolist() == [1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0]
    assert (row["start_positions"], row["end_positions"]) == (6, 7)
    assert objective.inputs(batch).keys() == {"input_ids", "token_type_ids"}
    outputs = noise(batch)
    outputs["start_logits"][0, 1] = outputs["end_logits"][0, -1] = 99.0  # in the question, at [SEP]: they count nothing
    allowed = [0, *range(5, 11)]
    wanted = [cross_entropy(outputs[f"{edge}_logits"][0, allowed], torch.tensor(allowed.index(at)))
              for edge, at in (("start", 6), ("end", 7))]  # fmt: skip
    torch.testing.assert_close(objective.loss(outputs, batch, "model")["answer"], sum(wanted) / 2)
    concluded = objective.conclude(EXAMPLE, objective.predict(outputs, batch))
    assert concluded["prediction_text"] in CONTEXT
    assert CONTEXT[concluded["start"] : concluded["stop"]] == concluded["prediction_text"]
    outputs["start_logits"][0, 6] = outputs["end_logits"][0, 7] = 50.0
    concluded = objective.conclude(EXAMPLE, objective.predict(outputs, batch))
    assert (concluded["prediction_text"], concluded["start"], concluded["stop"]) == ("met Bob", 4, 11)
    assert concluded["score"] == pytest.approx(100.0)
    assert objective.hits(outputs, batch, "model")["answer"] == 1
    assert objective.scored(concluded) in objective.reference(EXAMPLE)


@pytest.mark.parametrize("max_answer_length", [1, 3, 30])
def test_predictions_are_the_best_of_all_spans(tiny_tokenizer, tiny_config, max_answer_length):
    """Counted out one by one."""
    objective = bound(tiny_tokenizer, tiny_config, max_answer_length=max_answer_length, num_best=7)
    _, batch = rows_of(objective, about(LONG, "the queen"), about("a  box\n\nof bread", "bread"))
    outputs = noise(batch)
    for row, (null, spans) in enumerate(objective.predict(outputs, batch)):
        start, end, mask = outputs["start_logits"][row], outputs["end_logits"][row], batch["context_mask"][row]
        all_spans = [
            (i, j, float(start[i] + end[j]))
            for i in range(1, len(mask))
            for j in range(i, min(i + max_answer_length, len(mask)))
            if mask[i] and mask[j]
        ]
        wanted = sorted(all_spans, key=lambda span: -span[2])[:7]
        assert [span[:2] for span in spans] == [span[:2] for span in wanted]
        assert [span[2] for span in spans] == pytest.approx([span[2] for span in wanted])
        assert null == pytest.approx(float(start[0] + end[0]))


@pytest.mark.parametrize(("window", "stride"), [(None, 128), (40, 5), (32, 1000)])
def test_windows_cover_the_context_and_hold_every_answer_whole(tiny_tokenizer, tiny_config, window, stride):
    objective = bound(tiny_tokenizer, tiny_config, window=window, stride=stride, max_answer_length=10)
    example = about(LONG, "59 letters")
    rows, _ = rows_of(objective, example)
    size = window or 64
    assert {len(row["input_ids"]) for row in rows} == {size}
    question, context, windows = objective._layout(example)
    seen = np.zeros(len(context.ids), dtype=int)
    for here, row in zip(windows, rows, strict=True):
        seen[here] += 1
        assert np.array_equal(row["input_ids"][len(question) + 2 : -1], context.ids[here])
    assert seen.min() >= 1
    starts = np.array([here.start for here in windows])
    assert 0 < np.diff(starts).max() <= stride
    assert np.diff(starts).max() <= windows[0].stop - 10
    held = [row["start_positions"] > 0 for row in rows]
    assert 1 <= sum(held) < len(rows)
    for row in rows:
        if row["start_positions"]:
            answer = row["input_ids"][row["start_positions"] : row["end_positions"] + 1]
            assert tiny_tokenizer.decode(answer).strip() == "59 letters"
        else:
            assert row["end_positions"] == 0  # [CLS]


def test_a_span_in_two_windows_counts_once_with_its_best_score(tiny_tokenizer, tiny_config):
    objective = bound(tiny_tokenizer, tiny_config, window=40, stride=5, max_answer_length=10)
    example = about(LONG, "7 letters")
    rows, batch = rows_of(objective, example)
    outputs = {name: value - 20 for name, value in noise(batch).items()}
    held = [at for at, row in enumerate(rows) if row["start_positions"]]
    assert len(held) > 1
    for score, at in enumerate(held):
        outputs["start_logits"][at, rows[at]["start_positions"]] = score
        outputs["end_logits"][at, rows[at]["end_positions"]] = 0
    concluded = objective.conclude(example, objective.predict(outputs, batch))
    assert concluded["prediction_text"] == "7 letters"
    assert concluded["start"] == LONG.index("7 letters")
    assert concluded["score"] == len(held) - 1
    places = [(answer["start"], answer["stop"]) for answer in concluded["best"]]
    assert len(set(places)) == len(places) == objective.num_best
    assert [answer["score"] for answer in concluded["best"]] == sorted(
        (a["score"] for a in concluded["best"]), reverse=True
    )


def test_whatever_the_scores_no_answer_lies_outside_the_text_or_within_a_sign(tiny_tokenizer, tiny_config):
    context = "\n The cafe\u0301's  👨‍👩‍👧 family 👍🏽\u00a0sold ﬁve [SEP] boxes.\t "
    within = {at for at, char in enumerate(context) if char in "\u0301\u200d🏽" or context[at - 1] == "\u200d"}
    objective = bound(tiny_tokenizer, tiny_config, num_best=200, max_answer_length=60)
    example = {"question": "[SEP] what?", "context": context}
    _, batch = rows_of(objective, example)
    for seed in range(3):
        concluded = objective.conclude(example, objective.predict(noise(batch, seed), batch))
        assert len(concluded["best"]) > 50
        for answer in concluded["best"]:
            assert answer["text"] == context[answer["start"] : answer["stop"]] == answer["text"].strip() != ""
            assert not {answer["start"], answer["stop"]} & within


@pytest.mark.parametrize("answer", ["cafe\u0301", "👍🏽", "👨‍👩‍👧 family", "ﬁve", "[SEP]"])
def test_answers_of_odd_characters_are_found_again(tiny_tokenizer, tiny_config, answer):
    context = "The cafe\u0301's  👨‍👩‍👧 family 👍🏽\u00a0sold ﬁve [SEP] boxes."
    objective = bound(tiny_tokenizer, tiny_config, max_answer_length=60)
    example = about(context, answer, "what?")
    objective.check(example)
    rows, batch = rows_of(objective, example)
    outputs = {f"{edge}_logits": torch.zeros(batch["input_ids"].shape) for edge in ("start", "end")}
    for at, row in enumerate(rows):
        outputs["start_logits"][at, row["start_positions"]] += 9
        outputs["end_logits"][at, row["end_positions"]] += 9
    concluded = objective.conclude(example, objective.predict(outputs, batch))
    assert concluded["prediction_text"].removesuffix("'s") == answer


def test_rows_are_those_of_the_tokenizers_own_pairs(tiny_tokenizer, wordpiece, tiny_config):
    roberta = copy.deepcopy(wordpiece)
    roberta.backend_tokenizer.post_processor = processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2))
    assert roberta("who", "ann")["input_ids"] == [2, 12, 3, 3, 14, 3]
    for tokenizer in (tiny_tokenizer, wordpiece, roberta):
        [row], batch = rows_of(bound(tokenizer, tiny_config), EXAMPLE)
        pair = tokenizer(EXAMPLE["question"], CONTEXT, return_token_type_ids=True)
        assert row["input_ids"].tolist() == pair["input_ids"]
        if tokenizer is not roberta:  # which has no types
            assert row["token_type_ids"].tolist() == pair["token_type_ids"]
        first, last = row["start_positions"], row["end_positions"]
        assert tokenizer.decode(row["input_ids"][first : last + 1]).strip().lower() == "met bob"
        assert batch["context_mask"][0, len(pair["input_ids"]) - 2] == 1
        assert batch["context_mask"][0, -1] == 0


def test_a_long_question_is_cut_and_named(tiny_tokenizer, tiny_config):
    objective = bound(tiny_tokenizer, tiny_config)
    example = about(LONG, "the queen", question=LONG)
    rows, _ = rows_of(objective, example)
    assert max(len(row["input_ids"]) for row in rows) == 64
    assert (rows[0]["token_type_ids"] == 0).sum() == 32 + 2
    assert objective.notes(about(LONG, "the queen")) == []
    [note] = objective.notes(example)
    assert note.endswith("tokens was cut to 32")
    [note] = bound(tiny_tokenizer, tiny_config, max_question=2).notes(about(LONG, "the queen"))
    assert note.endswith("tokens was cut to 2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": " "}, "a question was wanted, but it is empty"),
        ({"context": ""}, "a context was wanted, but it is empty"),
        ({"answers": {"text": ["Bob"], "answer_start": []}}, "a start for each answer was wanted, but 0 came for 1"),
        ({"answers": {"text": [], "answer_start": []}}, "there is none: leave the question out or turn no_answer on"),
        ({"answers": {"text": [" "], "answer_start": [3]}}, "an answer was wanted, but it is empty"),
        ({"answers": {"text": ["Bob"], "answer_start": [7]}}, "but ' Bo' stands there; the answer stands at 8"),
        ({"answers": {"text": ["Eve"], "answer_start": [0]}}, "'Ann' stands there, and the answer is nowhere in it"),
        ({"answers": {"text": ["Ann"], "answer_start": [-20]}}, "character -20 of the context"),
        ({"answers": {"text": ["Bob", "Rome"], "answer_start": [8, 99]}}, "'Rome' was wanted at character 99"),
    ],
)  # fmt: skip
def test_bad_examples_are_refused(wordpiece, tiny_config, change, message):
    with pytest.raises(ValueError, match=message):
        bound(wordpiece, tiny_config).check(EXAMPLE | change)


def test_unanswerable_questions_are_left_unanswered(wordpiece, tiny_config):
    none = EXAMPLE | {"answers": {"text": [], "answer_start": []}}
    objective = bound(wordpiece, tiny_config, no_answer=True)
    objective.check(none)
    rows, batch = rows_of(objective, none, EXAMPLE)
    assert [int(row["start_positions"]) for row in rows] == [0, 6]
    scores = torch.full((2, 12), -9.0)
    scores[0, 0], scores[0, 5], scores[1, 0], scores[1, 6] = 2.0, 1.0, 2.0, 1.5
    predictions = objective.predict({"start_logits": scores, "end_logits": scores}, batch)
    concluded = [objective.conclude(EXAMPLE, [row]) for row in predictions]
    assert [answer["prediction_text"] for answer in concluded] == ["", ""]  # [CLS] scores 4 against 2 and 3
    objective.settle([none, EXAMPLE | {"answers": {"text": ["met"], "answer_start": [4]}}], concluded, Squad())
    assert objective.no_answer_threshold == 1.5
    tiny_config.update(objective.findings())
    stranger = bound(wordpiece, tiny_config)
    concluded = [stranger.conclude(EXAMPLE, [row]) for row in predictions]
    assert [answer["prediction_text"] for answer in concluded] == ["", "met"]
    assert concluded[0]["best"][0]["text"] == "Ann"  # what it would have been
    both = [EXAMPLE | {"answers": {"text": [text], "answer_start": [0]}} for text in ("Ann", "met")]
    stranger.settle(both, concluded, Squad())
    assert stranger.no_answer_threshold == 3.0  # other examples, another threshold: now both had better be answered
    fixed = bound(wordpiece, tiny_config, no_answer=True, no_answer_threshold=0.5)
    fixed.settle([none], concluded[:1], Squad())
    assert fixed.no_answer_threshold == 0.5  # chosen by hand


def test_what_is_not_said_stays_as_the_model_learnt_it(wordpiece, tiny_config):
    tiny_config.update({"answer_window": 32, "no_answer": True, "no_answer_threshold": 3.0})
    again = AnswerSpan()
    tiny_config.update(again.findings())  # as before a fine-tuning
    again.bind(wordpiece, tiny_config)
    assert (again.size, again.no_answer, again.no_answer_threshold) == (32, True, None)  # which is found anew
    assert again.findings() == {"answer_window": 32, "no_answer": True, "no_answer_threshold": None}


def test_settings_that_make_no_sense_are_refused(wordpiece, tiny_config):
    with pytest.raises(ValueError, match="stride of at least 1 is wanted, but 0 came"):
        AnswerSpan(stride=0)
    with pytest.raises(ValueError, match="a window of at least 16 tokens is wanted, but it has 8"):
        bound(wordpiece, tiny_config, window=8)

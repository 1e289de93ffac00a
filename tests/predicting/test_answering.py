"""Answers from a folder: ours, and one of transformers' own; the scores are made up, their handling is not."""

import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    BertConfig,
    BertForQuestionAnswering,
    BertTokenizerFast,
)

from selfsup.predicting.answering import Answer, QuestionAnswerer

CONTEXT = "Ann met Bob in Rome. " + "Bob met Ann. " * 30 + "Ann stopped in Rome!"
QUESTIONS = [
    {"question": "who met?", "context": "Ann met Bob in Rome."},
    {"question": "who stopped?", "context": CONTEXT},
    {"question": "in?", "context": "Rome"},
]
PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "ann",
    "bob",
    "met",
    "in",
    "rome",
    "stop",
    "##ped",
    "who",
    "?",
    "!",
    ".",
]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> str:
    """A random BertForQuestionAnswering."""
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(PIECES))
    BertTokenizerFast.from_pretrained(str(folder)).save_pretrained(folder)
    torch.manual_seed(0)
    shape = BertConfig(vocab_size=len(PIECES), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                       intermediate_size=16, max_position_embeddings=48, initializer_range=1.0)  # fmt: skip
    BertForQuestionAnswering(shape).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def ours(tiny_tokenizer, tiny_config, tmp_path) -> str:
    torch.manual_seed(0)
    tiny_config.initializer_range = 1.0
    AutoModelForQuestionAnswering.from_config(tiny_config).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


@pytest.fixture(params=["ours", "theirs"])
def answerer(request) -> QuestionAnswerer:
    return QuestionAnswerer.from_pretrained(request.getfixturevalue(request.param), device="cpu")


def test_answers_are_slices_and_do_not_depend_on_the_batch(answerer):
    found = answerer(QUESTIONS)
    for question, answer in zip(QUESTIONS, found, strict=True):
        assert question["context"][answer.start : answer.stop] == answer.text != ""
        assert 0 < answer.score <= 1
        alone = answerer(question, batch_size=1)
        assert (alone.text, alone.start) == (answer.text, answer.start)
        assert alone.score == pytest.approx(answer.score, abs=1e-4)
    assert list(answerer.stream(iter(QUESTIONS), batch_size=2)) == answerer(QUESTIONS, batch_size=2)
    assert answerer([]) == []


def test_the_best_answers_come_in_order_and_share_a_probability(answerer):
    [best] = answerer(QUESTIONS[1:2], num_best=10)
    assert len(best) == len({(answer.start, answer.stop) for answer in best}) == 10
    scores = [answer.score for answer in best]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) < 1
    assert best[0] == answerer(QUESTIONS[1])


def test_a_span_is_as_good_as_an_independent_count_says(theirs):
    """One row, all spans counted out from the logits of transformers' own class and tokenizer."""
    model, tokenizer = BertForQuestionAnswering.from_pretrained(theirs), BertTokenizerFast.from_pretrained(theirs)
    pair = tokenizer(
        QUESTIONS[0]["question"], QUESTIONS[0]["context"], return_tensors="pt", return_offsets_mapping=True
    )
    places = pair.pop("offset_mapping")[0].tolist()
    with torch.no_grad():
        output = model.eval()(**pair)
    start, end = output.start_logits[0], output.end_logits[0]
    inside = [at for at, kind in enumerate(pair["token_type_ids"][0].tolist()) if kind][:-1]
    spans = {(places[i][0], places[j][1]): float(start[i] + end[j]) for i in inside for j in inside if i <= j}
    best = max(spans, key=lambda span: spans[span])
    ranked = sorted(spans.values(), reverse=True)[:20]
    chances = torch.tensor([*ranked, float(start[0] + end[0])]).softmax(dim=0)
    answer = QuestionAnswerer.from_pretrained(theirs, device="cpu")(QUESTIONS[0])
    assert (answer.start, answer.stop) == best
    assert answer.score == pytest.approx(float(chances[0]), abs=1e-4)


def test_no_answer_stands_where_its_probability_puts_it(theirs):
    sure = QuestionAnswerer.from_pretrained(theirs, device="cpu", no_answer=True, no_answer_threshold=-1e9)
    assert sure(QUESTIONS[0]).text == ""
    assert (sure(QUESTIONS[0]).start, sure(QUESTIONS[0]).stop) == (0, 0)
    never = QuestionAnswerer.from_pretrained(theirs, device="cpu", no_answer=True, no_answer_threshold=1e9)
    [best] = never(QUESTIONS[:1], num_best=20)
    assert best[0].text != ""
    some = QuestionAnswerer.from_pretrained(theirs, device="cpu", num_best=99)(QUESTIONS[0], num_best=99)
    assert isinstance(some, list)
    assert len(some) == 6 * 7 / 2  # pieces of the context
    assert Answer("", 1.0, 0, 0).text not in [answer.text for answer in some]


def test_a_big_input_is_read_as_it_goes(theirs):
    taken = []

    def source():
        for number in range(1000):
            taken.append(number)
            yield QUESTIONS[0]

    stream = QuestionAnswerer.from_pretrained(theirs, device="cpu").stream(source(), batch_size=4)
    next(stream)
    assert len(taken) == 4


@pytest.mark.parametrize(
    ("questions", "options", "message"),
    [
        ([QUESTIONS[0], {"question": "who?"}], {}, "question 1: a context was wanted, but it is missing"),
        ({"question": " ", "context": "Ann"}, {}, "question 0: a question was wanted, but it is empty"),
        (QUESTIONS, {"num_best": 0}, "batch_size and num_best of at least 1 are wanted, but 32 and 0 came"),
        (QUESTIONS, {"num_best": 21}, "num_best of at most 20 is wanted, but 21 came: open the model with num_best=21"),
    ],
)
def test_what_cannot_be_answered_is_refused(theirs, questions, options, message):
    with pytest.raises(ValueError, match=message):
        QuestionAnswerer.from_pretrained(theirs, device="cpu")(questions, **options)


def test_a_model_that_never_learnt_it_is_refused(tiny_tokenizer, tiny_config, tmp_path):
    AutoModelForMaskedLM.from_config(tiny_config).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"lacks edges.bias: fine-tune it first"):
        QuestionAnswerer.from_pretrained(str(tmp_path))
    with pytest.raises(ValueError, match="a model that answers questions was wanted, but nowhere did not open"):
        QuestionAnswerer.from_pretrained("nowhere")

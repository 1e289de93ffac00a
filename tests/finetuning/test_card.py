"""A fine-tuned folder says what it is, how good, from where, and how to use it; and nothing of this machine."""

from dataclasses import replace
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from selfsup.finetuning.card import write_card
from selfsup.finetuning.material import Material
from selfsup.finetuning.usage import snippet
from selfsup.metrics import Accuracy
from selfsup.objectives import AnswerSpan, Classification, SequenceToSequence, Tagging
from selfsup.task import DataSet, Human, Task
from selfsup.training.card import readdress
from selfsup.training.export import export

KNOWN = (DataSet("nyu-mll/glue/mrpc", {}), DataSet("sick", {}), DataSet("a/local", {}, hub="b/there/small"))
MATERIAL = Material(
    "cats", Task(Classification, (Accuracy,), KNOWN, name="cats"), [{"text": "a", "label": "no"}], [], ("no", "yes"),
    Human(0.9, "Ann 2019"), KNOWN[0],
)  # fmt: skip
RESULT: dict[str, Any] = {
    "metric": "accuracy",
    "figure": (0.75, 0.7, 0.8),
    "baseline": ["most frequent label", 0.6],
    "figures": [{"accuracy": 0.72, "macro_f1": 0.6}, {"accuracy": 0.78, "macro_f1": 0.66}],
    "best_seed": 1,
    "epochs": [2, 3],
    "learnt": 1900,
    "held_out": 400,
    "human": [0.9, "Ann 2019"],
    "curves": [[{"slice_loss": 1.0}] * 5, [{"slice_loss": 1.0}] * 4],
}
HEADER = """\
# 1 process(es) x 2 thread(s) x fp32 on cpu (Some CPU)
# selfsup 0.1.0, torch 2.13.0
# commit 0123456789ab
# /home/me/selfsup/scripts/finetune.py --task cats --model /home/me/runs/mine/model --data_root=/home/me/data
"""
ARGUMENTS: dict[str, Any] = {
    "task": "/home/me/cats.py",
    "model": "/home/me/runs/mine/model",
    "output": "/home/me/runs/cats",
    "data": {"name": None, "train": None, "held_out": None},
    "tune": {"learning_rate": 0.0003, "epochs": 5},
    "objective": None,
    "scratch": False,
    "data_root": None,
}


@pytest.fixture
def run(network, tiny_tokenizer, tmp_path):
    """Make the folder of a run that has ended, with some arguments of its own."""

    def make(**arguments: Any):
        folder = tmp_path / "runs" / "about cats"
        export(network()[0], tiny_tokenizer, folder / "model")
        (folder / "curves.png").write_bytes(b"\x89PNG made up")
        (folder / "run.yaml").write_text(HEADER + yaml.safe_dump(ARGUMENTS | arguments, sort_keys=False))
        return folder

    return make


def card_of(folder, material: Material = MATERIAL, **found: Any) -> Any:
    assert write_card(folder, RESULT | found, material)
    return ModelCard.load(folder / "model" / "README.md")


class TestCard:
    def test_settings_of_a_figure_stand_below_it(self, run):
        text = card_of(run(), signatures={"bleu": "case:mixed|tok:13a"}).text
        assert "\n\nSettings of bleu: `case:mixed|tok:13a`.\n" in text

    def test_what_the_hub_reads(self, run):
        front = card_of(run(model="google/bert_uncased_L-2")).data.to_dict()
        [model] = front.pop("model-index")
        assert front == {
            "base_model": "google/bert_uncased_L-2",
            "datasets": ["nyu-mll/glue"],
            "library_name": "transformers",
            "pipeline_tag": "text-classification",
            "tags": ["selfsup", "cats"],
        }
        assert model["name"] == "about cats"
        [result] = model["results"]
        assert result["task"] == {"type": "text-classification", "name": "cats"}
        where = {"name": "nyu-mll/glue/mrpc", "type": "nyu-mll/glue", "config": "mrpc", "split": "validation"}
        assert result["dataset"] == where
        assert result["metrics"] == [
            {"type": "accuracy", "value": 0.78, "name": "accuracy"},
            {"type": "f1", "value": 0.66, "name": "macro_f1"},
        ]

    def test_what_people_read(self, run):
        folder = run()
        text = card_of(folder).text
        for line in (
            "# about cats",
            "It gives a text one of these labels: `no`, `yes`.",
            "| accuracy | 78.0 | 75.0  (70.0 to 80.0) | 60.0 (most frequent label) | 90.0 (Ann 2019) |",
            "| macro_f1 | 66.0 |  |  |  |",
            "- examples: 1,900; epochs: 4; kept: number 3",
            "- seeds: 0, 1; kept: 1, the best on its slice of training",
            "- commit: 0123456789ab",
            "- command: `finetune.py --task cats --model model --data_root=data`",
            "task: cats.py",
            "  learning_rate: 0.0003",
            "- It reads at most 64 tokens at once; a longer text is cut.",
        ):
            assert f"\n{line}\n" in text
        assert (
            "fine-tuned from an earlier model, `mine`, for the task `cats` on [nyu-mll/glue/mrpc](https://hugg" in text
        )
        assert "/home" not in text
        assert str(folder.parent) not in text
        assert "not surely better" not in text
        assert (folder / "model" / "curves.png").read_bytes() == b"\x89PNG made up"

    def test_no_more_than_a_guess(self, run):
        text = card_of(run(), figure=(0.6, 0.55, 0.65)).text
        assert "- It is not surely better than what needs no learning, the most frequent label.\n" in text

    @pytest.mark.parametrize(
        ("data", "ids", "name"),
        [
            (KNOWN[1], None, "sick"),
            (KNOWN[2], ["b/there"], "b/there/small"),
            (DataSet("some/other", {}), ["some/other"], "some/other"),
            (DataSet("/home/me/my reviews.jsonl", {}), None, "my reviews.jsonl"),
            (DataSet("reviews", {}), None, "reviews"),
        ],
    )
    def test_which_data(self, run, data, ids, name):
        card = card_of(run(data={"held_out": "/home/me/b.jsonl"}), replace(MATERIAL, data=data))
        assert card.data.datasets == ids
        assert f"on 400 examples of {name} (b.jsonl); " in card.text
        [result, _] = card.data.eval_results
        assert (result.dataset_name, result.dataset_type) == (name, ids[0] if ids else name.replace(" ", "-"))

    def test_a_mirror_is_not_the_hub(self, run, tmp_path):
        (tmp_path / "data" / "some" / "other").mkdir(parents=True)
        (tmp_path / "data" / "some" / "other" / "train.csv").write_text("a\n")
        folder = run(data_root=str(tmp_path / "data"))
        card = card_of(folder, replace(MATERIAL, data=DataSet("some/other", {})))
        assert card.data.datasets is None

    def test_language_and_licence_come_from_the_model_it_began_from(self, run, tmp_path):
        (tmp_path / "mine" / "model").mkdir(parents=True)
        (tmp_path / "mine" / "model" / "README.md").write_text(
            "---\nlanguage: nl\nlicense: mit\ntags: [a]\n---\n# Mine\n"
        )
        card = card_of(run(model=str(tmp_path / "mine")))
        assert (card.data.language, card.data.license, card.data.tags) == ("nl", "mit", ["selfsup", "cats"])
        assert "an earlier model, `mine`," in card.text

    def test_fresh_weights(self, run):
        card = card_of(run(model="google/bert_uncased_L-2", scratch=True))
        assert card.data.base_model is None
        assert "parameters, trained from fresh weights in the shape of [google/bert_uncased_L-2](https" in card.text

    def test_folds_leave_none(self, run):
        folder = run()
        assert not write_card(folder, RESULT | {"folds": []}, MATERIAL)
        assert not (folder / "model" / "README.md").exists()

    def test_what_somebody_wrote_stays(self, run, capsys):
        folder = run()
        card_of(folder)
        path = folder / "model" / "README.md"
        path.write_text(path.read_text().replace("# about cats", "# About my cats"))
        assert not write_card(folder, RESULT, MATERIAL)
        assert "was edited, so it stays as it is" in capsys.readouterr().out
        assert "# About my cats" in path.read_text()

    def test_a_new_name_goes_everywhere(self, run):
        folder = run()
        card_of(folder)
        readdress(folder / "model", "user/cats")
        card = ModelCard.load(folder / "model" / "README.md")
        assert card.data.model_name == "cats"
        assert 'pipeline("text-classification", "user/cats", trust_remote_code=True)' in card.text
        assert 'predict.py --model "user/cats"' in card.text
        assert '"./model"' not in card.text


@pytest.mark.parametrize(
    ("kind", "config", "pairs", "last"),
    [
        ("text-classification", {}, False, 'print(read("What a lovely day!"))'),
        ("text-classification", {}, True, 'print(read({"text": "Ann met Bob.", "text_pair": "Bob met Ann."}))'),
        ("text-classification", {"problem_type": "regression", "number_mean": 3.5, "number_deviation": 0.25}, False,
         'print(3.5 + 0.25 * read("What a lovely day!")[0]["score"])'),
        ("token-classification", {}, False, 'print(read("The miller sold a wooden box ."))'),
        ("question-answering", {}, False,
         'print(answerer({"question": "Whom did Ann meet?", "context": "Ann met Bob in Rome."}))'),
    ],
)  # fmt: skip
def test_the_lines_to_use_it(kind, config, pairs, last):
    lines = snippet("user/cats", kind, config, pairs=pairs).splitlines()
    assert len(lines) == 4
    assert lines[3] == last
    compile("\n".join(lines), "card", "exec")
    assert "trust_remote_code" not in lines[2]
    with_code = snippet("user/cats", kind, {**config, "auto_map": {}}, pairs=pairs)
    assert ("trust_remote_code=True" in with_code) == (kind != "question-answering")


@pytest.mark.parametrize(
    ("config", "number"), [({"max_target_tokens": 40, "auto_map": {}}, 1), ({"parallel": True}, 0)]
)
def test_the_lines_to_write_with_it(config, number):
    text = snippet("user/cats", "text2text-generation", config)
    compile(text, "card", "exec")
    assert 'translate = Translator.from_pretrained("user/cats")\nprint(translate(' in text
    assert text.count('AutoModelForSeq2SeqLM.from_pretrained("user/cats", trust_remote_code=True)') == number
    assert text.count("generate(**source, num_beams=5, max_new_tokens=40)") == number


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        (Tagging, "It gives each word of a text one of these tags: `no`, `yes`."),
        (AnswerSpan, "It finds where in a text the answer to a question stands."),
        (SequenceToSequence, "It writes a text for a text, word by word."),
    ],
)
def test_other_heads(run, objective, sentence):
    task = Task(objective, (Accuracy,), KNOWN, name="cats")
    assert sentence in card_of(run(), replace(MATERIAL, task=task)).text

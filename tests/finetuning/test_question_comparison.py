"""What a question is worth: the same pairs for all, arguments that pretraining takes back, a table that is right."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from selfsup.finetuning import question_comparison
from selfsup.finetuning.material import Material
from selfsup.finetuning.question_comparison import (
    NAMES,
    NEXT,
    ORDER,
    PLAIN,
    SCRATCH,
    as_pretraining,
    compare_questions,
    folder_of,
    learn,
    questions,
    untrained,
)
from selfsup.finetuning.trial import Trial
from selfsup.metrics.bootstrap import bootstrap


@pytest.fixture
def material(cats) -> Material:
    """Four examples to score on; two of four are "no"."""
    train = [{"text": "x", "label": label} for label in ("no", "no", "yes")]
    return Material("cats", cats, train, [{"text": "x", "label": label} for label in ("no", "no", "yes", "yes")],
                    ("no", "yes"))  # fmt: skip


def trial(right: list[int]) -> Trial:
    answers = {True: {"no": "no", "yes": "yes"}, False: {"no": "yes", "yes": "no"}}
    conclusions = [answers[bool(hit)][label] for hit, label in zip(right, ("no", "no", "yes", "yes"), strict=True)]
    return Trial(conclusions, {"accuracy": float(np.mean(right))}, [], 1.0, 3)


def test_questions_read_the_same_pairs():
    assert [*questions(), SCRATCH] == list(NAMES)
    for name, members in questions().items():
        assert max(member.num_segments for member in members.values()) == 2, name
        assert members["tokens"].rate == 0.15  # type: ignore[attr-defined]
    assert [set(members) for members in questions().values()] == [{"tokens"}, {"tokens", "next"}, {"tokens", "order"}]


def test_pretraining_takes_its_arguments_back(tmp_path):
    own = {"corpus": "a", "output": "all", "train": {"num_steps": 4, "seed": 0}, "task_data": {"name": "sick"},
           "tune": {"epochs": 5}, "seeds": 3}  # fmt: skip
    given = as_pretraining(f"# versions\n{yaml.safe_dump(own)}", questions()[NEXT], Path("all/next-1"), "words", 1)
    assert given.startswith("# versions\n")
    assert yaml.safe_load(given) == {
        "corpus": "a", "output": "all/next-1", "tokenizer": "words", "train": {"num_steps": 4, "seed": 1},
        "objectives": {
            "tokens": {"class_path": "selfsup.objectives.MaskedTokens", "init_args": {"num_segments": 2}},
            "next": {"class_path": "selfsup.objectives.NextSentence", "init_args": {}},
        },
    }  # fmt: skip


def test_a_run_learns_from_its_model_and_the_others_from_nothing(
    material, pretrained, tiny_tokenizer, tiny_config, quick, accelerator, tmp_path, monkeypatch
):
    started = []
    monkeypatch.setattr(question_comparison, "run_trial", lambda *given, **options: started.append((given, options)))
    fresh = untrained(tiny_config, tiny_tokenizer.name_or_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model").symlink_to(pretrained)
    for name in ("run", "fresh"):
        learn(tmp_path / name, material, quick, fresh=fresh, seed=4, accelerator=accelerator)
    (one, options), (other, _) = started
    assert one[0].start == str(tmp_path / "run" / "model")
    assert other[0] is fresh
    assert (one[5], other[5]) == (tmp_path / "run" / "trial", tmp_path / "fresh" / "trial")
    assert (options["seed"], options["labels"]) == (4, ("no", "yes"))


def test_the_table_says_what_the_answers_say(material, tmp_path, untrained, capsys):
    right = {
        PLAIN: [[1, 1, 0, 0], [1, 1, 0, 0]],
        NEXT: [[1, 1, 1, 0], [1, 1, 1, 0]],
        ORDER: [[1, 1, 0, 0], [1, 1, 0, 0]],
        SCRATCH: [[1, 0, 0, 0], [0, 0, 0, 0]],
    }
    for name in (PLAIN, NEXT, ORDER):
        for seed in range(2):
            run = folder_of(tmp_path, name, seed)
            run.mkdir(parents=True)
            results = {"validation_tokens_perplexity": 30.0 + 2 * seed, "validation_tokens_accuracy": 0.3}
            if name == NEXT:
                results["validation_next_accuracy"] = 0.8
            (run / "results.json").write_text(json.dumps(results))
    trials = {name: [trial(one) for one in seeds] for name, seeds in right.items()}
    figures = compare_questions(trials, material, untrained, tmp_path, title="made up")
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = {row[0]: [cell.strip() for cell in row[1:] if cell.strip()] for row in lines if row[0] in right}
    assert cells[NEXT][:4] == ["31.0", "(30.0 to 32.0)", "80.0", "(80.0 to 80.0)"]
    assert (cells[NEXT][4], cells[NEXT][6]) == ("75.0", "+25.0")
    assert cells[ORDER][-2:] == ["+0.0", "(+0.0 to +0.0)"]
    assert cells[SCRATCH][0] == "12.5"
    task, minus = (figures[name] for name in ("task: accuracy", f"minus {PLAIN}"))
    for name, answers in right.items():
        assert task[name] == pytest.approx(bootstrap(np.array(answers), rng=np.random.default_rng(0)))
    assert (task[PLAIN][0], minus[NEXT][0], minus[SCRATCH][0]) == (0.5, 0.25, -0.375)
    assert task[ORDER] == task[PLAIN]  # equal answers, equal intervals
    assert figures["majority"] == 0.5
    assert json.loads((tmp_path / "comparison.json").read_text())["majority"] == 0.5
    assert (tmp_path / "comparison.png").read_bytes()[:4] == b"\x89PNG"

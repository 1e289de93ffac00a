"""An exported model goes to a stand-in of the Hub on this machine, and a stranger opens it from there."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from selfsup.models.text_encoder import TextEncoderForPreTraining
from selfsup.training.card import readdress, write_card
from selfsup.training.command import start
from selfsup.training.export import HubConfig, build_model, export, open_tokenizer, publish
from selfsup.training.hub import check_access, check_name, explain, files_to_push, push

ROOT = Path(__file__).parents[1]
TOKEN = "hf_made_up"
FIGURES = {
    "validation_tokens_perplexity": 9.0,
    "validation_tokens_count": 160,
    "validation_tokens_accuracy": 0.25,
    "validation_tokens_interval": (0.19, 0.32),
    "steps": 3,
    "tokens": 300,
    "tokens_per_second": 70.0,
    "peak_memory_gib": 0.5,
}


class StandIn(BaseHTTPRequestHandler):
    """The requests that huggingface_hub makes to push and to open a model, answered as the Hub answers them."""

    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, status: int = 200, body: Any = b"", **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def handle_any(self) -> None:
        hub, path = self.server, self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.asked.append(f"{self.command} {path}")
        status = next((status for start, status in hub.broken.items() if path.startswith(start)), None)
        if status:
            self.answer(status, {"error": "made to fail"})
        elif found := re.fullmatch(r"/api/models/([\w-]+/[\w-]+)(?:/revision/[\w-]+)?", path):
            self.answer(200, {"id": found[1], "sha": f"{hub.repos[found[1]]['commits']:040x}", "siblings": []})
        elif path.startswith("/api/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            why = "Invalid credentials in Authorization header"
            self.answer(401, {"error": why}, X_Error_Message=why)
        elif path == "/api/whoami-v2":
            self.answer(200, hub.user)
        elif path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}"
            known = repo in hub.repos
            hub.repos.setdefault(repo, {"visibility": asked.get("visibility"), "branches": {"main": {}}, "commits": 0})
            self.answer(409 if known else 200, {"url": f"{hub.url}/{repo}"})
        elif path == "/api/validate-yaml":
            front = yaml.safe_load(json.loads(body)["content"].split("---\n")[1])
            errors = [] if front.get("license") != "no-such-licence" else [{"message": "license is unknown"}]
            self.answer(400 if errors else 200, {"errors": errors, "warnings": []})
        elif found := re.fullmatch(r"/api/models/([\w-]+/[\w-]+)/branch/([\w-]+)", path):
            hub.repos[found[1]]["branches"].setdefault(found[2], {})
            self.answer()
        elif found := re.fullmatch(r"/api/models/[\w-]+/[\w-]+/preupload/[\w-]+", path):
            self.answer(200, {"files": [self.upload_mode(file) for file in json.loads(body)["files"]]})
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{hub.url}/lfs/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self.answer(200, {"transfer": "basic", "objects": objects})
        elif path.startswith("/lfs/"):
            assert hashlib.sha256(body).hexdigest() == path.removeprefix("/lfs/")
            hub.large[path.removeprefix("/lfs/")] = body
            self.answer()
        elif found := re.fullmatch(r"/api/models/([\w-]+/[\w-]+)/commit/([\w-]+)", path):
            self.commit(found[1], found[2], [json.loads(line) for line in body.splitlines()])
        elif found := re.fullmatch(r"/([\w-]+/[\w-]+)/resolve/([\w-]+)/(.+)", path):
            self.resolve(hub.repos[found[1]]["branches"], found[2], found[3])
        else:
            self.answer(404, {"error": "not part of the stand-in"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def upload_mode(self, file: dict[str, Any]) -> dict[str, Any]:
        large = file["path"].endswith((".safetensors", ".png", ".model"))
        return {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}

    def commit(self, name: str, branch: str, lines: list[dict[str, Any]]) -> None:
        repo = self.server.repos[name]
        for line in lines:
            if line["key"] == "file":
                repo["branches"][branch][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            if line["key"] == "lfsFile":
                repo["branches"][branch][line["value"]["path"]] = self.server.large[line["value"]["oid"]]
        repo["commits"] += 1
        oid = f"{repo['commits']:040x}"
        repo["branches"][oid] = repo["branches"][branch]  # revisions are asked for by commit later on
        self.answer(
            200, {"commitUrl": f"{self.server.url}/{name}/commit/{oid}", "commitOid": oid, "pullRequestUrl": None}
        )

    def resolve(self, branches: dict[str, Any], revision: str, name: str) -> None:
        content = branches[revision].get(name)
        head = {"X_Repo_Commit": f"{1:040x}"}
        if content is None:
            self.answer(404, X_Error_Code="EntryNotFound", **head)
        else:
            self.answer(200, content, ETag=f'"{hashlib.sha256(content).hexdigest()}"', **head)


@pytest.fixture
def hub(monkeypatch):
    """A fresh stand-in; huggingface_hub of this process and of those it starts talk to it."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.repos, server.large, server.broken, server.asked = {}, {}, {}, []
    server.user = {"name": "user", "orgs": [{"name": "team"}], "auth": {"accessToken": {"role": "write"}}}
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    for name, value in {"ENDPOINT": server.url, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True}.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    for name, text in {"HF_ENDPOINT": server.url, "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, text)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(tiny_config, tiny_tokenizer, tmp_path) -> Path:
    """The folder of a run that has ended, with more in it than a model."""
    folder = tmp_path / "runs" / "mine"
    torch.manual_seed(0)
    model = TextEncoderForPreTraining(tiny_config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)  # fresh models all guess alike
    export(model, tiny_tokenizer, folder / "model")
    (folder / "curves.png").write_bytes(b"\x89PNG made up")
    arguments = {
        "corpus": "my_texts",
        "objectives": {"tokens": {"class_path": "MaskedTokens"}},
        "model": {"vocab_size": 384},
        "data": {"language": "en", "validation_share": 0.05},
        "train": {"eval_rows": 8},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(arguments))
    write_card(folder, FIGURES)
    for name in ("optimizer.safetensors", "notes.txt", "secret.py", ".env"):
        (folder / "model" / name).write_text("private")
    (folder / "model" / "checkpoints").mkdir()
    (folder / "model" / "checkpoints" / "config.json").write_text("private")
    return folder


MODEL_FILES = {
    *("README.md", "config.json", "curves.png", "model.safetensors", "tokenizer.json", "tokenizer.model"),
    *(
        "tokenizer_config.json",
        "text_encoder.py",
        "text_encoder_config.py",
        "attention.py",
        "blocks.py",
        "heads.py",
        "positions.py",
    ),
    *("dropout.py", "embeddings.py", "masks.py"),
}

STRANGER = """
import sys
sys.modules["selfsup"] = None  # importing it would fail
import torch
from safetensors.torch import load_file

for snippet in open(sys.argv[1]).read().split("=====")[:2]:
    exec(snippet)
expected = load_file(sys.argv[2])
batch = tokenizer(["Nobody knew why the miller sold the clock."], return_tensors="pt")
assert torch.equal(batch["input_ids"], expected["input_ids"])
torch.testing.assert_close(model.eval()(**batch).logits, expected["logits"], atol=1e-6, rtol=0)
assert "transformers_modules" in type(model).__module__
"""


@pytest.mark.slow
def test_what_is_pushed_opens_at_a_strangers_as_the_card_says(hub, run, tiny_tokenizer, tmp_path):
    from safetensors.torch import save_file
    from transformers import AutoModelForMaskedLM

    write_card(run, FIGURES, name="user/mine")
    assert push(run / "model", "user/mine") == f"{hub.url}/user/mine"
    there = hub.repos["user/mine"]
    assert (there["commits"], there["visibility"]) == (1, None)
    assert there["branches"]["main"] == {name: (run / "model" / name).read_bytes() for name in MODEL_FILES}

    batch = tiny_tokenizer(["Nobody knew why the miller sold the clock."], return_tensors="pt")
    logits = AutoModelForMaskedLM.from_pretrained(run / "model").eval()(**batch).logits
    save_file({"input_ids": batch["input_ids"], "logits": logits.detach()}, tmp_path / "expected.safetensors")
    snippets = re.findall(r"```python\n(.*?)```", there["branches"]["main"]["README.md"].decode(), re.DOTALL)
    assert len(snippets) == 3
    (tmp_path / "snippets").write_text("=====".join(snippets))
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, str(tmp_path / "snippets"), str(tmp_path / "expected.safetensors")],
        capture_output=True, text=True, check=False, cwd=tmp_path, stdin=subprocess.DEVNULL,
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^\d+\.\d%  ", done.stdout, re.MULTILINE)) == 5  # guesses that the second snippet prints
    assert f"GET /user/mine/resolve/{1:040x}/model.safetensors" in hub.asked


def test_a_branch_is_made_and_a_new_repository_can_be_private(hub, run):
    assert push(run / "model", "team/mine", private=True, revision="trial") == f"{hub.url}/team/mine/tree/trial"
    there = hub.repos["team/mine"]
    assert there["visibility"] == "private"
    assert there["branches"]["trial"].keys() == MODEL_FILES
    assert not there["branches"]["main"]
    assert push(run / "model", "team/mine") == f"{hub.url}/team/mine"  # it is there already, and that is fine
    assert there["commits"] == 2


@pytest.mark.slow
def test_a_model_of_the_hub_is_gone_on_from_and_exported_whole(
    hub, run, tiny_config, tiny_tokenizer, tmp_path, monkeypatch
):
    """Its code is not left with its first repository."""
    address = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    push(run / "model", "user/mine")
    model = build_model("AutoModelForPreTraining", tiny_config, tiny_tokenizer, "user/mine")
    export(model, open_tokenizer("user/mine"), tmp_path / "again")
    for name in ("config.json", "model.safetensors", "text_encoder.py", "tokenizer.json"):
        assert (tmp_path / "again" / name).read_bytes() == (run / "model" / name).read_bytes(), name


class TestFailure:
    """One sentence: the model is safe, what went wrong, how to push again."""

    @pytest.mark.parametrize(
        ("broken", "status", "reason"),
        [
            ("/api/repos/create", 500, "the Hub answered 500, made to fail; "),
            ("/api/models/user/mine/commit", 403, "the Hub answered 403, the token may not write there; "),
            ("/lfs", 401, "the Hub answered 401, the token is not valid; "),
        ],
    )
    def test_of_the_hub(self, hub, run, broken, status, reason):
        hub.broken = {broken: status}
        sentence = (
            f"the model is safe in {run / 'model'}, but it could not be pushed to user/mine: {reason}push it again "
            f"with scripts/push.py --model {run / 'model'} --repo user/mine"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)} --private true --revision new$"):
            push(run / "model", "user/mine", private=True, revision="new")
        hub.broken = {}
        push(run / "model", "user/mine")

    def test_of_the_network(self, hub, run):
        hub.shutdown()
        hub.server_close()
        with pytest.raises(ValueError, match=r"could not be pushed to user/mine: ConnectError: .*refused.*; push it"):
            push(run / "model", "user/mine")

    def test_of_a_card_that_the_hub_refuses(self, hub, run):
        write_card(run, FIGURES, license="no-such-licence")
        with pytest.raises(
            ValueError, match=r"ValueError: Invalid metadata in README\.md\. - license is unknown; push"
        ):
            push(run / "model", "user/mine")
        assert not hub.repos["user/mine"]["commits"]


class TestBeforeTraining:
    """What would fail after hours fails at once."""

    def test_all_is_well(self, hub):
        check_access("user/mine")
        check_access("team/mine")
        assert hub.asked == ["GET /api/whoami-v2"] * 2
        assert not hub.repos

    def test_no_token(self, hub, monkeypatch, tmp_path):
        monkeypatch.delenv("HF_TOKEN")
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
        with pytest.raises(ValueError, match=r"needs a token, but there is none: run `hf auth login` or set HF_TOKEN$"):
            check_access("user/mine")
        assert not hub.asked

    def test_a_token_that_is_not_valid(self, hub, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        with pytest.raises(ValueError, match=r"whose it is failed, for the Hub answered 401, the token is not valid: "):
            check_access("user/mine")

    def test_a_token_that_reads_only(self, hub):
        hub.user["auth"]["accessToken"]["role"] = "read"
        with pytest.raises(ValueError, match=r"needs a token that may write, but this one only reads: make another$"):
            check_access("user/mine")

    def test_the_name_of_somebody_else(self, hub):
        with pytest.raises(ValueError, match=r"^you may push to user/… or team/…, but other/mine came: name yours$"):
            check_access("other/mine")

    def test_no_network(self, hub, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(
            ValueError, match=r"failed, for OfflineModeIsEnabled: .*offline mode is enabled.*: mend that"
        ):
            check_access("user/mine")

    @pytest.mark.parametrize("name", ["mine", "user/", "a/b/c", "user/my model", "user/a--b", "/home/me/model"])
    def test_no_name(self, name):
        with pytest.raises(ValueError, match=rf"^a name on the Hub is wanted, user/name, but {name} came: "):
            check_name(name)
        with pytest.raises(ValueError, match=r"^a name on the Hub is wanted"):
            HubConfig(push_to=name)

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"license": "Apache 2"}, "license must be spelt as on the Hub, like apache-2.0, but 'Apache 2' came"),
            ({"language": "English"}, "language must be a code like en or nld, or multilingual, but 'English' came"),
        ],
    )
    def test_what_the_hub_would_refuse_in_a_card(self, fields, sentence):
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            HubConfig(**fields)

    def test_a_run_asks_before_it_takes_its_folder(self, hub, tmp_path):
        with pytest.raises(ValueError, match=r"^you may push to"):
            start(tmp_path / "run", "corpus: a\n", seed=0, push_to="other/mine")
        assert not (tmp_path / "run").exists()


class TestFolder:
    def test_only_the_model_leaves_it(self, run):
        assert set(files_to_push(run / "model")) == MODEL_FILES

    def test_a_run_is_no_model(self, run):
        wanted = (
            f"but {run} is none, for it lacks config.json, tokenizer.json, model.safetensors: did you mean {run}/model?"
        )
        with pytest.raises(ValueError, match=f"{re.escape(wanted)}$"):
            files_to_push(run)

    def test_neither_is_a_checkpoint(self, run):
        (run / "model" / "state.json").write_text("{}")
        with pytest.raises(ValueError, match="is none, for it is a checkpoint"):
            files_to_push(run / "model")

    def test_nor_one_without_its_code(self, run):
        (run / "model" / "blocks.py").unlink()
        with pytest.raises(ValueError, match=r"is none, for it lacks blocks\.py"):
            files_to_push(run / "model")

    def test_nor_nothing(self, tmp_path):
        with pytest.raises(ValueError, match=r"nowhere is none, for it lacks config\.json"):
            files_to_push(tmp_path / "nowhere")


def test_the_cause_of_what_threads_met_is_told():
    inner = OSError("no")
    inner.response = SimpleNamespace(status_code=418)  # type: ignore[attr-defined]
    error = RuntimeError("Error while uploading 'x'")
    error.__cause__ = inner
    assert explain(error) == "the Hub answered 418"
    assert explain(RuntimeError("broken")) == "RuntimeError: broken"


def test_a_run_that_has_ended_publishes_itself(hub, run, tiny_config, tiny_tokenizer, capsys):
    (run / "model" / "README.md").unlink()
    model = TextEncoderForPreTraining(tiny_config)
    publish({"model": model}, tiny_tokenizer, FIGURES, run, HubConfig(push_to="user/mine", data_license="cc0-1.0"))
    assert capsys.readouterr().out == f"Hub      {hub.url}/user/mine\n"
    card = hub.repos["user/mine"]["branches"]["main"]["README.md"].decode()
    assert 'from_pretrained("user/mine", trust_remote_code=True)' in card
    assert "my_texts): cc0-1.0." in card


def test_a_fine_tuned_model_is_pushed_with_its_card(hub, tiny_config, tiny_tokenizer, tmp_path):
    from selfsup.finetuning import card
    from selfsup.finetuning.material import Material
    from selfsup.metrics import Accuracy
    from selfsup.models.text_encoder import TextEncoderForSequenceClassification
    from selfsup.objectives import Classification
    from selfsup.task import DataSet, Task

    tuned = tmp_path / "runs" / "reviews"
    export(TextEncoderForSequenceClassification(tiny_config), tiny_tokenizer, tuned / "model")
    (tuned / "curves.png").write_bytes(b"\x89PNG made up")
    (tuned / "run.yaml").write_text(yaml.safe_dump({"model": "my/encoder", "data": {}}))
    result = {"metric": "accuracy", "figure": (0.8, 0.7, 0.9), "baseline": ["most frequent label", 0.5], "best_seed": 0,
              "figures": [{"accuracy": 0.8}], "epochs": [1], "learnt": 90, "held_out": 10, "human": None,
              "curves": [[{}]]}  # fmt: skip
    data = DataSet("stanfordnlp/sst2", {})
    task = Task(Classification, (Accuracy,), (data,), name="sentiment")
    assert card.write_card(tuned, result, Material("sentiment", task, [], [], ("no", "yes"), data=data))
    readdress(tuned / "model", "user/reviews")
    assert push(tuned / "model", "user/reviews") == f"{hub.url}/user/reviews"
    files = hub.repos["user/reviews"]["branches"]["main"]
    assert files.keys() == MODEL_FILES
    text = files["README.md"].decode()
    assert 'pipeline("text-classification", "user/reviews", trust_remote_code=True)' in text
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["base_model"] == "my/encoder"
    assert front["model-index"][0]["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.8, "name": "accuracy"}]


@pytest.mark.slow
def test_the_commands(hub, tiny_text_folder, tmp_path):
    """Train and push, be refused, push again, as a user does."""

    def call(script: str, *flags: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "SELFSUP_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(ROOT / "scripts" / script), *flags]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)

    sizes = {"vocab_size": 384, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    brief = {"max_minutes": "null", "num_steps": 3, "eval_rows": 8}
    flags = [f"--model.{name}={value}" for name, value in sizes.items()]
    flags += [f"--train.{name}={value}" for name, value in brief.items()]
    flags += ["--corpus", str(tiny_text_folder), "--output", "runs/mine", "--hub.push_to", "user/mine"]
    early = call("pretrain.py", *flags, "--hub.push_to", "other/mine")
    assert early.returncode == 1
    assert early.stderr.splitlines()[-1] == "error: you may push to user/… or team/…, but other/mine came: name yours"
    assert not (tmp_path / "runs").exists()
    hub.broken = {"/api/repos/create": 403}
    late = call("pretrain.py", *flags)
    assert late.returncode == 1
    again = "scripts/push.py --model runs/mine/model --repo user/mine"
    assert late.stderr.splitlines()[-1].endswith(f"; push it again with {again}")
    assert "masked-token perplexity" in late.stdout
    hub.broken = {}
    pushed = call("push.py", "--model", "runs/mine/model", "--repo", "user/other")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.splitlines()[-1] == f"{hub.url}/user/other"
    files = hub.repos["user/other"]["branches"]["main"]
    assert files.keys() == MODEL_FILES
    for name, content in files.items():
        assert f"{len(content):,} bytes  {name}\n" in pushed.stdout
    card = files["README.md"].decode()
    assert '"user/other"' in card
    assert '"user/mine"' not in card
    assert str(tmp_path) not in card
    assert tiny_text_folder.name in card
    assert "- machine: 1 process(es) x 1 thread(s) x fp32 on cpu" in card

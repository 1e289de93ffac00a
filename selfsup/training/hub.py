"""From an exported folder to a repository of the Hub: what may leave this machine, and what is wrong when it cannot."""

import json
import re
from fnmatch import fnmatch
from pathlib import Path

from selfsup.training.checkpoint import STATE_FILE

# Files of a model by name. Code is added by need: only what config.json names, and what that imports.
FILES = (
    "README.md",
    "curves.png",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
_WHY = {
    401: "the token is not valid",
    403: "the token may not write there",
    404: "there is no such repository or revision for this token",
}


def check_name(repo: str) -> None:
    """Refuse what cannot be the name of a repository.

    Raises:
        ValueError: `repo` is not of the form user/name.
    """
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        if repo.count("/") != 1:
            raise HFValidationError("there must be one slash.")
        validate_repo_id(repo)
    except HFValidationError as error:
        reason = str(error).partition("\n")[0].removesuffix(".")
        raise ValueError(f"a name on the Hub is wanted, user/name, but {repo} came: {reason}") from error


def check_access(repo: str) -> None:
    """Ask the Hub, before a long run, whether this user may write to a name.

    Args:
        repo: user/name.
    Raises:
        ValueError: there is no token, it is not valid or reads only, the name is somebody else's, or the Hub is out of
            reach.
    """
    from huggingface_hub import HfApi, get_token

    check_name(repo)
    if not get_token():
        raise ValueError(f"pushing to {repo} needs a token, but there is none: run `hf auth login` or set HF_TOKEN")
    try:
        user = HfApi().whoami()
    except Exception as error:  # whatever the client raises
        raise ValueError(
            f"pushing to {repo} needs a user's token, but asking the Hub whose it is failed, for {explain(error)}: "
            "mend that, or train without pushing and push later with scripts/push.py"
        ) from error
    names = [user["name"], *(group["name"] for group in user.get("orgs", ()))]
    if repo.split("/")[0] not in names:
        raise ValueError(f"you may push to {' or '.join(f'{name}/…' for name in names)}, but {repo} came: name yours")
    if user.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise ValueError(f"pushing to {repo} needs a token that may write, but this one only reads: make another")


def files_to_push(folder: Path) -> list[str]:
    """Names of the files of an exported model that belong to it; nothing else ever leaves the folder.

    Args:
        folder: with configuration, weights, tokenizer or image processor, and code.
    Raises:
        ValueError: it is no exported model.
    """
    from transformers.dynamic_module_utils import get_relative_import_files

    names = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    chosen = {name for name in names if any(fnmatch(name, pattern) for pattern in FILES)}
    reader = "tokenizer.json" if "preprocessor_config.json" not in chosen else "preprocessor_config.json"
    missing = [name for name in ("config.json", reader) if name not in chosen]
    if not any(name.endswith(".safetensors") for name in chosen):
        missing.append("model.safetensors")
    if not missing:
        classes = json.loads((folder / "config.json").read_text()).get("auto_map", {}).values()
        for module in {name.split(".")[0] for name in classes if "--" not in name}:  # "--": code of another repository
            code = folder / f"{module}.py"
            try:
                chosen |= {code.name, *(Path(path).name for path in get_relative_import_files(code))}
            except FileNotFoundError as error:
                missing.append(Path(error.filename).name)
    if missing or STATE_FILE in names:
        why = f"it lacks {', '.join(missing)}" if missing else "it is a checkpoint"
        runs = [folder / "model", folder.parent.parent / "model"]  # of a run, and of the run of a checkpoint
        meant = next((f": did you mean {path}?" for path in runs if (path / "config.json").is_file()), "")
        raise ValueError(f"a folder with an exported model is wanted, but {folder} is none, for {why}{meant}")
    return sorted(chosen)


def push(folder: Path, repo: str, *, private: bool = False, revision: str | None = None) -> str:
    """Put an exported model on the Hub in one commit; the repository and the branch are made if need be.

    Args:
        folder: exported; it is not changed.
        repo: user/name.
        private: make a new repository private; one that is there stays as it is.
        revision: branch; the main one if absent.
    Returns:
        the address of the model.
    Raises:
        ValueError: the folder is no exported model, or the Hub did not take it.
    """
    from huggingface_hub import HfApi

    check_name(repo)
    files = files_to_push(folder)
    api = HfApi()
    try:
        url = api.create_repo(repo, private=private or None, exist_ok=True)
        if revision:
            api.create_branch(repo, branch=revision, exist_ok=True)
        # Patterns match across folders, so files are named one by one.
        names = [re.sub(r"([\[?*])", r"[\1]", name) for name in files]
        api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=names,
            revision=revision,
            commit_message="Upload model with selfsup",
        )
    except Exception as error:  # whatever the client raises: no network, no permission, a card that the Hub refuses
        flags = " --private true" * private + (f" --revision {revision}" if revision else "")
        raise ValueError(
            f"the model is safe in {folder}, but it could not be pushed to {repo}: {explain(error)}; push it again "
            f"with scripts/push.py --model {folder} --repo {repo}{flags}"
        ) from error
    return f"{url}/tree/{revision}" if revision else str(url)


def explain(error: Exception) -> str:
    """What went wrong at the Hub, in one line."""
    # Uploads of large files run in threads, which wrap what they met.
    inner = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
    status = getattr(getattr(inner, "response", None), "status_code", None)
    if not status:
        return f"{type(inner).__name__}: {' '.join(str(inner).split()).rstrip('.') or 'no answer'}"
    reason = _WHY.get(status) or getattr(inner, "server_message", None)
    return f"the Hub answered {status}" + (f", {' '.join(reason.split())}" if reason else "")

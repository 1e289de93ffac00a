"""Push an exported model to the Hub: `push.py --model runs/mine/model --repo user/name`."""

from pathlib import Path

from selfsup.training.card import readdress
from selfsup.training.command import command
from selfsup.training.hub import check_access, files_to_push, push


def main(model: Path, repo: str, private: bool = False, revision: str | None = None) -> None:
    """Push an exported model to the Hub.

    Args:
        model: an exported folder; its README.md, where nobody edited it, is told the new name.
        repo: user/name; made if it is not there.
        private: make a new repository private.
        revision: branch to push to, made if need be; the main one if absent.
    """
    files = files_to_push(model)
    check_access(repo)
    readdress(model, repo)
    print(f"pushing to {repo}:")
    for name in files:
        print(f"  {(model / name).stat().st_size:>13,} bytes  {name}")
    print(push(model, repo, private=private, revision=revision))


if __name__ == "__main__":
    command(main)

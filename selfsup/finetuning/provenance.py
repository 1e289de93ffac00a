"""Where a fine-tuned model comes from, as strangers may read it: data and base model, and no paths."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from selfsup.data.places import TABLES, Source, is_here, is_path
from selfsup.finetuning.material import Material
from selfsup.training.card import is_hub_id
from selfsup.training.record import Text, placeless


@dataclass(frozen=True)
class Provenance:
    """Data and base model.

    Args:
        text: the data.
        config: of the data on the Hub.
        split: that was scored on, or a share, or the name of a file.
        base: the model that was begun from, as Markdown.
        base_id: its id on the Hub, if it has one.
        inherited: what its own card says of `language` and `license`.
    """

    text: Text
    config: str | None
    split: str
    base: str
    base_id: str | None
    inherited: dict[str, Any]


def provenance(material: Material, arguments: Mapping[str, Any]) -> Provenance:
    """What a run learnt from.

    Args:
        material: of its task.
        arguments: of scripts/finetune.py, as run.yaml has them.
    """
    assert material.data
    name, start = material.data.hub or material.data.name, str(arguments["model"])
    source = None if is_path(name, TABLES) else Source.parse(name)
    if source and not _on_hub(source, material, arguments):
        name, source = source.id, None
    base_id = start if is_hub_id(start) else None
    folder = Path(start) / "model" if (Path(start) / "model").is_dir() else Path(start)
    called = folder.resolve().parent.name if folder.name == "model" else folder.name
    return Provenance(
        text=Text(name if source else Path(name).name, source.id if source else None),
        config=source.config if source else None,
        split=placeless(str(arguments["data"].get("held_out") or material.data.held_out)),
        base=f"[{start}](https://huggingface.co/{start})" if base_id else f"an earlier model, `{called}`,",
        base_id=base_id,
        inherited=_inherited(folder / "README.md"),
    )


def _on_hub(source: Source, material: Material, arguments: Mapping[str, Any]) -> bool:
    """Is the data on the Hub under this name? A mirror is laid out like the Hub, but not all of it is there."""
    known = any(material.data and material.data.name == data.name for data in material.task.data)
    root = arguments.get("data_root")
    here = material.data and is_here(material.data.name, Path(root) if root else None, formats=TABLES)
    return "/" in source.id and (known or not here)


def _inherited(card: Path) -> dict[str, Any]:
    if not card.is_file():
        return {}
    said = ModelCard.load(card).data.to_dict()
    return {name: said[name] for name in ("language", "license") if name in said}

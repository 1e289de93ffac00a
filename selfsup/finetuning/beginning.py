"""Where a model that was never trained begins: a shape, and what reads its input, as the data of a task wants them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from selfsup.data.image_folders import find_table
from selfsup.data.images import opened
from selfsup.data.labelled import Table, choose_columns
from selfsup.examples import DataChoice, read_task
from selfsup.objectives.pictures import Pictures
from selfsup.objectives.sequence_to_sequence import SequenceToSequence
from selfsup.task import Task
from selfsup.tokenization.save import save_tokenizer
from selfsup.tokenization.train import train_tokenizer
from selfsup.training.export import name_tokens, open_tokenizer
from selfsup.training.processors import forget_segments, plain_processor, sees


def begin(
    task: Task,
    choice: DataChoice,
    config: PreTrainedConfig,
    folder: Path,
    *,
    tokenizer: str | None = None,
    data_root: Path | None = None,
    trust_remote_code: bool = False,
) -> tuple[str, Callable[[str], list[str]]]:
    """Leave a folder with a tokenizer and a configuration, and no weights.

    Args:
        task: with a source and a target.
        choice: of the data; the tokenizer is learnt from its training examples alone.
        config: shape of the model; is told the ids of special tokens, and the vocabulary of a tokenizer that came.
        folder: where all goes.
        tokenizer: a folder or a Hub id, in place of one that is learnt.
        data_root: folder that mirrors the Hub.
        trust_remote_code: run Python files that come with the tokenizer.
    Returns:
        a line on the tokenizer, and what cuts a text into its pieces.
    Raises:
        ValueError: the task has no source and target, no such data, or too little text for so many pieces; or the
            folder holds a trained model.
    """
    objective = task.objective()
    if not isinstance(objective, SequenceToSequence):
        raise ValueError(
            f"a task from text to text is wanted, such as translation, but {task.name} learns by "
            f"{type(objective).__name__}: start from a pretrained encoder there"
        )
    _refuse_trained(folder)
    if tokenizer is not None:
        words = open_tokenizer(tokenizer, trust_remote_code)
        config.vocab_size = -(-len(words) // 64) * 64
        line = f"{len(words):,} pieces of {tokenizer}."
        save_tokenizer(words, folder)
    else:
        table = read_task(task, choice, data_root).train
        words = train_tokenizer(texts_of(objective, table), folder, vocab_size=config.vocab_size)
        line = f"{len(words):,} pieces learnt from {len(table):,} examples of {table.name}."
    name_tokens(config, words)
    forget_segments(words)
    words.save_pretrained(folder)
    config.save_pretrained(folder)
    return line, words.tokenize


def begin_pictures(
    task: Task,
    choice: DataChoice,
    kind: str,
    fields: Mapping[str, Any],
    folder: Path,
    *,
    data_root: Path | None = None,
) -> str:
    """Leave a folder with an image processor and a configuration that fit the pictures of a task, and no weights.

    Args:
        task: with an image.
        choice: of the data; its first picture tells size and channels, where `fields` does not.
        kind: of the model, as transformers calls it (`model_type`): vit, resnet, convnextv2 …
        fields: of its configuration.
        folder: where all goes.
        data_root: folder that mirrors the Hub.
    Returns:
        a line on what was made.
    Raises:
        ValueError: the task shows no pictures, there are no such data, kind or fields, patches do not fit into the
            pictures, or the folder holds a trained model.
    """
    objective = task.objective()
    if not isinstance(objective, Pictures):
        raise ValueError(f"a task of pictures is wanted for --kind, such as clothes, but {task.name} has none")
    _refuse_trained(folder)
    data = task.choose(choice.name, choice.columns, choice.labels)
    table = find_table(data.name, split=choice.train or data.train, data_root=data_root)
    column = choose_columns(data.name, table.columns, {"image": data.columns.get("image", "image")}, ["image"])["image"]
    image = opened(next(iter(table.rows([column])))[1][column], column)
    grey = image.mode in ("1", "L", "F") or image.mode.startswith("I")
    config = fresh_config(kind, {"num_channels": 1 if grey else 3} | dict(fields), side=max(image.size))
    side = getattr(config, "image_size", None) or (image.height, image.width)
    height, width = (side, side) if isinstance(side, int) else side
    patch = getattr(config, "patch_size", 1)
    if isinstance(patch, int) and (height % patch or width % patch):
        raise ValueError(
            f"patches that fit into pictures of {width} x {height} pixels are wanted, but patch_size is {patch}: name "
            "another in --fields"
        )
    _refuse_misfit(config, height, width)
    plain_processor(height, width).save_pretrained(folder)
    config.save_pretrained(folder)
    return f"{kind} for pictures of {width} x {height} pixels and {config.num_channels} channel(s)"


def fresh_config(kind: str, fields: Mapping[str, Any], *, side: int) -> PreTrainedConfig:
    """A configuration of a kind of model of pictures.

    Args:
        kind: as transformers calls it.
        fields: of it.
        side: of the pictures, where the configuration has a size and `fields` names none.
    Raises:
        ValueError: there is no such kind or field, or the kind takes no pictures.
    """
    try:
        usual = AutoConfig.for_model(kind)
    except ValueError as error:
        raise ValueError(f"a kind of model is wanted, such as vit or resnet, but {kind!r} came: none has it") from error
    if not sees(usual):
        raise ValueError(f"a kind of model that takes pictures is wanted, such as vit or resnet, but {kind!r} came")
    if unknown := [name for name in fields if not hasattr(usual, name)]:
        raise ValueError(
            f"--fields names {', '.join(unknown)}, but the configuration of {kind} has no such field: it has "
            f"{', '.join(sorted(usual.to_dict()))}"
        )
    size = {"image_size": side} if hasattr(usual, "image_size") else {}
    return AutoConfig.for_model(kind, **(size | dict(fields)))


def _refuse_misfit(config: PreTrainedConfig, height: int, width: int) -> None:
    """Show a picture to a model of this shape: what it trips over now, it would trip over in training."""
    try:
        body = AutoModel.from_config(config).eval()
        with torch.no_grad():
            body(pixel_values=torch.zeros(1, config.num_channels, height, width))
    except Exception as error:  # whatever a model raises of pictures that it cannot read
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"a model that reads pictures of {width} x {height} pixels is wanted, but {config.model_type} with these "
            f"--fields does not ({reason}): name others, or an image_size"
        ) from error


def _refuse_trained(folder: Path) -> None:
    if any(folder.glob("*.safetensors")) or (folder / "run.yaml").exists():
        raise ValueError(f"{folder} holds a trained model: choose another output folder")


def texts_of(objective: SequenceToSequence, table: Table) -> Iterator[str]:
    """Every source and every target of a table."""
    for example in table.examples:
        yield objective.source(example)
        yield objective.target(example)

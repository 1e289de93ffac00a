"""Where a model that was never trained begins: a shape, and what reads its input, as the data of a task wants them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from selfsup.data.album import first_look
from selfsup.data.labelled import Table
from selfsup.examples import DataChoice, read_task
from selfsup.objectives.pictures import Pictures
from selfsup.objectives.sequence_to_sequence import SequenceToSequence
from selfsup.task import Task
from selfsup.tokenization.save import save_tokenizer
from selfsup.tokenization.train import train_tokenizer
from selfsup.training.export import name_tokens, open_tokenizer
from selfsup.training.processors import forget_segments
from selfsup.training.seeing import shape_for


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
    columns = {"image": data.columns.get("image", "image")}
    look = first_look(data.name, columns, split=choice.train or data.train, data_root=data_root)
    config, reader = shape_for(look, kind, fields)
    reader.save_pretrained(folder)
    config.save_pretrained(folder)
    size = reader.size
    return f"{kind} for pictures of {size['width']} x {size['height']} pixels and {config.num_channels} channel(s)"


def _refuse_trained(folder: Path) -> None:
    if any(folder.glob("*.safetensors")) or (folder / "run.yaml").exists():
        raise ValueError(f"{folder} holds a trained model: choose another output folder")


def texts_of(objective: SequenceToSequence, table: Table) -> Iterator[str]:
    """Every source and every target of a table."""
    for example in table.examples:
        yield objective.source(example)
        yield objective.target(example)

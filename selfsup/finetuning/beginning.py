"""Where a model that was never trained begins: a tokenizer of the text of a task, and a shape."""

from collections.abc import Callable, Iterator
from pathlib import Path

from transformers import PreTrainedConfig

from selfsup.data.labelled import Table
from selfsup.examples import DataChoice, read_task
from selfsup.objectives.sequence_to_sequence import SequenceToSequence
from selfsup.task import Task
from selfsup.tokenization.save import save_tokenizer
from selfsup.tokenization.train import train_tokenizer
from selfsup.training.export import forget_segments, name_tokens, open_tokenizer


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
    if any(folder.glob("*.safetensors")) or (folder / "run.yaml").exists():
        raise ValueError(f"{folder} holds a trained model: choose another output folder")
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


def texts_of(objective: SequenceToSequence, table: Table) -> Iterator[str]:
    """Every source and every target of a table."""
    for example in table.examples:
        yield objective.source(example)
        yield objective.target(example)

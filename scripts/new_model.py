"""Begin from nothing: a tokenizer of a task's own text and the shape of a model, for `finetune.py --scratch true`."""

from pathlib import Path

from selfsup.examples import DataChoice
from selfsup.models.encoder_decoder_config import TextEncoderDecoderConfig
from selfsup.training.command import command

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    task: str,
    output: Path,
    model: TextEncoderDecoderConfig = TextEncoderDecoderConfig(),
    data: DataChoice = DataChoice(),
    tokenizer: str | None = None,
    data_root: Path | None = None,
    trust_remote_code: bool = False,
) -> None:
    """Leave a folder that finetune.py takes as --model with --scratch true: source and target share its tokenizer.

    Args:
        task: name of a file in tasks/, a path to a .py file, or module:attribute.
        output: of the folder.
        model: its shape; vocab_size pieces are learnt.
        data: whose training examples the pieces are learnt from, where that is not the task's own.
        tokenizer: a folder or a Hub id, in place of one that is learnt.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        trust_remote_code: run Python files that come with the tokenizer.
    """
    from selfsup.finetuning.beginning import begin
    from selfsup.task import load_task

    words, pieces = begin(load_task(task, TASKS), data, model, output, tokenizer=tokenizer, data_root=data_root,
                          trust_remote_code=trust_remote_code)  # fmt: skip
    example = "This is where it begins."
    print(f"{words} {example!r} -> {pieces(example)}\nshape   {output}  (finetune.py --scratch true --model {output})")


if __name__ == "__main__":
    command(main)

"""Begin from nothing: the shape of a model and what reads its input, for `finetune.py --scratch true`."""

from pathlib import Path
from typing import Any

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
    kind: str | None = None,
    fields: dict[str, Any] = {},  # noqa: B006 - read only
    data_root: Path | None = None,
    trust_remote_code: bool = False,
) -> None:
    """Leave a folder that finetune.py takes as --model with --scratch true.

    From text to text, source and target share its tokenizer. Of pictures, `kind` says what the model is.

    Args:
        task: name of a file in tasks/, a path to a .py file, or module:attribute.
        output: of the folder.
        model: shape of one that goes from text to text; vocab_size pieces are learnt.
        data: whose training examples the pieces are learnt from, where that is not the task's own.
        tokenizer: a folder or a Hub id, in place of one that is learnt.
        kind: of a model of pictures, as transformers calls it: vit, resnet, convnextv2 …
        fields: of its configuration: {hidden_size: 64}; size and channels are those of the pictures, unless named.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        trust_remote_code: run Python files that come with the tokenizer.
    """
    from selfsup.finetuning.beginning import begin, begin_pictures
    from selfsup.task import load_task

    hint = f"shape   {output}  (finetune.py --scratch true --model {output})"
    if kind is not None:
        made = begin_pictures(load_task(task, TASKS), data, kind, fields, output, data_root=data_root)
        print(f"{made}\n{hint}")
        return
    words, pieces = begin(load_task(task, TASKS), data, model, output, tokenizer=tokenizer, data_root=data_root,
                          trust_remote_code=trust_remote_code)  # fmt: skip
    example = "This is where it begins."
    print(f"{words} {example!r} -> {pieces(example)}\n{hint}")


if __name__ == "__main__":
    command(main)

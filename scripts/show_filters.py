"""Draw through what a network sees pixels first: `show_filters.py --model FOLDER`."""

from pathlib import Path

from selfsup.pictures.filters import draw_filters
from selfsup.training.command import command


def main(
    model: str, output: Path = Path("filters.png"), number: int = 64, trust_remote_code: bool = False
) -> None:  # fmt: skip
    """Draw the filters of the first convolution, or those of patch embeddings, with the largest weights first.

    Args:
        model: a run, an exported folder or a Hub id of a model of pictures.
        output: the picture: .png, .svg or .pdf.
        number: of filters at most.
        trust_remote_code: run Python files that come with the model; our own need none.
    """
    from transformers.utils import logging

    from selfsup.predicting.filters import filters_of

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if number < 1:
        raise ValueError(f"--number must be at least 1, but {number} came")
    weights, what = filters_of(model, trust_remote_code=trust_remote_code)
    shown = min(number, len(weights))
    some = f"the {shown} largest of {len(weights)}" if shown < len(weights) else f"all {shown}"
    draw_filters(weights[:number], output, title=f"{'/'.join(Path(model).parts[-2:])}: {what}, {some}")
    print(f"filters   {output}")


if __name__ == "__main__":
    command(main)

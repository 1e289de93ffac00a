"""Draw what the heads of a model attend to: `show_attention.py --model FOLDER --text "A sentence."`."""

from pathlib import Path

from selfsup.pictures.attention import draw_head, draw_heads
from selfsup.training.command import command


def main(
    model: str, text: str, text_pair: str | None = None, output: Path = Path("attention.png"),
    layer: int | None = None, head: int | None = None, trust_remote_code: bool = False,
) -> None:  # fmt: skip
    """Draw attention weights of one text: all heads of all layers, or one of them large.

    Of an encoder-decoder those of its cross-attention: in each row a token that it writes, in the columns the source.

    Args:
        model: an exported folder or a Hub id of an encoder or an encoder-decoder.
        text: to read.
        text_pair: second segment; of an encoder-decoder the target, which it writes itself if absent.
        output: the picture: .png, .svg or .pdf.
        layer: which one, from 0; with `head`.
        head: which one, from 0; with `layer`.
        trust_remote_code: run Python files that come with the model; our own need none.
    """
    from transformers.utils import logging

    from selfsup.predicting.attention import attention_of

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if (layer is None) != (head is None):
        raise ValueError("--layer and --head are wanted together, but one came alone: give both, or neither for all")
    found = attention_of(model, text, text_pair, trust_remote_code=trust_remote_code)
    weights, name = found.weights.numpy(), "/".join(Path(model).parts[-2:])
    if layer is None or head is None:
        draw_heads(weights, found.queries, found.keys, output, title=f"{found.kind} heads of {name}")
    else:
        for axis, number, count in (("layer", layer, weights.shape[0]), ("head", head, weights.shape[1])):
            if not 0 <= number < count:
                raise ValueError(f"--{axis} must lie between 0 and {count - 1}, but {number} came")
        title = f"{found.kind} of {name}: layer {layer}, head {head}"
        draw_head(weights[layer, head], found.queries, found.keys, output, title=title)
    print(f"attention   {output}")


if __name__ == "__main__":
    command(main)

"""Draw what the heads of an encoder attend to: `show_attention.py --model FOLDER --text "A sentence."`."""

from pathlib import Path

from selfsup.pictures.attention import draw_head, draw_heads, token_labels
from selfsup.training.command import command


def main(
    model: str, text: str, text_pair: str | None = None, output: Path = Path("attention.png"),
    layer: int | None = None, head: int | None = None, trust_remote_code: bool = False,
) -> None:  # fmt: skip
    """Draw attention weights of one text: all heads of all layers, or one of them large.

    Args:
        model: an exported folder or a Hub id of an encoder.
        text: to read.
        text_pair: second segment.
        output: the picture: .png, .svg or .pdf.
        layer: which one, from 0; with `head`.
        head: which one, from 0; with `layer`.
        trust_remote_code: run Python files that come with the model; our own need none.
    """
    import torch
    from transformers.utils import logging

    from selfsup.training.export import open_model, open_tokenizer

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if (layer is None) != (head is None):
        raise ValueError("--layer and --head are wanted together, but one came alone: give both, or neither for all")
    tokenizer = open_tokenizer(model, trust_remote_code)
    network = open_model("AutoModel", model, trust_remote_code=trust_remote_code, attn_implementation="eager")
    inputs = tokenizer(text, text_pair, return_tensors="pt")
    labels = token_labels(tokenizer.convert_ids_to_tokens(inputs["input_ids"][0]))
    longest = min(tokenizer.model_max_length, getattr(network.config, "max_position_embeddings", len(labels)))
    if len(labels) > longest:
        raise ValueError(f"{model} reads at most {longest} tokens, but the text has {len(labels)}: give a shorter one")
    with torch.no_grad():
        layers = getattr(network(**inputs, output_attentions=True), "attentions", None)
    if not layers:
        raise ValueError(f"an encoder with attention is wanted, but {model} gives no attention weights")
    weights, name = torch.cat(layers).numpy(), "/".join(Path(model).parts[-2:])  # of a batch of one
    if layer is None or head is None:
        draw_heads(weights, labels, labels, output, title=f"Attention heads of {name}")
    else:
        for axis, number, count in (("layer", layer, weights.shape[0]), ("head", head, weights.shape[1])):
            if not 0 <= number < count:
                raise ValueError(f"--{axis} must lie between 0 and {count - 1}, but {number} came")
        title = f"Attention of {name}: layer {layer}, head {head}"
        draw_head(weights[layer, head], labels, labels, output, title=title)
    print(f"attention   {output}")


if __name__ == "__main__":
    command(main)

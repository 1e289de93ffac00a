"""Draw how alike the positions of an encoder are: `show_positions.py --model FOLDER --output positions.png`."""

from pathlib import Path

from selfsup.models.positions import alibi_slopes, rotate, rotation, sinusoids
from selfsup.pictures.positions import draw_biases, draw_positions
from selfsup.training.command import command


def main(model: str, output: Path = Path("positions.png"), trust_remote_code: bool = False) -> None:
    """Draw how alike positions are: in a learned table, as sinusoids, in what rotary positions turn; or ALiBi's biases.

    Args:
        model: an exported folder or a Hub id of an encoder.
        output: the picture: .png, .svg or .pdf.
        trust_remote_code: run Python files that come with the model; our own need none.
    """
    import torch
    from transformers.utils import logging

    from selfsup.training.export import open_model

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    network = open_model("AutoModel", model, trust_remote_code=trust_remote_code)
    config, name = network.config, "/".join(Path(model).parts[-2:])
    kind = getattr(config, "position_type", None)
    tables = [module for path, module in network.named_modules()
              if isinstance(module, torch.nn.Embedding) and "position" in path]  # fmt: skip
    position_ids = torch.arange(getattr(config, "max_position_embeddings", 0))[None]
    if kind == "rotary":
        size = config.hidden_size // config.num_attention_heads
        table = rotate(torch.ones(1, 1, 1, size), *rotation(position_ids, size, config.rope_base))[0, 0]
        title = f"Rotary positions of {name}: product of a query and a key that are alike"
    elif kind == "sinusoidal":
        table = sinusoids(position_ids, config.hidden_size, config.rope_base)[0]
        title = f"Sinusoidal positions of {name}"
    elif kind == "alibi":
        slopes = torch.tensor(alibi_slopes(config.num_attention_heads))
        biases = -slopes[:, None] * torch.arange(position_ids.shape[1])
        draw_biases(biases, output, title=f"ALiBi of {name}: what distance costs")
    elif tables:
        first = 0 if tables[0].padding_idx is None else tables[0].padding_idx + 1  # RoBERTa counts from there
        table, title = tables[0].weight[first:], f"Learned position embeddings of {name}"
    else:
        raise ValueError(
            f"a model with positions in a table, sinusoidal, rotary or ALiBi is wanted, but {model} has none"
        )
    if kind != "alibi":
        draw_positions(table, output, title=title)
    print(f"positions   {output}")


if __name__ == "__main__":
    command(main)

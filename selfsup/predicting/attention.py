"""What a model attends to when it reads a text, or when it writes one: the weights of all heads, and whose they are."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoConfig

from selfsup.pictures.attention import token_labels
from selfsup.predicting.translating import LONGEST, Translator, open_writer, read_prefix, read_source
from selfsup.training.export import exported, open_model, open_tokenizer, opening


class Attention(NamedTuple):
    """Weights of one text.

    Args:
        weights: (layers, heads, queries, keys), on the CPU.
        queries: labels of the tokens that attend; of an encoder-decoder those of the target, each of which is written
            with these weights.
        keys: labels of the tokens that are attended to; of an encoder-decoder those of the source.
        kind: "Attention" or "Cross-attention".
    """

    weights: Tensor
    queries: list[str]
    keys: list[str]
    kind: str


def attention_of(name: str, text: str, text_pair: str | None = None, *, trust_remote_code: bool = False) -> Attention:
    """Open a model and see where its heads look: an encoder in what it reads, an encoder-decoder from target to source.

    Args:
        name: a run, an exported folder or a Hub id.
        text: to read.
        text_pair: second segment; of an encoder-decoder the target, which it writes itself, if None.
        trust_remote_code: run Python files that come with the model; our own need none.
    Raises:
        ValueError: nothing opens under that name, it gives no such weights, or a text is too long.
    """
    start = exported(name)
    with opening("an exported folder or a Hub id is wanted", name):
        config = AutoConfig.from_pretrained(start, trust_remote_code=trust_remote_code)
    if config.is_encoder_decoder and (config.architectures or [""])[0] not in ("T5EncoderModel", "MT5EncoderModel"):
        return _across(name, text, text_pair, trust_remote_code)
    return _within(start, text, text_pair, trust_remote_code)


def _within(name: str, text: str, text_pair: str | None, trust_remote_code: bool) -> Attention:
    tokenizer = open_tokenizer(name, trust_remote_code)
    network = open_model("AutoModel", name, trust_remote_code=trust_remote_code, attn_implementation="eager")
    inputs = tokenizer(text, text_pair, return_tensors="pt")
    labels = token_labels(tokenizer.convert_ids_to_tokens(inputs["input_ids"][0]))
    longest = min(tokenizer.model_max_length, getattr(network.config, "max_position_embeddings", len(labels)))
    if len(labels) > longest:
        raise ValueError(f"{name} reads at most {longest} tokens, but the text has {len(labels)}: give a shorter one")
    with torch.no_grad():
        layers = getattr(network(**inputs, output_attentions=True), "attentions", None)
    if not layers:
        raise ValueError(f"an encoder with attention is wanted, but {name} gives no attention weights")
    return Attention(torch.cat(layers), labels, labels, "Attention")


def _across(name: str, text: str, target: str | None, trust_remote_code: bool) -> Attention:
    model, tokenizer = open_writer(name, trust_remote_code=trust_remote_code)
    translator = Translator(model, tokenizer)
    source = read_source(tokenizer, model.config, text)
    longest = getattr(model.config, "max_position_embeddings", LONGEST)
    if target is None:
        written = read_prefix(tokenizer, translator(text))[: longest - 1]  # it may be cut otherwise than it was written
    else:
        written = read_prefix(tokenizer, target)
    model.set_attn_implementation("eager")
    asked: dict[str, Any] = {"input_ids": torch.tensor([source]), "output_attentions": True}
    if getattr(model.config, "parallel", False):
        asked["decoder_input_ids"] = torch.tensor([written])
    else:
        end, start = model.generation_config.eos_token_id, model.generation_config.decoder_start_token_id
        written = [*written, end[0] if isinstance(end, list) else end]
        asked["decoder_input_ids"] = torch.tensor([[start, *written[:-1]]])  # each place writes what follows it
    if not 0 < len(written) <= longest:
        raise ValueError(f"{name} writes 1 to {longest} tokens, but the target has {len(written)}: give another one")
    with torch.no_grad():
        layers = model(**asked).cross_attentions
    queries, keys = (token_labels(tokenizer.convert_ids_to_tokens(ids)) for ids in (written, source))
    return Attention(torch.cat(layers), queries, keys, "Cross-attention")

"""Who sees whom: padding, packed sequences, windows and penalties of distance, as masks of attention."""

import torch
from torch import Tensor
from transformers.masking_utils import (
    create_bidirectional_mask,
    create_bidirectional_sliding_window_mask,
    create_causal_mask,
)

from .positions import alibi


def sequence_mask(sequence_ids: Tensor):
    """A mask function that keeps attention inside each of the sequences packed into a row.

    Args:
        sequence_ids: (batch, tokens) int64; which sequence of its row a token belongs to, 0 for padding.
    Returns:
        a function of (batch, head, query, key) indices, for `create_bidirectional_mask(and_mask_function=…)`.
    """

    def same_sequence(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return sequence_ids[batch, query] == sequence_ids[batch, key]

    return same_sequence


def as_sequences(attention_mask: Tensor | None, sequence_ids: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Padding is a sequence of its own: with `sequence_ids` there is no need of a padding mask.

    A row without any visible key would divide zero by zero in softmax; padding that sees padding does not.
    """
    if sequence_ids is None:
        return attention_mask, None
    if attention_mask is not None:
        sequence_ids = torch.where(attention_mask.bool(), sequence_ids, 0)
    return None, sequence_ids


def windowed(config) -> list[bool]:
    """Which blocks look through the window: none, all, or the first, third, fifth … of them."""
    step = 2 if config.sliding_layers == "alternating" else 1
    return [config.sliding_window is not None and number % step == 0 for number in range(config.num_hidden_layers)]


def block_masks(
    config, embeds: Tensor, position_ids: Tensor, attention_mask: Tensor | None, sequence_ids: Tensor | None
) -> list:
    """The mask of every block; blocks that see the same share one tensor.

    Args:
        config: a `TextEncoderConfig`.
        embeds: (batch, tokens, hidden), for its shape, type and device.
        position_ids: (batch or 1, tokens) int64, read by ALiBi alone.
        attention_mask: (batch, tokens), 0 for padding; or None.
        sequence_ids: see `sequence_mask`; or None.
    Returns:
        for each block what `config._attn_implementation` takes: None where all is visible, a block mask (flex), or
        (batch, 1 or heads, tokens, tokens), bool (True = visible) or added to the scores.
    """
    windows = windowed(config)
    if any(windows) and sequence_ids is None and attention_mask is not None:
        sequence_ids = torch.ones_like(attention_mask, dtype=torch.long)  # else padding might find an empty window
    attention_mask, sequence_ids = as_sequences(attention_mask, sequence_ids)
    bias = None
    if config.position_type == "alibi":
        bias = alibi(position_ids, config.num_attention_heads).to(embeds.dtype)
    masks = {}
    for window in set(windows):
        create = create_bidirectional_sliding_window_mask if window else create_bidirectional_mask
        mask = create(
            config=config,
            inputs_embeds=embeds,
            attention_mask=attention_mask,
            and_mask_function=None if sequence_ids is None else sequence_mask(sequence_ids),
        )
        masks[window] = mask if bias is None else add_mask(bias, mask)
    return [masks[window] for window in windows]


def causal_mask(config, embeds: Tensor, attention_mask: Tensor | None, sequence_ids: Tensor | None, cache):
    """The mask of every block of a decoder: a token sees itself and what stands before it in its sequence.

    Args:
        config: a `TextDecoderConfig`.
        embeds: (batch, tokens, hidden), for its shape, type and device.
        attention_mask: (batch, tokens, those of the cache included), 0 for padding; or None.
        sequence_ids: see `sequence_mask`; or None.
        cache: of transformers, with the keys of earlier tokens; or None.
    Returns:
        what `config._attn_implementation` takes, see `block_masks`; None where the order of the tokens says it all.
    """
    attention_mask, sequence_ids = as_sequences(attention_mask, sequence_ids)
    return create_causal_mask(
        config=config,
        inputs_embeds=embeds,
        attention_mask=attention_mask,
        past_key_values=cache,
        and_mask_function=None if sequence_ids is None else sequence_mask(sequence_ids),
    )


def add_mask(bias: Tensor, mask: Tensor | None) -> Tensor:
    """A bias of the scores where keys are visible, and half of the lowest number of its type where they are not.

    Half, since the lowest float32 is -inf once autocast makes bfloat16 of it, and softmax of a row of -inf is nan.

    Args:
        bias: (batch or 1, heads, tokens, tokens) float.
        mask: (batch, 1, tokens, tokens), bool or added to the scores; None = all visible.
    Returns:
        (batch or 1, heads, tokens, tokens) in the type of `bias`.
    """
    if mask is None:
        return bias
    lowest = torch.finfo(bias.dtype).min / 2
    if mask.dtype == torch.bool:
        return torch.where(mask, bias, lowest)
    return (bias + mask).clamp(min=lowest)


def visible(mask: Tensor) -> Tensor:
    """A mask as bool, True = visible; a quarter of the lowest number lies far below every penalty of distance."""
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 4

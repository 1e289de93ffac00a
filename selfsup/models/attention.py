"""Multi-head self-attention on top of transformers' attention interface."""

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, EncoderDecoderCache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .dropout import drop
from .masks import visible
from .positions import rotate

LONGEST_WRITTEN_OUT = 128  # tokens; see `sdpa_is_slow`


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    activation: str = "softmax",
    **kwargs: object,
) -> tuple[Tensor, Tensor]:
    """Attention written out, for those who want to see the weights, or other weights than softmax gives.

    Args:
        module: the calling layer; says whether it is in training, and whether it is causal.
        query: (batch, heads, tokens, head_size); key and value likewise.
        attention_mask: (batch, 1 or heads, tokens, tokens), bool (True = visible) or added to the scores; or None: all
            keys are visible, to a causal layer those up to its own.
        scaling: factor of the scores, usually head_size ** -0.5.
        dropout: share of the weights to drop in training.
        activation: how weights are made of scores: "softmax", "relu" or "sigmoid", see `share_out`.
    Returns:
        (batch, tokens, heads, head_size) and the weights (batch, heads, tokens, tokens).
    """
    scores = query @ key.transpose(-1, -2) * scaling
    if attention_mask is None and getattr(module, "is_causal", False) and query.shape[2] > 1:
        queries, keys = scores.shape[-2:]
        attention_mask = torch.ones(queries, keys, dtype=torch.bool, device=scores.device).tril(keys - queries)
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores = scores + attention_mask
    weights = share_out(scores, attention_mask, activation)
    weights = drop(weights, dropout, training=module.training)
    return (weights @ value).transpose(1, 2), weights


def share_out(scores: Tensor, attention_mask: Tensor | None, activation: str) -> Tensor:
    """Weights of the values: softmax, relu(score) / n, or sigmoid(score - ln n), n being the visible keys of a query.

    With n counted, padding and neighbours in a packed row change nothing. Only softmax weights sum to 1.

    Args:
        scores: (batch, heads, tokens, tokens), lowest where a key is hidden.
        attention_mask: as for `eager_attention`; says how many keys are visible.
        activation: "softmax", "relu" or "sigmoid".
    Returns:
        (batch, heads, tokens, tokens) in the type of the scores, zero where a key is hidden.
    Source:
        Wortsman et al. 2023, "Replacing softmax with ReLU in Vision Transformers"; Ramapuram et al. 2024, "Theory,
        Analysis, and Best Practices for Sigmoid Self-Attention", section 3.
    """
    if activation == "softmax":
        return scores.softmax(dim=-1)
    exact = torch.promote_types(scores.dtype, torch.float32)  # bfloat16 counts exactly to 256 only
    count = torch.full((), scores.shape[-1], dtype=exact, device=scores.device)
    if attention_mask is not None:
        count = visible(attention_mask).sum(dim=-1, keepdim=True).clamp(min=1).to(exact)
    wide = scores.to(exact)
    weights = wide.relu() / count if activation == "relu" else (wide - count.log()).sigmoid()
    return weights.to(scores.dtype)


def sdpa_is_slow(query: Tensor) -> bool:
    """Whether attention is faster written out: for short rows of bfloat16 on a CPU, where the gradient of torch's fused
    kernel takes twice the time (scripts/bench_attention.py).

    Args:
        query: (batch, heads, tokens, head_size).
    """
    short = query.shape[2] <= LONGEST_WRITTEN_OUT
    return short and query.dtype == torch.bfloat16 and query.device.type == "cpu" and torch.is_grad_enabled()


def unit(norm: nn.RMSNorm, vectors: Tensor) -> Tensor:
    """The norm in the type of the vectors, (…, head_size); torch's own warns of any other."""
    return nn.functional.rms_norm(vectors, norm.normalized_shape, norm.weight.to(vectors.dtype), norm.eps)


def check_implementation(config, output_attentions: bool | None) -> None:
    """Refuse what only attention with a mask of numbers can do, where another implementation is chosen.

    Raises:
        ValueError: ALiBi, another activation than softmax, or visible weights under, for example, flex attention.
    """
    asked = {
        'position_type="alibi"': config.position_type == "alibi",
        f'attention_activation="{config.attention_activation}"': config.attention_activation != "softmax",
        "output_attentions=True": output_attentions,
    }
    for what in (name for name, needed in asked.items() if needed):
        if config._attn_implementation not in ("sdpa", "eager"):
            raise ValueError(
                f'{what} needs attn_implementation="sdpa" or "eager", but it is "{config._attn_implementation}": '
                f'call model.set_attn_implementation("sdpa")'
            )


class SelfAttention(nn.Module):
    """Every token looks at every token of its sequence, or in a decoder at those before it, with several heads at once.

    Args:
        config: of the model.
        layer_index: number of the block in a decoder, which finds its keys and values in a cache by it; None in an
            encoder.
    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2; Henry et al. 2020, "Query-Key Normalization for
        Transformers" (`qk_norm`; here as root mean squares, with a learned scale for every direction).
    """

    def __init__(self, config, layer_index: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.layer_index = layer_index
        self.is_causal = layer_index is not None  # transformers' SDPA takes a layer without this flag for a decoder
        self.head_size = config.hidden_size // config.num_attention_heads
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.use_bias)
        self.output = nn.Linear(config.hidden_size, config.hidden_size, bias=config.use_bias)
        if config.qk_norm:
            self.query_norm = nn.RMSNorm(self.head_size, eps=config.norm_eps)
            self.key_norm = nn.RMSNorm(self.head_size, eps=config.norm_eps)

    def forward(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
        past_key_values: Cache | None = None,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor | None]:
        """
        Args:
            hidden: (batch, tokens, hidden).
            attention_mask: one of `block_masks`, or `causal_mask`.
            rotation: cosine and sine of rotary positions, or None.
            past_key_values: keys and values of earlier tokens, which these are added to; or None.
            kwargs: `output_attentions=True` writes attention out even where another implementation is chosen.
        Returns:
            (batch, tokens, hidden) and, where they were asked for or are made anyway, the weights
            (batch, heads, tokens, tokens).
        """
        batch, tokens, _ = hidden.shape
        parts = self.query_key_value(hidden).view(batch, tokens, 3, -1, self.head_size)
        query, key, value = parts.transpose(1, 3).unbind(dim=2)  # each (batch, heads, tokens, head_size)
        if self.config.qk_norm:
            query, key = unit(self.query_norm, query), unit(self.key_norm, key)
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_index)
        mixed, weights = attend(self, query, key, value, attention_mask, **kwargs)
        return self.output(mixed.reshape(batch, tokens, -1)), weights


class CrossAttention(nn.Module):
    """Every token of a target looks at all tokens of its source.

    Args:
        config: of the model; with `rotary_cross_attention` it also looks by where the two stand.
        layer_index: number of the block, which finds the keys and values of the source in a cache by it.
    Source:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.2.3.
    """

    def __init__(self, config, layer_index: int) -> None:
        super().__init__()
        self.config = config
        self.layer_index = layer_index
        self.is_causal = False  # transformers' SDPA takes a layer without this flag for a decoder
        self.head_size = config.hidden_size // config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size, bias=config.use_bias)
        self.key_value = nn.Linear(config.hidden_size, 2 * config.hidden_size, bias=config.use_bias)
        self.output = nn.Linear(config.hidden_size, config.hidden_size, bias=config.use_bias)
        if config.qk_norm:
            self.query_norm = nn.RMSNorm(self.head_size, eps=config.norm_eps)
            self.key_norm = nn.RMSNorm(self.head_size, eps=config.norm_eps)

    def forward(
        self,
        hidden: Tensor,
        source: Tensor,
        source_mask: Tensor | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
        source_rotation: tuple[Tensor, Tensor] | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        **kwargs: object,
    ) -> tuple[Tensor, Tensor | None]:
        """
        Args:
            hidden: (batch, tokens, hidden) of the target.
            source: (batch, source tokens, hidden).
            source_mask: of `create_bidirectional_mask`, which tokens of the source are real.
            rotation: cosine and sine of rotary positions of the target, where they count here.
            source_rotation: those of the source.
            past_key_values: keeps keys and values of the source, which are computed once; or None.
            kwargs: as for `SelfAttention`.
        Returns:
            (batch, tokens, hidden) and, where they were asked for or are made anyway, the weights
            (batch, heads, tokens, source tokens).
        """
        batch, tokens, _ = hidden.shape
        query = self.query(hidden).view(batch, tokens, -1, self.head_size).transpose(1, 2)
        if self.config.qk_norm:
            query = unit(self.query_norm, query)
        if self.config.rotary_cross_attention and rotation is not None:
            query = rotate(query, *rotation)
        if past_key_values is not None and past_key_values.is_updated.get(self.layer_index):
            kept = past_key_values.cross_attention_cache.layers[self.layer_index]
            key, value = kept.keys, kept.values
        else:
            key, value = self.keys_and_values(source, source_rotation)
            if past_key_values is not None:
                key, value = past_key_values.cross_attention_cache.update(key, value, self.layer_index)
                past_key_values.is_updated[self.layer_index] = True
        mixed, weights = attend(self, query, key, value, source_mask, **kwargs)
        return self.output(mixed.reshape(batch, tokens, -1)), weights

    def keys_and_values(self, source: Tensor, rotation: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """What a source is looked up by, and what is found: (batch, source tokens, hidden) to two of
        (batch, heads, source tokens, head_size)."""
        parts = self.key_value(source).view(*source.shape[:2], 2, -1, self.head_size)
        key, value = parts.transpose(1, 3).unbind(dim=2)
        if self.config.qk_norm:
            key = unit(self.key_norm, key)
        if self.config.rotary_cross_attention and rotation is not None:
            key = rotate(key, *rotation)
        return key, value


def attend(
    module: SelfAttention | CrossAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs,
) -> tuple[Tensor, Tensor | None]:
    """Attention as the configuration of a layer names it, or written out where weights are asked for, where softmax
    does not make them, and where that is faster; arguments and result as of `eager_attention`."""
    config = module.config
    chosen = eager_attention
    if config.attention_activation == "softmax" and not kwargs.get("output_attentions"):
        chosen = ALL_ATTENTION_FUNCTIONS.get_interface(config._attn_implementation, eager_attention)
    if config._attn_implementation == "sdpa" and sdpa_is_slow(query):
        chosen = eager_attention
    return chosen(
        module,
        query,
        key,
        value,
        attention_mask,
        dropout=config.dropout if module.training else 0.0,
        scaling=query.shape[-1] ** -0.5,
        activation=config.attention_activation,
        **kwargs,
    )

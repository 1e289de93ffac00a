"""The two sides of an encoder-decoder: what reads a source, and what reads a target beside it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPastAndCrossAttentions
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .attention import CrossAttention, SelfAttention, check_implementation
from .blocks import Block, CrossBlock, narrows
from .dropout import Dropout
from .encoder_decoder_config import TextEncoderDecoderConfig
from .masks import causal_mask
from .positions import count_positions, rotation


@dataclass
class SourceOutput(BaseModelOutput):
    """What the encoder gives.

    Args:
        last_hidden_state: (batch, tokens, hidden).
        levels: (batch, blocks, tokens, hidden), the outputs of all blocks, where the decoder looks at each.
        source_ids: (batch, tokens) int64, where they may be copied.
    """

    levels: Tensor | None = None
    source_ids: Tensor | None = None


class TextEncoderDecoderPreTrainedModel(PreTrainedModel):
    """What all parts share: how weights start, and what transformers may do with the model."""

    config_class = TextEncoderDecoderConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # our losses are means of one batch; else `Trainer` would not divide accumulated ones
    _no_split_modules = ["Block", "CrossBlock"]  # noqa: RUF012 - transformers' own form
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Only `init` functions: they skip weights that were just loaded (transformers issue 46620).
        if isinstance(module, nn.Linear | nn.Embedding):
            std = 0.0 if getattr(module, "starts_at_zero", False) else self.config.initializer_range
            init.normal_(module.weight, mean=0.0, std=std)
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                init.zeros_(module.weight[module.padding_idx])
            if isinstance(module, nn.Linear) and module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
            init.ones_(module.weight)


class Stack(TextEncoderDecoderPreTrainedModel):
    """Embeddings, blocks and a last norm: what both sides are made of."""

    def __init__(self, config: TextEncoderDecoderConfig, blocks: list[Block] | list[CrossBlock]) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.embeddings_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=False)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=False)
        for block in blocks:  # told here: transformers initialises no module that has no weights of its own
            for part in (block.attention, getattr(block, "cross_attention", None), block.feed_forward):
                if part is not None:
                    part.output.starts_at_zero = config.zero_init_output
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.embeddings = value

    def embed(self, input_ids: Tensor | None, inputs_embeds: Tensor | None, seen: int, side: str) -> Tensor:
        """(batch, tokens) ids, or vectors in their place -> (batch, tokens, hidden).

        Raises:
            ValueError: both or neither came, or more tokens than the model has positions.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError(f"give exactly one of ids and vectors of the {side}")
        embeds = self.embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if seen + embeds.shape[1] > self.config.max_position_embeddings:
            raise ValueError(
                f"a {side} has at most {self.config.max_position_embeddings} tokens (max_position_embeddings), but "
                f"{seen + embeds.shape[1]} came: cut it, or train with a larger value"
            )
        return embeds

    def begin(self, embeds: Tensor) -> Tensor:
        """The stream that enters the blocks."""
        hidden = self.dropout(self.embeddings_norm(embeds))
        return hidden.to(torch.bfloat16) if narrows(hidden) else hidden  # else it stays wide, and every sum with it

    def turns(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of rotary positions, see `rotation`."""
        return rotation(positions, self.config.hidden_size // self.config.num_attention_heads, self.config.rope_base)


class SourceEncoder(Stack):
    """Token ids of a source to one vector per token, each made of all of them."""

    _can_record_outputs = {"hidden_states": Block, "attentions": SelfAttention}  # noqa: RUF012

    def __init__(self, config: TextEncoderDecoderConfig) -> None:
        super().__init__(config, [Block(config) for _ in range(config.num_encoder_layers)])

    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs,
    ) -> SourceOutput:
        """Read a batch of sources.

        Args:
            input_ids: (batch, tokens) int64; or give `inputs_embeds`.
            attention_mask: (batch, tokens), 1 for real tokens, 0 for padding; all real if absent.
            inputs_embeds: (batch, tokens, hidden) in place of `input_ids`.
        Raises:
            ValueError: both or neither of them, too many tokens, or vectors where ids may be copied.
        """
        kwargs.setdefault("output_attentions", self.config.output_attentions)
        check_implementation(self.config, kwargs["output_attentions"])
        embeds = self.embed(input_ids, inputs_embeds, 0, "source")
        if self.config.copy_gate and input_ids is None:
            raise ValueError("a model with copy_gate copies ids of the source: give input_ids, not inputs_embeds")
        mask = create_bidirectional_mask(config=self.config, inputs_embeds=embeds, attention_mask=attention_mask)
        turns = self.turns(count_positions(attention_mask, 0, embeds.shape[1], embeds.device))
        hidden, levels = self.begin(embeds), []
        for block in self.blocks:
            hidden = block(hidden, mask, turns, **kwargs)
            if self.config.cross_attention == "layerwise":
                levels.append(self.norm(hidden))
        return SourceOutput(
            last_hidden_state=levels[-1] if levels else self.norm(hidden),
            levels=torch.stack(levels, dim=1) if levels else None,
            source_ids=input_ids if self.config.copy_gate else None,
        )


class TargetDecoder(Stack):
    """Token ids of a target to one vector per token, each made of the source and of the target before it, or, in a
    parallel model, of all of the target."""

    _can_record_outputs = {  # noqa: RUF012
        "hidden_states": CrossBlock,
        "attentions": OutputRecorder(SelfAttention, index=1),
        "cross_attentions": OutputRecorder(CrossAttention, index=1),
    }

    def __init__(self, config: TextEncoderDecoderConfig) -> None:
        super().__init__(config, [CrossBlock(config, number) for number in range(config.num_decoder_layers)])

    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        encoder_outputs: SourceOutput | None = None,
        encoder_attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Read a batch of targets, or some more tokens of them.

        Args:
            input_ids: (batch, tokens) int64; or give `inputs_embeds`.
            attention_mask: (batch, tokens, those of the cache included), 0 for padding; all real if absent.
            encoder_outputs: of `SourceEncoder`.
            encoder_attention_mask: (batch, source tokens), 0 for padding; all real if absent.
            inputs_embeds: (batch, tokens, hidden) in place of `input_ids`.
            past_key_values: keys and values of earlier tokens and of the source; those of these tokens are added.
            use_cache: return keys and values, by default as the configuration says and never in training.
        Raises:
            ValueError: both or neither of ids and vectors, too many tokens, no source, or a parallel model with a
                cache.
        """
        kwargs.setdefault("output_attentions", self.config.output_attentions)
        check_implementation(self.config, kwargs["output_attentions"])
        if encoder_outputs is None:
            raise ValueError("a source is wanted, but none came: give input_ids or encoder_outputs")
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        use_cache = use_cache and not self.config.parallel
        if self.config.parallel and past_key_values is not None:
            raise ValueError("a parallel model changes all tokens in every round, so it keeps no cache: give none")
        if use_cache and past_key_values is None:
            past_key_values = EncoderDecoderCache(DynamicCache(config=self.config), DynamicCache(config=self.config))
        own = None if past_key_values is None else past_key_values.self_attention_cache
        seen = 0 if own is None else own.get_seq_length()
        embeds = self.embed(input_ids, inputs_embeds, seen, "target")
        if self.config.parallel:
            mask = create_bidirectional_mask(config=self.config, inputs_embeds=embeds, attention_mask=attention_mask)
        else:
            mask = causal_mask(self.config, embeds, attention_mask, None, own)
        source = encoder_outputs.last_hidden_state
        source_mask = create_bidirectional_mask(
            config=self.config,
            inputs_embeds=embeds,
            attention_mask=encoder_attention_mask,
            encoder_hidden_states=source,
        )
        turns = self.turns(count_positions(attention_mask, seen, embeds.shape[1], embeds.device))
        source_turns = None
        if self.config.rotary_cross_attention:
            source_turns = self.turns(count_positions(encoder_attention_mask, 0, source.shape[1], embeds.device))
        hidden, levels = self.begin(embeds), getattr(encoder_outputs, "levels", None)
        for number, block in enumerate(self.blocks):
            read = source if levels is None else levels[:, number]
            hidden = block(hidden, read, mask, source_mask, turns, source_turns, past_key_values, **kwargs)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=self.norm(hidden), past_key_values=past_key_values if use_cache else None
        )

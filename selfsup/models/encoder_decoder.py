"""A Transformer encoder-decoder for text: its bodies, the head that writes token by token, and one that fills gaps."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPastAndCrossAttentions,
    Seq2SeqLMOutput,
    Seq2SeqModelOutput,
)
from transformers.utils.generic import can_return_tuple
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .attention import CrossAttention, SelfAttention, check_implementation
from .blocks import Block, CrossBlock, narrows
from .copying import CopyGate
from .dropout import Dropout
from .encoder_decoder_config import AUTO_MAP, TextEncoderDecoderConfig
from .heads import mean_loss
from .masks import causal_mask
from .positions import count_positions, rotation

AUTO_CLASSES = {auto: place.partition(".")[2] for auto, place in AUTO_MAP.items()}


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


@dataclass
class ParallelOutput(Seq2SeqLMOutput):
    """What `TextEncoderDecoderForMaskedLM` returns.

    Args:
        length_logits: (batch, max_position_embeddings + 1), scores of the numbers of tokens of the target.
    """

    length_logits: Tensor | None = None


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


class TextEncoderDecoderModel(TextEncoderDecoderPreTrainedModel):
    """Both bodies: a source and a target to one vector per token of the target."""

    _tied_weights_keys = {"decoder.embeddings.weight": "encoder.embeddings.weight"}  # noqa: RUF012

    def __init__(self, config: TextEncoderDecoderConfig) -> None:
        super().__init__(config)
        self.encoder = SourceEncoder(config)
        self.decoder = TargetDecoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.encoder.embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.encoder.embeddings = self.decoder.embeddings = value

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: SourceOutput | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> Seq2SeqModelOutput:
        """Read sources, unless `encoder_outputs` came, and targets.

        Args:
            input_ids: (batch, source tokens) int64; or give `inputs_embeds`.
            attention_mask: (batch, source tokens), 0 for padding; all real if absent.
            decoder_input_ids: (batch, tokens) int64; or give `decoder_inputs_embeds`.
            decoder_attention_mask: (batch, tokens, those of the cache included), 0 for padding; all real if absent.
            encoder_outputs: of `SourceEncoder`, from an earlier call, in place of the source.
            past_key_values: `EncoderDecoderCache`.
            use_cache: as for `TargetDecoder`.
        Returns:
            `last_hidden_state` (batch, tokens, hidden); with `output_attentions=True` also `decoder_attentions`,
            `cross_attentions` (batch, heads, tokens, source tokens) of each block, and `encoder_attentions`.
        Raises:
            ValueError: see `SourceEncoder` and `TargetDecoder`.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids, attention_mask, inputs_embeds, **kwargs)
        decoded = self.decoder(
            decoder_input_ids,
            decoder_attention_mask,
            encoder_outputs,
            attention_mask,
            decoder_inputs_embeds,
            past_key_values,
            use_cache,
            **kwargs,
        )
        return Seq2SeqModelOutput(
            last_hidden_state=decoded.last_hidden_state,
            past_key_values=decoded.past_key_values,
            decoder_hidden_states=decoded.hidden_states,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=encoder_outputs.last_hidden_state,
            encoder_hidden_states=encoder_outputs.hidden_states,
            encoder_attentions=encoder_outputs.attentions,
        )


class TextEncoderDecoderWithVocabulary(TextEncoderDecoderPreTrainedModel):
    """What both heads share: the matrix of embeddings also scores the vocabulary."""

    _tied_weights_keys = {  # noqa: RUF012
        "model.decoder.embeddings.weight": "model.encoder.embeddings.weight",
        "lm_head.weight": "model.encoder.embeddings.weight",
    }
    writes_in_parallel = False

    def __init__(self, config: TextEncoderDecoderConfig) -> None:
        super().__init__(config)
        if config.parallel != self.writes_in_parallel:
            name, other = (
                type(self).__name__,
                "AutoModelForSeq2SeqLM" if not config.parallel else "AutoModelForMaskedLM",
            )
            raise ValueError(
                f"{name} needs a model with parallel={self.writes_in_parallel}, but it is {config.parallel}: open it "
                f"with {other}, or train one of the other kind"
            )
        self.model = TextEncoderDecoderModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def get_encoder(self) -> SourceEncoder:
        return self.model.encoder

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Linear) -> None:
        self.lm_head = value


class TextEncoderDecoderForSeq2SeqLM(TextEncoderDecoderWithVocabulary, GenerationMixin):
    """Guess what follows each token of a target."""

    def __init__(self, config: TextEncoderDecoderConfig) -> None:
        super().__init__(config)
        if config.copy_gate:
            self.copy = CopyGate(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: SourceOutput | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logit_positions: Tensor | None = None,
        **kwargs,
    ) -> Seq2SeqLMOutput:
        """Inputs as for `TextEncoderDecoderModel`, and

        Args:
            labels: (batch, tokens) int64, what each token of the decoder is followed by, -100 where nothing is asked;
                gives the mean loss. Without `decoder_input_ids` the decoder reads them, moved one place to the right
                behind `decoder_start_token_id`.
            logit_positions: (answers) int64, places in the flattened targets that are followed by a guess.
        Returns:
            `logits` (batch, tokens, vocab), or (answers, vocab) for chosen positions; with a copy gate logarithms of
            probabilities.
        """
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        if encoder_outputs is None:
            encoder_outputs = self.model.encoder(input_ids, attention_mask, inputs_embeds, **kwargs)
        body = self.model(
            None,
            attention_mask,
            decoder_input_ids,
            decoder_attention_mask,
            encoder_outputs,
            past_key_values,
            None,
            decoder_inputs_embeds,
            use_cache,
            **kwargs,
        )
        hidden = body.last_hidden_state
        if self.config.copy_gate:
            logits = self.copy(
                hidden, body.encoder_last_hidden_state, encoder_outputs.source_ids, attention_mask, self.lm_head,
                logit_positions,
            )  # fmt: skip
        else:
            logits = self.lm_head(hidden if logit_positions is None else hidden.flatten(0, 1)[logit_positions])
        loss = None
        if labels is not None:
            if logits.shape[:-1] != labels.shape:
                raise ValueError("labels are of all tokens: give them without logit_positions")
            loss = mean_loss(logits, labels)
        return _with(Seq2SeqLMOutput, body, loss=loss, logits=logits)

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """What the decoder reads when it is to guess these labels: (batch, tokens) int64 both."""
        start = self.config.decoder_start_token_id
        if start is None:
            raise ValueError("decoder_start_token_id of the configuration is wanted, but it is None: set it")
        before = torch.full_like(labels[:, :1], start)
        return torch.cat([before, labels[:, :-1].masked_fill(labels[:, :-1] == -100, self.config.pad_token_id)], dim=1)


class TextEncoderDecoderForMaskedLM(TextEncoderDecoderWithVocabulary):
    """Guess hidden tokens of a target from its source and what is visible of it, and its length from the source.

    Source:
        Ghazvininejad et al. 2019, "Mask-Predict: Parallel Decoding of Conditional Masked Language Models", section 2;
        the first token of the source stands for their LENGTH.
    """

    writes_in_parallel = True

    def __init__(self, config: TextEncoderDecoderConfig) -> None:
        super().__init__(config)
        self.length = nn.Linear(config.hidden_size, config.max_position_embeddings + 1)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_outputs: SourceOutput | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        logit_positions: Tensor | None = None,
        **kwargs,
    ) -> ParallelOutput:
        """Inputs as for `TextEncoderDecoderModel`; `decoder_input_ids` are the tokens of the target alone, some hidden.

        Args:
            labels: (batch, tokens) int64, the target, -100 where nothing is asked; gives the mean loss of the tokens.
            logit_positions: (answers) int64, places in the flattened targets at which tokens are guessed.
        Returns:
            `logits` (batch, tokens, vocab), or (answers, vocab) for chosen positions, and `length_logits`.
        """
        body = self.model(
            input_ids,
            attention_mask,
            decoder_input_ids,
            decoder_attention_mask,
            encoder_outputs,
            None,
            inputs_embeds,
            decoder_inputs_embeds,
            **kwargs,
        )
        hidden = body.last_hidden_state
        logits = self.lm_head(hidden if logit_positions is None else hidden.flatten(0, 1)[logit_positions])
        loss = None
        if labels is not None:
            if logits.shape[:-1] != labels.shape:
                raise ValueError("labels are of all tokens: give them without logit_positions")
            loss = mean_loss(logits, labels)
        lengths = self.guess_length(body.encoder_last_hidden_state)
        return _with(ParallelOutput, body, loss=loss, logits=logits, length_logits=lengths)

    def guess_length(self, source: Tensor) -> Tensor:
        """(batch, source tokens, hidden) of the encoder -> (batch, max_position_embeddings + 1) scores of lengths."""
        return self.length(source[:, 0])


def _with(kind: type, body: Seq2SeqModelOutput, **fields):
    """The output of a head: that of the body, with scores in place of its vectors."""
    kept = {name: value for name, value in body.items() if name != "last_hidden_state"}
    return kind(**kept, **fields)

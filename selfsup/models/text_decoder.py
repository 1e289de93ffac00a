"""A Transformer decoder for text: its body, the head that goes on writing, and one that classifies."""

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    CausalLMOutputWithPast,
    SequenceClassifierOutputWithPast,
)
from transformers.utils.generic import can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from .attention import SelfAttention, check_implementation
from .blocks import Block, narrows
from .dropout import Dropout
from .heads import mean_loss
from .masks import causal_mask
from .positions import count_positions, rotation
from .stepwise import Stepwise, is_plain
from .text_decoder_config import AUTO_MAP, TextDecoderConfig

AUTO_CLASSES = {auto: place.partition(".")[2] for auto, place in AUTO_MAP.items()}


class TextDecoderPreTrainedModel(PreTrainedModel):
    """What all heads share: how weights start, and what transformers may do with the model."""

    config_class = TextDecoderConfig
    base_model_prefix = "decoder"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # our losses are means of one batch; else `Trainer` would not divide accumulated ones
    _no_split_modules = ["Block"]  # noqa: RUF012 - transformers' own form
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": Block, "attentions": SelfAttention}  # noqa: RUF012

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


class TextDecoderModel(TextDecoderPreTrainedModel):
    """The body: token ids to one vector per token, each made of itself and what stands before it."""

    def __init__(self, config: TextDecoderConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.embeddings_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=False)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, number) for number in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=False)
        for block in self.blocks:  # told here: transformers initialises no module that has no weights of its own
            for half in (block.attention, block.feed_forward):
                half.output.starts_at_zero = config.zero_init_output  # type: ignore[union-attr]
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.embeddings = value

    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPast:
        """Read a batch of sequences.

        Args:
            input_ids: (batch, tokens) int64; or give `inputs_embeds`.
            attention_mask: (batch, tokens, those of the cache included), 1 for real tokens, 0 for padding on either
                side; all real if absent.
            position_ids: (batch, tokens) int64; if absent they count the real tokens.
            sequence_ids: (batch, tokens) int64; where several sequences share a row, which one a token belongs to,
                from 1, and 0 for padding. Attention stays inside each; `position_ids` should restart with each.
            inputs_embeds: (batch, tokens, hidden) in place of `input_ids`.
            past_key_values: keys and values of the tokens read before; those of these tokens are added to it.
            use_cache: return keys and values, by default as the configuration says and never in training.
        Returns:
            `last_hidden_state` (batch, tokens, hidden) and `past_key_values`; with `output_hidden_states=True` also the
            inputs of the blocks and the output, with `output_attentions=True` the weights (batch, heads, tokens, all
            tokens) of each block.
        Raises:
            ValueError: both or neither of `input_ids` and `inputs_embeds`, more tokens than the model has positions,
                packed rows with a cache, or weights asked of an attention implementation that does not give them.
        """
        kwargs.setdefault("output_attentions", self.config.output_attentions)
        check_implementation(self.config, kwargs["output_attentions"])
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.embeddings(input_ids)
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training and sequence_ids is None
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if sequence_ids is not None and past_key_values is not None:
            raise ValueError("rows of several sequences cannot be gone on with: give one sequence a row, or no cache")
        seen = past_key_values.get_seq_length() if past_key_values is not None else 0
        tokens, device = inputs_embeds.shape[1], inputs_embeds.device
        if seen + tokens > self.config.max_position_embeddings:
            raise ValueError(
                f"the model reads at most {self.config.max_position_embeddings} tokens (max_position_embeddings), "
                f"but {seen + tokens} came: cut the text, write fewer tokens, or pretrain with a larger value"
            )
        if position_ids is None:
            position_ids = count_positions(attention_mask, seen, tokens, device)

        mask = causal_mask(self.config, inputs_embeds, attention_mask, sequence_ids, past_key_values)
        head_size = self.config.hidden_size // self.config.num_attention_heads
        turns = rotation(position_ids, head_size, self.config.rope_base)
        hidden = self.dropout(self.embeddings_norm(inputs_embeds))
        if narrows(hidden):  # else the stream stays wide, and every sum with it
            hidden = hidden.to(torch.bfloat16)
        for block in self.blocks:
            hidden = block(hidden, mask, turns, past_key_values=past_key_values, **kwargs)
        return BaseModelOutputWithPast(
            last_hidden_state=self.norm(hidden), past_key_values=past_key_values if use_cache else None
        )


class TextDecoderForCausalLM(TextDecoderPreTrainedModel, GenerationMixin):
    """Guess what follows each token."""

    _tied_weights_keys = {"lm_head.weight": "decoder.embeddings.weight"}  # noqa: RUF012

    def __init__(self, config: TextDecoderConfig) -> None:
        super().__init__(config)
        self.decoder = TextDecoderModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Linear) -> None:
        self.lm_head = value

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        labels: Tensor | None = None,
        logit_positions: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs,
    ) -> CausalLMOutputWithPast:
        """Inputs as for `TextDecoderModel`, and

        Args:
            labels: (batch, tokens) int64, the tokens themselves, as transformers has it: they are shifted here, and
                -100 is not asked; gives the mean loss.
            logit_positions: (answers) int64, places in the flattened batch whose next token is guessed.
            logits_to_keep: guess at so many last tokens of every row alone, or at these places; all if 0.
        Returns:
            `logits` (batch, tokens, vocab), or (answers, vocab) for chosen positions.
        """
        body = self.decoder(
            input_ids, attention_mask, position_ids, sequence_ids, inputs_embeds, past_key_values, use_cache, **kwargs
        )
        hidden = body.last_hidden_state
        if logit_positions is not None:
            hidden = hidden.flatten(0, 1)[logit_positions]
        elif isinstance(logits_to_keep, Tensor) or logits_to_keep:
            last = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            hidden = hidden[:, last]
        logits = self.cap(self.lm_head(hidden))
        loss = None
        if labels is not None:
            if hidden.shape[:-1] != labels.shape:
                raise ValueError("labels are of all tokens: give them without logit_positions and logits_to_keep")
            loss = mean_loss(logits[:, :-1], labels[:, 1:])
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=body.past_key_values,
            hidden_states=body.hidden_states,
            attentions=body.attentions,
        )

    def cap(self, logits: Tensor) -> Tensor:
        """Scores of the vocabulary, kept within bounds as the configuration says."""
        if (cap := self.config.logit_cap) is None:
            return logits
        return cap * torch.tanh(logits / cap)

    def _validate_generated_length(
        self, generation_config, input_ids_length: int, has_default_max_length: bool
    ) -> None:
        """Refuse before the first token what would end after hours, or by chance not at all."""
        most = self.config.max_position_embeddings
        if input_ids_length >= most:
            raise ValueError(
                f"the model reads at most {most} tokens (max_position_embeddings), but the prompt has "
                f"{input_ids_length}: cut it to its last {most - 1} or fewer, so that something can be written"
            )
        if generation_config.max_length > most:
            raise ValueError(
                f"the model reads at most {most} tokens (max_position_embeddings), but prompt and new tokens are "
                f"{generation_config.max_length}: set max_new_tokens={most - input_ids_length}, or cut the prompt"
            )
        super()._validate_generated_length(generation_config, input_ids_length, has_default_max_length)

    def _sample(
        self,
        input_ids: Tensor,
        logits_processor,
        stopping_criteria,
        generation_config,
        synced_gpus: bool = False,
        streamer=None,
        **kwargs,
    ):
        """What `generate` calls for greedy search and sampling: transformers' loop, through `Stepwise` where nothing
        but the text is asked for."""
        given = {name for name, value in kwargs.items() if value is not None}
        plain = (
            given <= {"attention_mask", "position_ids", "past_key_values", "use_cache", "logits_to_keep"}
            and kwargs.get("use_cache")
            and is_plain(kwargs.get("past_key_values"))
            and not (self.training or synced_gpus or torch.is_autocast_enabled(input_ids.device.type))
            and not (generation_config.return_dict_in_generate or generation_config.prefill_chunk_size)
            and self.config._attn_implementation in ("sdpa", "eager")
        )
        if not plain:
            return super()._sample(
                input_ids, logits_processor, stopping_criteria, generation_config, synced_gpus, streamer, **kwargs
            )
        filler = generation_config._pad_token_tensor
        ends = any(hasattr(one, "eos_token_id") for one in stopping_criteria)
        going = torch.ones_like(input_ids[:, 0])
        first = self._prefill(input_ids, generation_config, kwargs)
        logits, cache = first.logits[:, -1], first.past_key_values
        room = stopping_criteria.max_length or self.config.max_position_embeddings
        step = Stepwise(self, cache, room, kwargs.get("attention_mask"))
        while True:
            scores = logits_processor(input_ids, logits.to(copy=True, dtype=torch.float32))
            if generation_config.do_sample:
                chosen = torch.multinomial(scores.softmax(dim=-1), num_samples=1).squeeze(1)
            else:
                chosen = scores.argmax(dim=-1)
            if ends:
                chosen = chosen * going + filler.to(chosen.device) * (1 - going)
            input_ids = torch.cat([input_ids, chosen[:, None]], dim=-1)
            if streamer is not None:
                streamer.put(chosen.cpu())
            going = going & ~stopping_criteria(input_ids, None)
            if not going.any():
                break
            logits = step(chosen)
        if streamer is not None:
            streamer.end()
        return input_ids


class TextDecoderForSequenceClassification(TextDecoderPreTrainedModel):
    """One label for a sequence, told from its last token, which alone has seen all of it."""

    def __init__(self, config: TextDecoderConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.decoder = TextDecoderModel(config)
        self.dropout = Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutputWithPast:
        """Inputs as for `TextDecoderModel`; `labels` (batch) int64, or float for regression and several labels, as
        `config.problem_type` says. Without `attention_mask`, padding is told by its id. Returns `logits`
        (batch, labels)."""
        body = self.decoder(
            input_ids, attention_mask, position_ids, sequence_ids, inputs_embeds, past_key_values, use_cache, **kwargs
        )
        hidden = body.last_hidden_state
        if attention_mask is None and input_ids is not None and self.config.pad_token_id is not None:
            attention_mask = input_ids != self.config.pad_token_id
        last = torch.full_like(hidden[:, 0, 0], hidden.shape[1] - 1, dtype=torch.long)
        if attention_mask is not None:
            places = torch.arange(hidden.shape[1], device=hidden.device)
            last = (attention_mask.bool() * places).argmax(dim=-1)
        logits = self.classifier(self.dropout(hidden[torch.arange(len(hidden), device=hidden.device), last]))
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return SequenceClassifierOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=body.past_key_values,
            hidden_states=body.hidden_states,
            attentions=body.attentions,
        )

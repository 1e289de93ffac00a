"""A Transformer encoder for text: its body, and the heads to pretrain and to fine-tune."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from transformers.utils.generic import can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from .attention import SelfAttention, check_implementation
from .blocks import Block, narrows
from .dropout import Dropout
from .embeddings import Embeddings
from .heads import (
    MaskedTokenHead,
    Pooler,
    PreTrainingOutput,
    SequencePooler,
    TiedVocabulary,
    choose_positions,
    mean_loss,
)
from .masks import block_masks
from .positions import rotation
from .text_encoder_config import AUTO_MAP, TextEncoderConfig

AUTO_CLASSES = {auto: place.partition(".")[2] for auto, place in AUTO_MAP.items()}


class TextEncoderPreTrainedModel(PreTrainedModel):
    """What all heads share: how weights start, and what transformers may do with the model."""

    config_class = TextEncoderConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # our losses are means of one batch; else `Trainer` would not divide accumulated ones
    _no_split_modules = ["Block", "Embeddings"]  # noqa: RUF012 - transformers' own form
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": Block, "attentions": SelfAttention}  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Only `init` functions: they skip weights that were just loaded (transformers issue 46620).
        if isinstance(module, nn.Linear | nn.Embedding):
            init.normal_(module.weight, mean=0.0, std=self.config.initializer_range)
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                init.zeros_(module.weight[module.padding_idx])
            if isinstance(module, nn.Linear) and module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
            init.ones_(module.weight)
            if getattr(module, "bias", None) is not None:
                init.zeros_(module.bias)


class TextEncoderModel(TextEncoderPreTrainedModel):
    """The body: token ids to one vector per token."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        # A post-norm block has normalised what it gives.
        last = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.use_bias)
        self.norm = last if config.norm_position == "pre" else nn.Identity()
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embeddings.tokens

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.embeddings.tokens = value

    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs,
    ) -> BaseModelOutput:
        """Read a batch of sequences.

        Args:
            input_ids: (batch, tokens) int64; or give `inputs_embeds`.
            attention_mask: (batch, tokens), 1 for real tokens, 0 for padding; all real if absent.
            token_type_ids: (batch, tokens) int64, segment of each token; all 0 if absent.
            position_ids: (batch, tokens) int64; 0, 1, 2 … if absent.
            sequence_ids: (batch, tokens) int64; where several sequences share a row, which one a token belongs to,
                from 1, and 0 for padding. Attention stays inside each; `position_ids` should restart with each.
            inputs_embeds: (batch, tokens, hidden) in place of `input_ids`.
        Returns:
            `last_hidden_state` (batch, tokens, hidden); with `output_hidden_states=True` also the inputs of the blocks
            and the output, with `output_attentions=True` the weights (batch, heads, tokens, tokens) of each block.
        Raises:
            ValueError: both or neither of `input_ids` and `inputs_embeds`, more tokens than the model has positions, or
                an attention implementation that cannot do what is asked.
        """
        kwargs.setdefault("output_attentions", self.config.output_attentions)
        check_implementation(self.config, kwargs["output_attentions"])
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.embeddings.tokens(input_ids)
        tokens, device = inputs_embeds.shape[1], inputs_embeds.device
        if tokens > self.config.max_position_embeddings:
            raise ValueError(
                f"the model reads at most {self.config.max_position_embeddings} tokens (max_position_embeddings), "
                f"but {tokens} came: cut the text, or pretrain with a larger value"
            )
        if position_ids is None:
            position_ids = torch.arange(tokens, device=device)[None]
        if token_type_ids is None:
            token_type_ids = torch.zeros(inputs_embeds.shape[:2], dtype=torch.long, device=device)

        masks = block_masks(self.config, inputs_embeds, position_ids, attention_mask, sequence_ids)
        turns = None
        if self.config.position_type == "rotary":
            head_size = self.config.hidden_size // self.config.num_attention_heads
            turns = rotation(position_ids, head_size, self.config.rope_base)

        hidden = self.embeddings(inputs_embeds, token_type_ids, position_ids, sequence_ids)
        if narrows(hidden):  # else the stream stays wide, and every sum with it
            hidden = hidden.to(torch.bfloat16)
        for block, mask in zip(self.blocks, masks, strict=True):
            hidden = block(hidden, mask, turns, **kwargs)
        return BaseModelOutput(last_hidden_state=self.norm(hidden))


class TextEncoderForMaskedLM(TiedVocabulary, TextEncoderPreTrainedModel):
    """Guess hidden tokens."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__(config)
        self.encoder = TextEncoderModel(config)
        self.predictions = MaskedTokenHead(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        logit_positions: Tensor | None = None,
        **kwargs,
    ) -> MaskedLMOutput:
        """Inputs as for `TextEncoderModel`, and

        Args:
            labels: (batch, tokens) int64, -100 where nothing is asked; gives the mean loss.
            logit_positions: (answers) int64, places in the flattened batch to predict at; all if absent
                (in training with `labels`: the labelled ones).
        Returns:
            `logits` (batch, tokens, vocab), or (answers, vocab) for chosen positions.
        """
        body = self.encoder(
            input_ids, attention_mask, token_type_ids, position_ids, sequence_ids, inputs_embeds, **kwargs
        )
        hidden, labels = choose_positions(body.last_hidden_state, labels, logit_positions, self.training)
        logits = self.predictions(hidden)
        loss = None if labels is None else mean_loss(logits, labels)
        return MaskedLMOutput(loss=loss, logits=logits, hidden_states=body.hidden_states, attentions=body.attentions)


class TextEncoderForPreTraining(TiedVocabulary, TextEncoderPreTrainedModel):
    """Guess hidden tokens, and whether two segments stand in their order."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__(config)
        self.encoder = TextEncoderModel(config)
        self.predictions = MaskedTokenHead(config)
        self.pooler = Pooler(config)
        self.relation = nn.Linear(config.hidden_size, 2)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        logit_positions: Tensor | None = None,
        sequence_starts: Tensor | None = None,
        **kwargs,
    ) -> PreTrainingOutput:
        """Inputs as for `TextEncoderForMaskedLM`, and

        Args:
            next_sentence_label: (sequences) int64; 0 = second segment follows the first, 1 = it does not,
                -100 = not asked.
            sequence_starts: (sequences) int64, where rows are packed: places of first tokens in the flattened batch.
        Returns:
            `prediction_logits` as `TextEncoderForMaskedLM`'s logits, `seq_relationship_logits` (sequences, 2), and
            `loss`, the sum of the mean losses of the labels given.
        """
        body = self.encoder(
            input_ids, attention_mask, token_type_ids, position_ids, sequence_ids, inputs_embeds, **kwargs
        )
        hidden, labels = choose_positions(body.last_hidden_state, labels, logit_positions, self.training)
        token_logits = self.predictions(hidden)
        order_logits = self.relation(self.pooler(body.last_hidden_state, sequence_starts))
        losses = [] if labels is None else [mean_loss(token_logits, labels)]
        if next_sentence_label is not None:
            losses.append(mean_loss(order_logits, next_sentence_label))
        return PreTrainingOutput(
            loss=torch.stack(losses).sum() if losses else None,
            prediction_logits=token_logits,
            seq_relationship_logits=order_logits,
            hidden_states=body.hidden_states,
            attentions=body.attentions,
        )


class TextEncoderForNextSentencePrediction(TextEncoderPreTrainedModel):
    """Tell whether two segments stand in their order."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__(config)
        self.encoder = TextEncoderModel(config)
        self.pooler = Pooler(config)
        self.relation = nn.Linear(config.hidden_size, 2)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        sequence_starts: Tensor | None = None,
        **kwargs,
    ) -> NextSentencePredictorOutput:
        """Inputs as for `TextEncoderModel`; `labels` and `sequence_starts` as `next_sentence_label` and
        `sequence_starts` of `TextEncoderForPreTraining`. Returns `logits` (sequences, 2)."""
        body = self.encoder(
            input_ids, attention_mask, token_type_ids, position_ids, sequence_ids, inputs_embeds, **kwargs
        )
        logits = self.relation(self.pooler(body.last_hidden_state, sequence_starts))
        loss = None if labels is None else mean_loss(logits, labels)
        return NextSentencePredictorOutput(
            loss=loss, logits=logits, hidden_states=body.hidden_states, attentions=body.attentions
        )


class TextEncoderForSequenceClassification(TextEncoderPreTrainedModel):
    """One label for a sequence or a pair: a class, several classes, or a number."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.encoder = TextEncoderModel(config)
        self.pooler = SequencePooler(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> SequenceClassifierOutput:
        """Inputs as for `TextEncoderModel`; `labels` (batch) int64, or float for regression and several labels, as
        `config.problem_type` says. Returns `logits` (batch, labels)."""
        body = self.encoder(
            input_ids, attention_mask, token_type_ids, position_ids, sequence_ids, inputs_embeds, **kwargs
        )
        logits = self.classifier(self.pooler(body.last_hidden_state, attention_mask, token_type_ids))
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=body.hidden_states, attentions=body.attentions
        )


class TextEncoderForTokenClassification(TextEncoderPreTrainedModel):
    """One label for every token."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.encoder = TextEncoderModel(config)
        self.dropout = Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs,
    ) -> TokenClassifierOutput:
        """Inputs as for `TextEncoderModel`; `labels` (batch, tokens) int64, -100 where nothing is asked. Returns
        `logits` (batch, tokens, labels)."""
        body = self.encoder(
            input_ids, attention_mask, token_type_ids, position_ids, sequence_ids, inputs_embeds, **kwargs
        )
        logits = self.classifier(self.dropout(body.last_hidden_state))
        loss = None if labels is None else mean_loss(logits, labels)
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=body.hidden_states, attentions=body.attentions
        )


class TextEncoderForQuestionAnswering(TextEncoderPreTrainedModel):
    """Where the answer starts and ends."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__(config)
        self.encoder = TextEncoderModel(config)
        self.edges = nn.Linear(config.hidden_size, 2)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        sequence_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **kwargs,
    ) -> QuestionAnsweringModelOutput:
        """Inputs as for `TextEncoderModel`; `start_positions` and `end_positions` (batch) int64, ignored where outside
        the sequence. Returns `start_logits` and `end_logits`, each (batch, tokens)."""
        body = self.encoder(
            input_ids, attention_mask, token_type_ids, position_ids, sequence_ids, inputs_embeds, **kwargs
        )
        start_logits, end_logits = self.edges(body.last_hidden_state).unbind(dim=-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = self.loss_function(start_logits, end_logits, start_positions, end_positions)
        return QuestionAnsweringModelOutput(
            loss=loss,
            start_logits=start_logits,
            end_logits=end_logits,
            hidden_states=body.hidden_states,
            attentions=body.attentions,
        )

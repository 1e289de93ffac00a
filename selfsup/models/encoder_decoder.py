"""A Transformer encoder-decoder for text: its body, the head that writes token by token, and one that fills gaps."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.cache_utils import Cache
from transformers.modeling_outputs import Seq2SeqLMOutput, Seq2SeqModelOutput
from transformers.utils.generic import can_return_tuple

from .copying import CopyGate
from .encoder_decoder_config import AUTO_MAP, TextEncoderDecoderConfig
from .encoder_decoder_sides import SourceEncoder, SourceOutput, TargetDecoder, TextEncoderDecoderPreTrainedModel
from .heads import mean_loss

AUTO_CLASSES = {auto: place.partition(".")[2] for auto, place in AUTO_MAP.items()}


@dataclass
class ParallelOutput(Seq2SeqLMOutput):
    """What `TextEncoderDecoderForMaskedLM` returns.

    Args:
        length_logits: (batch, max_position_embeddings + 1), scores of the numbers of tokens of the target.
    """

    length_logits: Tensor | None = None


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
        Raises:
            ValueError: as for `TextEncoderDecoderModel`, or vectors came where ids are copied.
        """
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        if self.config.copy_gate and decoder_input_ids is None:
            raise ValueError(
                "a model with copy_gate looks for what was written in the source: give decoder_input_ids, not "
                "decoder_inputs_embeds"
            )
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
                hidden, body.encoder_last_hidden_state, encoder_outputs.source_ids, attention_mask, decoder_input_ids,
                self.lm_head, logit_positions,
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

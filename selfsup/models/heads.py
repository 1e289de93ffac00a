"""What stands on top of an encoder: vocabulary scores, a vector for the whole sequence, and their losses."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

from .dropout import Dropout


@dataclass
class PreTrainingOutput(ModelOutput):
    """What `TextEncoderForPreTraining` returns; names as in transformers' `BertForPreTrainingOutput`."""

    loss: Tensor | None = None
    prediction_logits: Tensor | None = None
    seq_relationship_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class TiedVocabulary:
    """Of models whose `predictions` guess tokens: the embedding matrix also scores them."""

    predictions: "MaskedTokenHead"
    _tied_weights_keys = {"predictions.decoder.weight": "encoder.embeddings.tokens.weight"}  # noqa: RUF012

    def get_output_embeddings(self) -> nn.Linear:
        return self.predictions.decoder

    def set_output_embeddings(self, value: nn.Linear) -> None:
        self.predictions.decoder = value


class MaskedTokenHead(nn.Module):
    """One hidden vector to scores of the whole vocabulary, through the embedding matrix."""

    def __init__(self, config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size, bias=config.use_bias)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.use_bias)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, hidden) -> (…, vocab)."""
        return self.decoder(self.norm(nn.functional.gelu(self.dense(hidden))))


class Pooler(nn.Module):
    """The first token of a sequence stands for the whole of it."""

    def __init__(self, config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = Dropout(config.dropout)

    def forward(self, hidden: Tensor, sequence_starts: Tensor | None = None) -> Tensor:
        """(batch, tokens, hidden), and (sequences) places of first tokens in the flattened batch where rows are
        packed -> (sequences, hidden)."""
        first = hidden[:, 0] if sequence_starts is None else hidden.flatten(0, 1)[sequence_starts]
        return self.dropout(torch.tanh(self.dense(first)))


class SequencePooler(nn.Module):
    """One vector for the whole of a sequence or a pair, made as `config.pooling` says.

    "first": of the first token, as BERT has it. "mean": the mean of all tokens. "segments": the means u and v of two
    segments side by side with |u - v| and u * v, so that what is alike need not be learnt; v is 0 where there is one.

    Source:
        Conneau et al. 2017, "Supervised Learning of Universal Sentence Representations from Natural Language Inference
        Data", section 3.1 ("segments").
    """

    def __init__(self, config) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.dense = nn.Linear((4 if self.pooling == "segments" else 1) * config.hidden_size, config.hidden_size)
        self.dropout = Dropout(config.dropout)

    def forward(self, hidden: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None) -> Tensor:
        """(batch, tokens, hidden), and (batch, tokens) 1 for real tokens and 0 or 1 for their segments, all 1 and all 0
        if absent -> (batch, hidden)."""
        return self.dropout(torch.tanh(self.dense(self._whole(hidden, attention_mask, token_type_ids))))

    def _whole(self, hidden: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None) -> Tensor:
        if self.pooling == "first":
            return hidden[:, 0]
        real = torch.ones_like(hidden[..., 0]) if attention_mask is None else attention_mask
        if self.pooling == "mean":
            return _mean(hidden, real)
        second = torch.zeros_like(real) if token_type_ids is None else real * (token_type_ids == 1)
        one, two = _mean(hidden, real - second), _mean(hidden, second)
        return torch.cat([one, two, (one - two).abs(), one * two], dim=-1)


def _mean(hidden: Tensor, counted: Tensor) -> Tensor:
    """(batch, tokens, hidden) and (batch, tokens) of 0 and 1 -> (batch, hidden); 0 where nothing counts."""
    precise = torch.promote_types(hidden.dtype, torch.float32)  # 16 bits cannot count to 300
    counted = counted[..., None].to(precise)
    return ((hidden * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)).to(hidden.dtype)


def choose_positions(hidden: Tensor, labels: Tensor | None, positions: Tensor | None, sparse: bool):
    """Keep only the tokens that have to be predicted: the vocabulary is wide, and few tokens are hidden.

    Args:
        hidden: (batch, tokens, hidden).
        labels: (batch, tokens) int64, -100 where nothing is asked; or None.
        positions: (answers) int64 places in the flattened batch; they win over `labels`.
        sparse: without `positions`, keep the labelled tokens alone.
    Returns:
        (answers, hidden) or, when all are kept, (batch, tokens, hidden); and the labels of the same tokens.
    """
    if positions is None and sparse and labels is not None:
        positions = (labels.flatten() != -100).nonzero().squeeze(1)
    if positions is None:
        return hidden, labels
    return hidden.flatten(0, 1)[positions], None if labels is None else labels.flatten()[positions]


def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats, averaged over the labels that are not -100."""
    return nn.functional.cross_entropy(logits.flatten(0, -2).float(), labels.flatten(), ignore_index=-100)

"""Targets that are written all at once, and bettered in a few rounds: mask-predict."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from selfsup.generation.scoring import window


@torch.no_grad()
def mask_predict(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sources: Sequence[Sequence[int]],
    *,
    rounds: int = 10,
    lengths: int = 5,
    max_new_tokens: int | None = None,
    batch_size: int = 32,
) -> list[list[int]]:
    """Write a target for each source: guess its length and all of its tokens, then hide those that are least sure, and
    guess them again from the others.

    Of the likeliest lengths each is tried, and the target whose tokens are the surest on average is taken. Sources of
    like lengths go together; a result depends neither on the batch nor on padding, but for rounding.

    Args:
        model: of AutoModelForMaskedLM, with `parallel`; it is put into evaluation mode meanwhile.
        tokenizer: whose [MASK] hides, and whose special tokens are not written.
        sources: token ids of each, special tokens included.
        rounds: of guessing; 1 takes the first guess of all tokens.
        lengths: that are tried.
        max_new_tokens: of a target; as many as the model has places for, if None.
        batch_size: sources that are read at once, at most.
    Returns:
        for each source, in order, the ids of its target, without special tokens.
    Raises:
        ValueError: another model, no rounds or lengths, a source that is empty or too long, or scores that are not
            numbers.
    Source:
        Ghazvininejad et al. 2019, "Mask-Predict: Parallel Decoding of Conditional Masked Language Models", section 3.
    """
    if not getattr(model.config, "parallel", False):
        raise ValueError(
            f"a model that writes in parallel is wanted, but {type(model).__name__} writes token by token: train one "
            "with --objective ConditionalMaskedTokens, or search with beams"
        )
    for name, value in {"rounds": rounds, "lengths": lengths, "batch_size": batch_size}.items():
        if value < 1:
            raise ValueError(f"{name} of at least 1 is wanted, but {value} came")
    most = window(model) or 10**9
    for number, source in enumerate(sources):
        if not 0 < len(source) <= most:
            raise ValueError(
                f"sources of 1 to {most} tokens are wanted, but source {number} (the first is 0) has "
                f"{len(source)}: cut it, or leave it out"
            )
    found: list[list[int]] = [[] for _ in sources]
    order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            written = _write(model, tokenizer, [sources[i] for i in chosen], rounds, lengths, max_new_tokens)
            for i, target in zip(chosen, written, strict=True):
                found[i] = target
    finally:
        model.train(was_training)
    return found


def _write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sources: Sequence[Sequence[int]],
    rounds: int,
    lengths: int,
    max_new_tokens: int | None,
) -> list[list[int]]:
    """Of one batch."""
    ids = torch.full((len(sources), max(map(len, sources))), tokenizer.pad_token_id or 0)
    real = torch.zeros_like(ids)
    for row, source in enumerate(sources):
        ids[row, : len(source)] = torch.tensor(source)
        real[row, : len(source)] = 1
    ids, real = ids.to(model.device), real.to(model.device)
    encoded = model.get_encoder()(input_ids=ids, attention_mask=real)
    scores = model.guess_length(encoded.last_hidden_state).float()
    if not bool(scores.isfinite().all()):
        raise ValueError("finite scores of lengths are wanted, but the model gave others: its weights are broken")
    scores = scores[:, : 1 + (max_new_tokens or scores.shape[1])]
    tried = min(lengths, scores.shape[1] - 1)
    sizes = scores[:, 1:].topk(tried).indices.flatten() + 1  # a target has a token at least
    for name, value in encoded.items():
        encoded[name] = value.repeat_interleave(tried, dim=0)
    places = torch.arange(int(sizes.max()), device=ids.device)
    inside = places < sizes[:, None]  # (rows, tokens)
    never = sorted(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})
    mask_id = tokenizer.mask_token_id
    written = torch.where(inside, mask_id, tokenizer.pad_token_id or 0)
    sureness = torch.zeros(written.shape, device=ids.device)  # log-probability of each token when it was guessed
    hidden = inside
    for done in range(1, rounds + 1):
        logits = model(
            encoder_outputs=encoded,
            attention_mask=real.repeat_interleave(tried, dim=0),
            decoder_input_ids=torch.where(hidden, mask_id, written),
            decoder_attention_mask=inside.long(),
        ).logits.float()
        logits[..., never] = -torch.inf
        best, tokens = logits.log_softmax(dim=-1).max(dim=-1)
        written, sureness = torch.where(hidden, tokens, written), torch.where(hidden, best, sureness)
        hidden = _least_sure(sureness.masked_fill(~inside, torch.inf), sizes * (rounds - done) // rounds)
        if not bool(hidden.any()):
            break
    means = (sureness * inside).sum(dim=1) / sizes
    chosen = means.view(-1, tried).argmax(dim=1) + torch.arange(len(sources), device=ids.device) * tried
    return [row[:size].tolist() for row, size in zip(written[chosen], sizes[chosen].tolist(), strict=True)]


def _least_sure(sureness: Tensor, numbers: Tensor) -> Tensor:
    """(rows, tokens) bool: as many of the smallest of each row as `numbers` (rows) says; of equal ones the first."""
    ranks = sureness.argsort(dim=1, stable=True).argsort(dim=1)
    return ranks < numbers[:, None]

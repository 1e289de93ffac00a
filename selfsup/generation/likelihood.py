"""How probable a text is to a model: continuations to a causal one, whole texts to a masked one, and long texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from selfsup.generation.scoring import Answers, Row, score, window
from selfsup.tokenization.align import Words


@dataclass(frozen=True)
class Likelihood:
    """How probable a continuation, or a text, is.

    Args:
        log_prob: sum over its tokens, in nats.
        num_tokens: that were scored.
        num_bytes: of the text of these tokens, in UTF-8; of a token that reaches back into the context, those of the
            continuation.
        greedy: would a model that always takes the best token write it?
        num_cut: tokens of the context that did not fit into the model's window, from the left.
    """

    log_prob: float
    num_tokens: int
    num_bytes: int
    greedy: bool
    num_cut: int = 0


def log_likelihood(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[str, str]],
    *,
    batch_size: int = 32,
    quiet: bool = True,
) -> list[Likelihood]:
    """Log-probabilities of continuations after their contexts.

    Both are tokenized together, as the model saw text, and parted where the continuation begins. A token that lies on
    both sides belongs to the continuation. In front stand the special tokens that the tokenizer puts there, or else
    its `bos_token`, so an empty context stands for the beginning of a text. Where a model has neither, the first token
    of a text has nothing before it and is not counted. What is too long for the model loses its head, up to the
    tokens that fit. A literal "[MASK]" is text.

    Args:
        model: of AutoModelForCausalLM.
        tokenizer: a fast one.
        pairs: (context, continuation), joined as they are: a space between words belongs to one of them.
        batch_size: pairs that are read at once, at most; the results do not depend on it.
        quiet: show no progress bar.
    Returns:
        one for each pair, in order.
    Raises:
        ValueError: the model is of another kind, a continuation is empty or has no token, or one alone is longer than
            the model's window.
    Source:
        Brown et al. 2020, "Language Models are Few-Shot Learners", section 2.4; joint tokenization as in
        EleutherAI's lm-evaluation-harness.
    Example:
        >>> log_likelihood(model, tokenizer, [("The sky is", " blue")])  # doctest: +SKIP
        [Likelihood(log_prob=-2.1, num_tokens=1, num_bytes=5, greedy=True, num_cut=0)]
    """
    _check_causal(model)
    begin, most = beginning(tokenizer), window(model, tokenizer)
    rows, sizes = [], []
    for context, continuation in pairs:
        row, num_bytes, cut = _continued(tokenizer, context, continuation, begin, most)
        rows.append(row)
        sizes.append((num_bytes, cut))
    found = score(model, rows, pad_id=tokenizer.pad_token_id, batch_size=batch_size, quiet=quiet)
    return [_sum([answers], *size) for answers, size in zip(found, sizes, strict=True)]


def pseudo_log_likelihood(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    batch_size: int = 64,
    quiet: bool = True,
) -> list[Likelihood]:
    """What a masked model gives in place of a log-probability: the sum over tokens, each hidden in turn.

    With a token the later pieces of its word are hidden too, or they would give it away; see `Words` for what a word
    is. Sums of different texts can be compared, but they are no log-probabilities.

    Args:
        model: of AutoModelForMaskedLM.
        tokenizer: a fast one.
        texts: each is framed by the tokenizer's special tokens, which are not scored.
        batch_size: rows that are read at once, at most; a text takes one for each of its tokens.
        quiet: show no progress bar.
    Returns:
        one for each text, in order.
    Raises:
        ValueError: the model is of another kind, or a text has no token or more than the model's window.
    Source:
        Salazar et al. 2020, "Masked Language Model Scoring"; Kauf & Ivanova 2023, "A Better Way to Do Masked Language
        Model Scoring", PLL-word-l2r.
    Example:
        >>> pseudo_log_likelihood(model, tokenizer, ["They souvenir."])  # doctest: +SKIP
        [Likelihood(log_prob=-14.3, num_tokens=4, num_bytes=14, greedy=False, num_cut=0)]
    """
    _check_masked(model, tokenizer)
    words, most = Words.of(tokenizer), window(model, tokenizer)
    rows: list[Row] = []
    counts = []
    for text in texts:
        of_text = _hidden_in_turn(tokenizer, words, text, most)
        rows += of_text
        counts.append(len(of_text))
    found = score(model, rows, pad_id=tokenizer.pad_token_id, batch_size=batch_size, quiet=quiet)
    ends = np.cumsum(counts).tolist()
    return [
        _sum(found[end - count : end], len(text.encode()), 0)
        for text, count, end in zip(texts, counts, ends, strict=True)
    ]


def running_log_probs(
    model: PreTrainedModel,
    documents: Sequence[np.ndarray],
    *,
    begin: Sequence[int],
    max_tokens: int | None = None,
    stride: int | None = None,
    batch_size: int = 16,
    quiet: bool = True,
) -> list[np.ndarray]:
    """Log-probability of every token of long texts, once, in windows that may overlap.

    Args:
        model: of AutoModelForCausalLM.
        documents: (tokens) integers each, without special tokens.
        begin: what stands before a document, see `beginning`.
        max_tokens: of a window; what the model reads by default.
        stride: tokens that a window scores, its last ones; those before are context. By default all: each window has
            one token of the text, or `begin`, before the first that it scores.
        batch_size: windows that are read at once, at most.
        quiet: show no progress bar.
    Returns:
        (tokens) float32 of each document, in nats; NaN for the first token where nothing stands before it.
    Raises:
        ValueError: the model is of another kind, a document has no tokens, a window no end, or the stride does not
            fit.
    """
    _check_causal(model)
    limit = window(model) if max_tokens is None else max_tokens
    if limit is None or limit < 1:
        raise ValueError(f"windows of at least one token are wanted, but {limit} came: set max_tokens")
    stride = limit if stride is None else stride
    if not 1 <= stride <= limit:
        raise ValueError(f"a stride of 1 to {limit} tokens is wanted, the size of a window, but {stride} came")
    rows: list[Row] = []
    heads, first = [], max(1, len(begin))  # a token can be scored if something stands before it
    for tokens in documents:
        if not len(tokens):
            raise ValueError("a text with at least one token is wanted, but none came")
        whole, start = [*begin, *np.asarray(tokens).tolist()], first
        heads.append(len(rows))
        while start < len(whole):
            stop = min(len(whole), limit + 1 if start == first else start + stride)
            rows.append(_row(whole, max(0, stop - 1 - limit), start, stop))
            start = stop
    found = score(model, rows, pad_id=None, batch_size=batch_size, quiet=quiet)
    unscored = np.full(first - len(begin), np.nan, dtype=np.float32)
    return [
        np.concatenate([unscored, *(answers.log_probs for answers in found[head:end])])
        for head, end in zip(heads, [*heads[1:], len(rows)], strict=True)
    ]


def beginning(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What stands before a text: the special tokens that the tokenizer puts there, else its `bos_token`, else none."""
    framed = tokenizer("a", return_special_tokens_mask=True)
    mask = [*framed["special_tokens_mask"], 0]
    if own := framed["input_ids"][: mask.index(0)]:
        return own
    return [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]


def _row(whole: Sequence[int], head: int, start: int, stop: int) -> Row:
    """Read `whole` from `head` on, and ask for the tokens from `start` to `stop`."""
    return Row(whole[head : stop - 1], range(start - 1 - head, stop - 1 - head), whole[start:stop])


def _continued(
    tokenizer: PreTrainedTokenizerBase, context: str, continuation: str, begin: Sequence[int], most: int | None
) -> tuple[Row, int, int]:
    """The row of a pair, the bytes that it scores, and how many tokens of the context are left out."""
    if not continuation:
        raise ValueError("a continuation is wanted, but an empty one came: give each pair the text that is scored")
    text, edge = context + continuation, len(context)
    encoded = tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
    )
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    own = next((i for i, (start, stop) in enumerate(offsets) if stop > edge or start >= edge), len(ids))
    if own == len(ids):
        raise ValueError(f"a continuation with tokens is wanted, but {continuation!r} gives none: add a word")
    scored_from = edge
    if not begin and own == 0:
        if len(ids) == 1:
            raise ValueError(
                f"something to predict a continuation from is wanted, but {continuation!r} is one token, the context "
                "is empty, and the tokenizer has no bos_token: give a context"
            )
        own, scored_from = 1, max(edge, offsets[0][1])
    whole = [*begin, *ids]
    start = len(begin) + own
    if most is not None and len(whole) - start > most:
        raise ValueError(
            f"a continuation of at most {most} tokens is wanted, which the model reads at once, but one of "
            f"{len(whole) - start} came: shorten it, or score a long text with running_log_probs"
        )
    head = 0 if most is None else max(0, len(whole) - 1 - most)
    return _row(whole, head, start, len(whole)), len(text[scored_from:].encode()), max(0, head - len(begin))


def _hidden_in_turn(tokenizer: PreTrainedTokenizerBase, words: Words, text: str, most: int | None) -> list[Row]:
    """A row for each token of a text: it and what follows in its word are hidden."""
    encoded = tokenizer(text, split_special_tokens=True, return_special_tokens_mask=True, verbose=False)
    ids, framed = np.array(encoded["input_ids"], dtype=np.int64), np.array(encoded["special_tokens_mask"], dtype=bool)
    scored = np.flatnonzero(~framed)
    if not len(scored):
        raise ValueError(f"a text with tokens is wanted, but {text!r} gives none: leave it out, or add a word")
    if most is not None and len(ids) > most:
        raise ValueError(f"a text of at most {most} tokens is wanted, but one of {len(ids)} came: shorten it")
    word_ids = words.ids(ids)
    rows = []
    for place in scored.tolist():
        hidden = ids.copy()
        later = (word_ids == word_ids[place]) & (word_ids >= 0) & (np.arange(len(ids)) > place)
        hidden[later] = hidden[place] = tokenizer.mask_token_id
        rows.append(Row(hidden.tolist(), [place], [int(ids[place])]))
    return rows


def _sum(found: Sequence[Answers], num_bytes: int, num_cut: int) -> Likelihood:
    """Sums in float64, so that their order does not matter."""
    log_probs = np.concatenate([answers.log_probs for answers in found])
    greedy = all(bool(answers.best.all()) for answers in found)
    return Likelihood(float(log_probs.sum(dtype=np.float64)), len(log_probs), num_bytes, greedy, num_cut)


def _check_causal(model: PreTrainedModel) -> None:
    if not model.can_generate() or model.config.is_encoder_decoder:
        raise ValueError(
            f"a model that predicts the next token is wanted, but a {type(model).__name__} came: open one with "
            "AutoModelForCausalLM, or score with pseudo_log_likelihood what hides tokens"
        )


def _check_masked(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    if model.can_generate() or model.config.is_encoder_decoder or model.get_output_embeddings() is None:
        raise ValueError(
            f"a model that guesses hidden tokens is wanted, but a {type(model).__name__} came: open one with "
            "AutoModelForMaskedLM, or score with log_likelihood what predicts the next token"
        )
    if tokenizer.mask_token_id is None:
        raise ValueError("a tokenizer with a mask_token is wanted, but this one has none: take that of the model")

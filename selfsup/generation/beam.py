"""The most probable sequences that a model writes, kept several at a time: beam search, and greedy as one beam."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from selfsup.generation.rules import Rules, check
from selfsup.generation.steps import Steps, closed_ranks, steps_of

NONE = -1e9  # log-probability of a beam that does not exist; transformers' own number, so that its arithmetic is ours
GROUP = 64  # numbers among which a largest one is looked for at once


@dataclass(frozen=True)
class BeamConfig:
    """What is written, and which of it is kept.

    Args:
        beams: sequences that are kept while they are written; 1 = always the most probable token.
        max_new_tokens: to write at most, behind the prefix.
        min_new_tokens: before the end.
        length_penalty: log-probabilities are divided by the number of tokens to this power: above 0 prefers long ones.
        early_stopping: True stops when `beams` sequences have ended; False when none of those running looks better,
            as long as it is now, than the worst of them; "never" when none could be, however long it became.
        no_repeat_ngram: no sequence of so many tokens comes twice; 0 = all may.
        num_returned: sequences that are given back for each source, best first.
    Source:
        Wu et al. 2016, "Google's Neural Machine Translation System", section 7; Paulus et al. 2018, "A Deep Reinforced
        Model for Abstractive Summarization", section 2.5 (no_repeat_ngram).
    """

    beams: int = 5
    max_new_tokens: int = 128
    min_new_tokens: int = 0
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    no_repeat_ngram: int = 0
    num_returned: int = 1

    def __post_init__(self) -> None:
        bounds = {
            "beams must be at least 1": self.beams >= 1,
            "max_new_tokens must be at least 1": self.max_new_tokens >= 1,
            "min_new_tokens must be at least 0": self.min_new_tokens >= 0,
            'early_stopping must be True, False or "never"': self.early_stopping in (True, False, "never"),
            "no_repeat_ngram must be at least 0 (0 forbids nothing)": self.no_repeat_ngram >= 0,
            "num_returned must be at least 1": self.num_returned >= 1,
        }
        for wanted in (sentence for sentence, kept in bounds.items() if not kept):
            raise ValueError(f"{wanted}, but {getattr(self, wanted.split()[0])} came")
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens must be at most max_new_tokens, but {self.min_new_tokens} and {self.max_new_tokens} "
                "came: raise the latter, or lower the former"
            )
        if self.num_returned > self.beams:
            raise ValueError(
                f"at most as many sequences as beams can be returned, but {self.num_returned} of {self.beams} were "
                f"asked for: set beams={self.num_returned}, or lower num_returned"
            )


class Hypothesis(NamedTuple):
    """A sequence that was written.

    Args:
        ids: its tokens, prefix and end included; without an end where `max_new_tokens` were not enough.
        score: its log-probability over its number of tokens to the power of `length_penalty`.
        log_prob: sum over the tokens behind the prefix, in nats.
    """

    ids: list[int]
    score: float
    log_prob: float


def beam_search(
    model: PreTrainedModel,
    sources: Sequence[Sequence[int]] | Tensor,
    config: BeamConfig = BeamConfig(),
    *,
    attention_mask: Tensor | None = None,
    prefix: Sequence[int] | Sequence[Sequence[int]] | None = None,
    batch_size: int = 32,
    quiet: bool = True,
) -> list[list[Hypothesis]]:
    """The best sequences that a model writes for each source, as `generate` of transformers finds them.

    Sources of like lengths go together, and a sentence that is done makes room, so that nothing is computed for it. A
    result depends neither on the batch nor on padding, except that sums in another order round differently.

    Args:
        model: of AutoModelForSeq2SeqLM, or of AutoModelForCausalLM, which goes on with its sources; it is put into
            evaluation mode meanwhile.
        sources: token ids of each, special tokens included; or (batch, tokens) int64.
        config: what is written.
        attention_mask: (batch, tokens), 0 for padding, with a tensor of sources.
        prefix: token ids that every target begins with, or those of each target; not counted in scores, lengths and
            `max_new_tokens`.
        batch_size: sources that are written for at once, at most.
        quiet: show no progress bar.
    Returns:
        for each source, in order, `num_returned` sequences, best first; fewer where no more are possible.
    Raises:
        ValueError: what came does not fit the model, or the model gives something that is not a number.
    Example:
        >>> beam_search(model, [[2, 17, 29, 3]], BeamConfig(beams=5))  # doctest: +SKIP
        [[Hypothesis(ids=[41, 8, 3], score=-0.4, log_prob=-1.2)]]
    """
    rows = _rows(sources, attention_mask)
    rules = Rules.of(model)
    rules.check_runs()
    prefixes = _prefixes(prefix, len(rows))
    if not model.config.is_encoder_decoder:
        rows, prefixes = [[*row, *before] for row, before in zip(rows, prefixes, strict=True)], prefixes
    check(model, rows, prefixes, rules, beams=config.beams, max_new_tokens=config.max_new_tokens)
    if batch_size < 1:
        raise ValueError(f"batches of at least one source are wanted, but a batch_size of {batch_size} came")
    found: list[list[Hypothesis]] = [[] for _ in rows]
    was_training, kind = model.training, model.device.type
    model.eval()
    try:
        with (
            torch.inference_mode(),
            torch.autocast(kind, enabled=False),
            tqdm(total=len(rows), unit="sentence", disable=quiet, leave=False) as bar,
        ):
            for batch in _batches(rows, prefixes, batch_size):
                search = _Search(model, [rows[i] for i in batch], [prefixes[i] for i in batch], config, rules, batch)
                for i, written in zip(batch, search.run(), strict=True):
                    found[i] = [one._replace(ids=prefixes[i] + one.ids) for one in written]
                bar.update(len(batch))
    finally:
        model.train(was_training)
    return found


def greedy(
    model: PreTrainedModel,
    sources: Sequence[Sequence[int]] | Tensor,
    *,
    max_new_tokens: int = 128,
    attention_mask: Tensor | None = None,
    prefix: Sequence[int] | Sequence[Sequence[int]] | None = None,
    batch_size: int = 32,
) -> list[list[int]]:
    """Token ids that follow when the most probable one is always taken; see `beam_search`."""
    config = BeamConfig(beams=1, max_new_tokens=max_new_tokens)
    found = beam_search(model, sources, config, attention_mask=attention_mask, prefix=prefix, batch_size=batch_size)
    return [written[0].ids for written in found]


def largest(scores: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The largest numbers of each row and where they stand, as `topk`, which took 2 to 4 times as long by a probe.

    They are in the groups with the largest of the largest, and these are few.

    Args:
        scores: (rows, vocab).
        number: of each row, at most `vocab`.
    Returns:
        (rows, number) values, falling, and int64 places.
    """
    rows, vocab = scores.shape
    groups = vocab // GROUP
    if groups * GROUP != vocab or groups < 2 * number:
        return scores.topk(number)
    grouped = scores.view(rows, GROUP, groups)  # a group is a column: its maximum runs along rows of memory
    best = grouped.amax(dim=1).topk(number).indices
    few = grouped.gather(2, best[:, None].expand(rows, GROUP, number)).flatten(1)
    values, places = few.topk(number)
    return values, places // number * groups + best.gather(1, places % number)


class _Search:
    """Of one batch; the semantics are those of `_beam_search` of transformers 5.23, sentence by sentence.

    Args:
        model: in evaluation mode.
        rows: token ids of sources; of prompts in a causal model, prefix included.
        prefixes: all of one length.
        config: what is written.
        rules: of the model.
        numbers: of the sources, for messages.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        rows: Sequence[list[int]],
        prefixes: Sequence[list[int]],
        config: BeamConfig,
        rules: Rules,
        numbers: Sequence[int],
    ) -> None:
        self.config, self.rules, self.numbers = config, rules, numbers
        device, pairs = model.device, rules.start is not None
        source_ids, source_mask = padded(rows, model.config.pad_token_id or 0, left=not pairs, device=device)
        begin = source_ids[:, :0]
        if pairs:
            begin = torch.tensor([[rules.start, *before] for before in prefixes], device=device)
        self.steps: Steps = steps_of(
            model, source_ids, source_mask, begin, beams=config.beams, room=config.max_new_tokens
        )
        before = begin if pairs else source_ids if source_mask is None else source_ids.masked_fill(source_mask == 0, -1)
        self.before = before.shape[1]
        beams, sentences = config.beams, len(rows)
        self.which = torch.arange(sentences, device=device)  # which source each of those running is of
        self.texts = torch.full((sentences, beams, self.before + config.max_new_tokens), -1, device=device)
        self.texts[:, :, : self.before] = before[:, None]
        self.running = torch.zeros(sentences, 1, device=device)
        self.ended = torch.full((sentences, beams), NONE, device=device)  # scores, best first
        self.ended_texts = torch.full((sentences, beams, config.max_new_tokens), -1, device=device)
        self.ended_sizes = torch.zeros(sentences, beams, dtype=torch.int64, device=device)
        self.is_end = torch.zeros(model.config.vocab_size, dtype=torch.bool, device=device)
        self.is_end[list(rules.ends)] = True
        self.candidates = max(2, 1 + len(rules.ends)) * beams

    def run(self) -> list[list[Hypothesis]]:
        """The best sequences of each source, in order."""
        found: dict[int, list[Hypothesis]] = {}
        scores = self.steps.first()
        for step in range(self.config.max_new_tokens):
            tokens, parents, done = self._step(step, scores)
            if done.any():
                for row in done.nonzero().squeeze(1).tolist():
                    found[int(self.which[row])] = self._best(row)
                if done.all():
                    break
                order = closed_ranks(~done)
                self.steps.keep(order)
                tokens, parents = tokens[order], parents[order]
                for name in ("which", "texts", "running", "ended", "ended_texts", "ended_sizes"):
                    setattr(self, name, getattr(self, name)[order])
            scores = self.steps.next(tokens, parents)
        return [found[number] for number in range(len(found))]

    def _step(self, step: int, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One more token: (sentences * beams so far, vocab) -> tokens and parents, (sentences, beams) int64 each, of
        those that go on, and (sentences) bool, who is done."""
        config, (sentences, width) = self.config, self.running.shape
        beams, last = config.beams, step + 1 == config.max_new_tokens
        values, tokens = self._ranked(step, scores.float())
        sums = (values.view(sentences, width, -1) + self.running[:, :, None]).flatten(1)
        number = min(self.candidates, sums.shape[1])
        sums, places = sums.topk(number)
        parents = places // values.shape[1]
        tokens = tokens.view(sentences, -1).gather(1, places)
        if number < 2 * beams:  # a vocabulary of a few tokens has no more; the rest does not exist
            fill = (0, 2 * beams - number)
            sums, parents, tokens = (
                torch.nn.functional.pad(part, fill, value=value)
                for part, value in (
                    (sums, NONE),
                    (parents, 0),
                    (tokens, int(self.rules.ends[0] if self.rules.ends else 0)),
                )
            )
        ends = torch.ones_like(self.is_end[tokens]) if last else self.is_end[tokens]
        if last or bool(ends[:, :beams].any()):
            self._end(step, sums[:, :beams], parents[:, :beams], tokens[:, :beams], ends[:, :beams])
        sums, chosen = (sums + ends * NONE).topk(beams)
        self.running, parents, tokens = sums, parents.gather(1, chosen), tokens.gather(1, chosen)
        until = self.before + step
        self.texts[:, :, :until] = self.texts[:, :, :until].gather(1, parents[:, :, None].expand(-1, -1, until))
        self.texts[:, :, until] = tokens
        return tokens, parents, self._done(step, last)

    def _ranked(self, step: int, scores: Tensor) -> tuple[Tensor, Tensor]:
        """(rows, vocab) -> log-probabilities and ids of the best tokens, (rows, some) each."""
        rules, config, number = self.rules, self.config, min(self.candidates, scores.shape[1])
        whole = scores.logsumexp(dim=1, keepdim=True)
        if not bool(whole.isfinite().all()):
            row = int((~whole.isfinite()).nonzero()[0, 0]) // self.running.shape[1]
            raise ValueError(
                f"finite scores of tokens are wanted, but for source {self.numbers[int(self.which[row])]} (the first "
                f"is 0) the model gave {float(whole[~whole.isfinite()][0])} at new token {step + 1}: its weights are "
                "broken, or a number overflowed; look for them, or open the model in float32"
            )
        forced = rules.forced(first=step == 0 and self.before == 1, last=step + 1 == config.max_new_tokens)
        if forced is not None:
            values = torch.full((len(scores), number), -torch.inf, device=scores.device)
            tokens = torch.full_like(values, forced, dtype=torch.int64)
            values[:, 0] = 0.0
            return values, tokens
        if config.no_repeat_ngram and self.before + step >= config.no_repeat_ngram:
            self._forbid_repeats(step, scores)
        if step < config.min_new_tokens:
            scores[:, list(rules.ends)] = -torch.inf
        if rules.never:
            scores[:, list(rules.never)] = -torch.inf
        values, tokens = largest(scores, number)
        return values - whole, tokens

    def _forbid_repeats(self, step: int, scores: Tensor) -> None:
        size, width = self.config.no_repeat_ngram, self.running.shape[1]
        texts = self.texts[:, :width, : self.before + step].flatten(0, 1)
        grams = texts.unfold(1, size, 1)
        latest = texts[:, texts.shape[1] + 1 - size :]
        again = (grams[..., :-1] == latest[:, None]).all(dim=-1) & (grams[..., 0] >= 0)
        rows, places = again.nonzero(as_tuple=True)
        scores[rows, grams[rows, places, -1]] = -torch.inf

    def _end(self, step: int, sums: Tensor, parents: Tensor, tokens: Tensor, ends: Tensor) -> None:
        """Those that end are kept if they are among the best: (sentences, beams) each."""
        beams, size = self.config.beams, step + 1
        scores = torch.where(ends, sums / size**self.config.length_penalty, NONE)
        self.ended, chosen = torch.cat([self.ended, scores], dim=1).topk(beams)
        texts = self.texts[:, :, self.before :].gather(
            1, parents[:, :, None].expand(-1, -1, self.config.max_new_tokens)
        )
        texts[:, :, step] = tokens
        texts = torch.cat([self.ended_texts, texts], dim=1)
        self.ended_texts = texts.gather(1, chosen[:, :, None].expand(-1, -1, texts.shape[2]))
        sizes = torch.cat([self.ended_sizes, torch.full_like(tokens, size)], dim=1)
        self.ended_sizes = sizes.gather(1, chosen)

    def _done(self, step: int, last: bool) -> Tensor:
        """(sentences) bool: the end is reached, or enough has ended, or what runs is no better than what has ended."""
        config = self.config
        if last:
            return torch.ones(len(self.running), dtype=torch.bool, device=self.running.device)
        size = step + 1
        if config.early_stopping == "never" and config.length_penalty > 0:
            size = config.max_new_tokens
        full = self.ended[:, -1] > NONE / 2
        hopeless = self.running[:, 0] / size**config.length_penalty <= self.ended[:, -1]
        if config.early_stopping is True or config.beams == 1:  # the best token of one beam ended the text
            return full | hopeless
        return hopeless

    def _best(self, row: int) -> list[Hypothesis]:
        number = self.config.num_returned
        scores, sizes = self.ended[row, :number].tolist(), self.ended_sizes[row, :number].tolist()
        texts = self.ended_texts[row, :number].tolist()
        return [
            Hypothesis(text[:size], score, score * size**self.config.length_penalty)
            for text, score, size in zip(texts, scores, sizes, strict=True)
            if score > NONE / 2
        ]


def padded(
    rows: Sequence[Sequence[int]], pad_id: int, *, left: bool = False, device: torch.device | None = None
) -> tuple[Tensor, Tensor | None]:
    """Token ids (rows, longest) int64, and a mask of the same shape with 0 for padding; None where there is none."""
    sizes, longest = [len(row) for row in rows], max(map(len, rows))
    places = [(longest - size if left else 0) for size in sizes]
    ids = torch.full((len(rows), longest), pad_id)
    mask = torch.zeros_like(ids)
    for number, (row, size, place) in enumerate(zip(rows, sizes, places, strict=True)):
        ids[number, place : place + size] = torch.tensor(row)
        mask[number, place : place + size] = 1
    return ids.to(device), None if min(sizes) == longest else mask.to(device)


def _rows(sources: Sequence[Sequence[int]] | Tensor, attention_mask: Tensor | None) -> list[list[int]]:
    if not isinstance(sources, Tensor):
        return [list(map(int, row)) for row in sources]
    if attention_mask is None:
        return sources.tolist()
    return [ids[mask.bool()].tolist() for ids, mask in zip(sources, attention_mask, strict=True)]


def _prefixes(prefix: Sequence[int] | Sequence[Sequence[int]] | None, number: int) -> list[list[int]]:
    """One for each source."""
    if prefix is None or not len(prefix):
        return [[] for _ in range(number)]
    if isinstance(prefix[0], int):
        return [list(prefix) for _ in range(number)]  # type: ignore[arg-type]
    if len(prefix) != number:
        raise ValueError(f"one prefix, or one for each of {number} sources is wanted, but {len(prefix)} came")
    return [list(one) for one in prefix]  # type: ignore[arg-type]


def _batches(rows: Sequence[list[int]], prefixes: Sequence[list[int]], batch_size: int) -> Iterator[list[int]]:
    """Numbers of rows that go together: prefixes of one length, the longest sources first."""
    batch: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: (-len(prefixes[i]), -len(rows[i]))):
        if batch and (len(batch) == batch_size or len(prefixes[i]) != len(prefixes[batch[0]])):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch

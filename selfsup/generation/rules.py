"""What a model's own settings say of the texts it writes, and what cannot be asked of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from selfsup.generation.scoring import window


@dataclass(frozen=True)
class Rules:
    """What a model's own settings say of its texts.

    Args:
        ends: tokens that end a text.
        start: token that begins a target; None in a causal model.
        forced_first: token that comes first, or None.
        forced_last: token that comes where the text may go no further, or None.
        never: tokens that are not written.
        never_runs: tokens that are not written one behind the other, several each.
    """

    ends: tuple[int, ...]
    start: int | None
    forced_first: int | None
    forced_last: int | None
    never: tuple[int, ...]
    never_runs: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Rules":
        """Of its `generation_config`, or else of its configuration.

        Raises:
            ValueError: an encoder-decoder that has no token to begin with, or a token that is none of the model's.
        """

        def setting(name: str):
            found = getattr(model.generation_config, name, None)
            return getattr(model.config, name, None) if found is None else found

        ends = setting("eos_token_id")
        ends = () if ends is None else tuple(ends) if isinstance(ends, list | tuple) else (ends,)
        start = None
        if model.config.is_encoder_decoder:
            start = setting("decoder_start_token_id")
            start = setting("bos_token_id") if start is None else start
            if start is None:
                raise ValueError(
                    "a token that begins a target is wanted, but decoder_start_token_id of the configuration is None: "
                    "set it"
                )
        bad = [tuple(ids) for ids in setting("bad_words_ids") or []]
        never = [ids[0] for ids in bad if len(ids) == 1] + list(setting("suppress_tokens") or [])
        runs = tuple(ids for ids in bad if len(ids) > 1)
        first, last = setting("forced_bos_token_id"), setting("forced_eos_token_id")
        named = {
            "eos_token_id": ends,
            "decoder_start_token_id": (start,),
            "forced_bos_token_id": (first,),
            "forced_eos_token_id": (last,),
            "bad_words_ids or suppress_tokens": [*never, *(token for run in runs for token in run)],
        }
        vocab = model.config.vocab_size
        for name, ids in named.items():
            if outside := [token for token in ids if token is not None and not 0 <= token < vocab]:
                raise ValueError(
                    f"token ids of 0 to {vocab - 1} are wanted, but {name} of the model's settings has {outside[0]}: "
                    "correct it in its generation_config.json or config.json"
                )
        return cls(ends, start, first, last, tuple(never), runs)

    def check_runs(self) -> None:
        """Refuse runs of tokens that may not be written, which are nothing of ours.

        Raises:
            ValueError: there are some.
        """
        if self.never_runs:
            raise ValueError(
                "bad words of one token each are wanted, but bad_words_ids of the model's settings has "
                f"{list(self.never_runs[0])}: write with the model's own generate, or leave them out there"
            )

    def forced(self, *, first: bool, last: bool) -> int | None:
        """The token that must come next, if one must.

        Args:
            first: nothing of the text is written yet.
            last: nothing may be written behind it.
        """
        if first and self.forced_first is not None:
            return self.forced_first
        return self.forced_last if last else None


def check(
    model: PreTrainedModel,
    rows: Sequence[list[int]],
    prefixes: Sequence[list[int]],
    rules: Rules,
    *,
    beams: int,
    max_new_tokens: int,
) -> None:
    """Refuse what does not fit a model.

    Args:
        model: that is to write.
        rows: token ids of the sources; of a causal model the prompts, prefix included.
        prefixes: of each target.
        rules: of the model.
        beams: that are kept.
        max_new_tokens: to write at most.
    Raises:
        ValueError: more beams than tokens, a source that is empty or too long, a token that is none of the model's, or
            too many new ones.
    """
    vocab, room, pairs = model.config.vocab_size, window(model), rules.start is not None
    if beams > vocab:
        raise ValueError(f"at most {vocab} beams are possible, the size of the vocabulary, but {beams} came")
    for number, (row, before) in enumerate(zip(rows, prefixes, strict=True)):
        if not row:
            raise ValueError(
                f"sources with at least one token are wanted, but source {number} (the first is 0) is empty: leave it "
                "out, or frame it with the tokenizer's special tokens"
            )
        for what, ids in (("source", row), ("prefix", before)):
            outside = [token for token in ids if not 0 <= token < vocab]
            if outside:
                raise ValueError(
                    f"token ids of 0 to {vocab - 1} are wanted, but {what} {number} (the first is 0) has {outside[0]}: "
                    "encode it with the tokenizer of this model"
                )
        if room is None:
            continue
        if len(row) > room:
            raise ValueError(
                f"the model reads at most {room} tokens, but source {number} (the first is 0) has {len(row)}: cut it"
            )
        read = 1 + len(before) if pairs else len(row)
        most = room - read + 1  # the last one is written and not read
        if most < 1:
            raise ValueError(
                f"the model reads at most {room} tokens of a target, but prefix {number} (the first is 0) has "
                f"{len(before)}: shorten it to {room - 1} or fewer"
            )
        if max_new_tokens > most:
            raise ValueError(
                f"the model has room for {most} new tokens of source {number} (the first is 0; it reads at most {room} "
                f"tokens), but max_new_tokens={max_new_tokens} came: set it to {most} or fewer"
            )

"""Turn texts into others with an encoder-decoder: translate, split, shorten; transformers 5 has no pipeline for it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Self

import torch
import transformers
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

import selfsup.models  # noqa: F401 - makes the Auto classes know ours
from selfsup.generation.beam import BeamConfig, beam_search
from selfsup.generation.parallel import mask_predict
from selfsup.generation.rules import Rules
from selfsup.models.encoder_decoder import TextEncoderDecoderForSeq2SeqLM
from selfsup.training.export import exported, open_tokenizer, opening

OURS = "selfsup_encoder_decoder"
LONGEST = 512  # tokens that are written by models of no limit, such as T5


@dataclass(frozen=True)
class Written:
    """A text that a model wrote.

    Args:
        text: without special tokens, a prefix included.
        score: sum of the log-probabilities of its tokens, those of a prefix not counted, divided by their number to
            the power of the length penalty; the higher the likelier. nan from a parallel model.
    """

    text: str
    score: float


class Translator:
    """Turns texts into others, as its model learnt it: German for English, two sentences for one, a tree for words.

    Args:
        model: an encoder-decoder, ours, also a parallel one, or of the Hub (T5, BART, Marian ...); used where it is.
        tokenizer: its own.
    Example:
        >>> translate = Translator.from_pretrained("run/translation/model")  # doctest: +SKIP
        >>> translate("A dog runs.")  # doctest: +SKIP
        'Ein Hund rennt.'
        >>> translate(["A dog runs.", "A man sleeps."], num_returned=2)  # doctest: +SKIP
        [['Ein Hund rennt.', 'Ein Hund läuft.'], ['Ein Mann schläft.', 'Ein Mann, der schläft.']]
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer

    @classmethod
    def from_pretrained(cls, name: str, *, device: str | None = None, trust_remote_code: bool = False) -> Self:
        """Open a model that writes a text for a text.

        Args:
            name: of a folder, one that was exported or that of its run, or of a model on the Hub.
            device: where it runs; on the GPU, if None and there is one.
            trust_remote_code: run Python files that come with it; our own models need none.
        Raises:
            ValueError: nothing opens under that name, or it is no encoder-decoder with a trained head.
        """
        model, tokenizer = open_writer(name, trust_remote_code=trust_remote_code)
        return cls(model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")), tokenizer)

    def __call__(self, texts: str | Sequence[str], *, num_returned: int = 1, **options: Any) -> Any:
        """Turn one text, or several, into others.

        Args:
            texts: what to read.
            num_returned: texts for each, the best first.
            options: of `written`.
        Returns:
            of each text its best one, or with `num_returned` above 1 a list of them; for several texts a list of those.
        Raises:
            ValueError: see `written`.
        """
        found = self.written([texts] if isinstance(texts, str) else texts, num_returned=num_returned, **options)
        said: list[Any] = [[one.text for one in some] if num_returned > 1 else some[0].text for some in found]
        return said[0] if isinstance(texts, str) else said

    def written(self, texts: Sequence[str], *, prefix: str | None = None, **options: Any) -> list[list[Written]]:
        """Turn texts into others, with their scores.

        Args:
            texts: what to read.
            prefix: what every text that is written begins with.
            options: of `from_ids`.
        Returns:
            for each text in order the best ones, the best first.
        Raises:
            ValueError: a text is empty or longer than the model can read (its number is said), the prefix has
                characters that the tokenizer does not know, or an option makes no sense.
        """
        sources = []
        for number, text in enumerate(texts):
            try:
                sources.append(read_source(self.tokenizer, self.model.config, text))
            except ValueError as error:
                raise ValueError(f"text {number}: {error}" if len(texts) > 1 else str(error)) from error
        begun = read_prefix(self.tokenizer, prefix) if prefix else []
        return self.from_ids(sources, prefix=begun, **options)

    def lines(self, text: str, num_returned: int, beams: int, max_new_tokens: int | None) -> str:
        """What is written for a text, to be printed: the best alone, or several with their scores, each in a line."""
        [found] = self.written([text], num_returned=num_returned, beams=beams, max_new_tokens=max_new_tokens)
        return found[0].text if num_returned == 1 else "\n".join(f"{one.score:8.3f}  {one.text}" for one in found)

    def from_ids(
        self,
        sources: Sequence[Sequence[int]],
        *,
        beams: int = 5,
        num_returned: int = 1,
        max_new_tokens: int | None = None,
        batch_size: int = 32,
        rounds: int = 10,
        prefix: Sequence[int] = (),
    ) -> list[list[Written]]:
        """`written` for sources that are ids already.

        Args:
            sources: ids of `read_source`.
            beams: texts that are gone on with side by side, 1 for the likeliest token each time; of a parallel model
                the lengths that are tried.
            num_returned: of them, for each source; 1 from a parallel model.
            max_new_tokens: to write at most, behind the prefix; a quarter more than it learnt from, or as its own
                settings say, or as many as there is room for, if None.
            batch_size: sources read at once; what is written does not depend on it.
            rounds: of a parallel model, in each of which the least sure tokens are guessed anew.
            prefix: ids that every target begins with.
        """
        self._check(beams, num_returned, max_new_tokens, batch_size, rounds, len(prefix))
        found: list[list[Written]] = [[] for _ in sources]
        order = sorted(range(len(sources)), key=lambda place: len(sources[place]), reverse=True)  # little padding
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            rows = [list(sources[place]) for place in chosen]
            with torch.inference_mode():
                if is_parallel(self.model.config):
                    written = self._in_parallel(rows, rounds, beams, max_new_tokens)
                elif isinstance(self.model, TextEncoderDecoderForSeq2SeqLM):
                    written = self._by_beams(rows, beams, num_returned, max_new_tokens, list(prefix))
                else:  # its settings may ask for more than ours know
                    written = self._by_generate(rows, beams, num_returned, max_new_tokens, list(prefix))
            for place, hypotheses in zip(chosen, written, strict=True):
                texts = self.tokenizer.batch_decode([ids for ids, _ in hypotheses], skip_special_tokens=True)
                scores = [score for _, score in hypotheses]
                found[place] = [Written(text.strip(), score) for text, score in zip(texts, scores, strict=True)]
        return found

    def _by_beams(
        self, sources: list[list[int]], beams: int, num_returned: int, max_new_tokens: int | None, prefix: list[int]
    ) -> list[list[tuple[list[int], float]]]:
        """Of each source, ids and score of the best targets."""
        room = self._room(len(prefix))
        most = min(max_new_tokens or getattr(self.model.config, "max_target_tokens", None) or room, room)
        config = BeamConfig(beams, max_new_tokens=most, num_returned=num_returned)
        found = beam_search(self.model, sources, config, prefix=prefix, batch_size=len(sources))
        return [[(one.ids, one.score) for one in some] for some in found]

    def _by_generate(
        self, sources: list[list[int]], beams: int, num_returned: int, max_new_tokens: int | None, prefix: list[int]
    ) -> list[list[tuple[list[int], float]]]:
        """The same by transformers."""
        config, settings = self.model.config, self.model.generation_config
        Rules.of(self.model)  # refuses tokens that are none of the model's
        pad = next(number for number in (config.pad_token_id, self.tokenizer.pad_token_id, 0) if number is not None)
        width = max(map(len, sources))
        ids = torch.tensor([[*source, *[pad] * (width - len(source))] for source in sources])
        mask = torch.tensor([[1] * len(source) + [0] * (width - len(source)) for source in sources])
        options: dict[str, Any] = {"num_beams": beams, "num_return_sequences": num_returned, "do_sample": False}
        most = max_new_tokens or getattr(config, "max_target_tokens", None)
        if most or (settings.max_new_tokens is None and settings.max_length is None):
            room = self._room(len(prefix))
            options |= {"max_new_tokens": min(most or room, room), "max_length": None}
        begin = settings.decoder_start_token_id
        begin = settings.bos_token_id if begin is None else begin
        if prefix:
            options["decoder_input_ids"] = torch.tensor([[begin, *prefix]]).expand(len(sources), -1).to(self._device)
        said = self.model.generate(
            ids.to(self._device), attention_mask=mask.to(self._device), return_dict_in_generate=True,
            output_scores=True, **options,
        )  # fmt: skip
        scores = said.sequences_scores if beams > 1 else self._greedy_scores(said, 1 + len(prefix))
        if scores.isnan().any():
            raise ValueError(
                "probabilities are wanted, but the model gives nan: its weights are broken, so train it again with a "
                "lower learning rate, or open another"
            )
        pairs = list(zip(said.sequences[:, 1:].tolist(), scores.tolist(), strict=True))
        return [pairs[at : at + num_returned] for at in range(0, len(pairs), num_returned)]

    def _greedy_scores(self, said: Any, start: int) -> torch.Tensor:
        """(sources) scores of targets that were written without beams, as those of beams are."""
        tokens = said.sequences[:, start:]
        each = torch.stack([step.float().log_softmax(-1) for step in said.scores], dim=1)
        each = each.gather(2, tokens[:, :, None]).squeeze(2)
        ends = torch.isin(tokens, torch.tensor(_as_list(self.model.generation_config.eos_token_id)).to(tokens))
        lasts = ends.cumsum(1) - ends.long() == 0  # up to the first end
        penalty = self.model.generation_config.length_penalty
        return each.masked_fill(~lasts, 0).sum(1) / lasts.sum(1) ** (1.0 if penalty is None else penalty)

    def _in_parallel(
        self, sources: list[list[int]], rounds: int, lengths: int, max_new_tokens: int | None
    ) -> list[list[tuple[list[int], float]]]:
        targets = mask_predict(self.model, self.tokenizer, sources, rounds=rounds, lengths=lengths,
                               max_new_tokens=max_new_tokens)  # fmt: skip
        return [[(list(target), math.nan)] for target in targets]

    def _check(
        self, beams: int, num_returned: int, max_new_tokens: int | None, batch_size: int, rounds: int, begun: int
    ) -> None:
        parallel, vocab = is_parallel(self.model.config), self.model.config.vocab_size
        counts = {"beams": beams, "num_returned": num_returned, "batch_size": batch_size, "rounds": rounds}
        counts |= {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
        if wrong := [name for name, value in counts.items() if value < 1]:
            raise ValueError(f"{wrong[0]} of at least 1 is wanted, but {counts[wrong[0]]} came")
        if beams > vocab:
            raise ValueError(
                f"at most {vocab:,} beams are wanted, one for each piece of the vocabulary, but {beams} came"
            )
        if parallel and (num_returned > 1 or begun):
            raise ValueError(
                "a model that writes token by token is wanted for a prefix or several texts for one, but this one "
                "writes all tokens at once: leave them out"
            )
        if num_returned > beams:
            raise ValueError(f"{num_returned} texts for each want as many beams, but {beams} came: raise beams")
        room = self._room(begun)
        if room < 1:
            raise ValueError(f"the model writes at most {room + begun} tokens, but the prefix has {begun}: shorten it")
        if (max_new_tokens or 0) > room:
            raise ValueError(
                f"the model writes at most {room} tokens{' more behind this prefix' * bool(begun)}, but max_new_tokens "
                f"is {max_new_tokens}: lower it"
            )

    def _room(self, begun: int) -> int:
        """How many tokens can be written behind so many."""
        limit = getattr(self.model.config, "max_position_embeddings", None)
        return (limit or LONGEST) - begun

    @property
    def _device(self) -> torch.device:
        return self.model.device


def open_writer(name: str, *, trust_remote_code: bool = False) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model that writes a text for a text, in evaluation mode and float32, and its tokenizer.

    Args:
        name: folder of a run, exported folder, checkpoint or Hub id.
        trust_remote_code: run Python files that come with the model; our own need none.
    Raises:
        ValueError: nothing opens under that name, it reads and writes no text, or its weights are not all there.
    """
    start = exported(name)
    with opening("a model that writes a text for a text is wanted", name):
        config = AutoConfig.from_pretrained(start, trust_remote_code=trust_remote_code)
    auto_class = writer_class(config)
    if auto_class is None:
        _refuse(name, config)
    tokenizer = open_tokenizer(start, trust_remote_code)
    with opening("a model that writes a text for a text is wanted", name):
        model, info = getattr(transformers, auto_class).from_pretrained(
            start, dtype=torch.float32, output_loading_info=True, trust_remote_code=trust_remote_code
        )
    if info["missing_keys"]:
        _refuse(name, config)
    return model.eval(), tokenizer


def open_translator(name: str, *, beams: int | None = None, trust_remote_code: bool = False) -> Translator | None:
    """The translator of an encoder-decoder; None of another model, which may go on with texts.

    Args:
        name: as for `open_writer`.
        beams: that are wanted, if any are.
        trust_remote_code: run Python files that come with the model; our own need none.
    Raises:
        ValueError: nothing opens under that name, or beams are wanted of another model.
    """
    with opening("a model that writes is wanted", name):
        config = AutoConfig.from_pretrained(exported(name), trust_remote_code=trust_remote_code)
    if config.is_encoder_decoder:
        return Translator.from_pretrained(name, device="cpu", trust_remote_code=trust_remote_code)
    if beams is not None:
        raise ValueError(f"an encoder-decoder is wanted for --beams, but {name} is none: leave --beams out")
    return None


def writer_class(config: PreTrainedConfig) -> str | None:
    """The Auto class under which a model of this configuration writes texts for texts; None where it does not."""
    if not config.is_encoder_decoder:
        return None
    auto_class = "AutoModelForMaskedLM" if is_parallel(config) else "AutoModelForSeq2SeqLM"
    known = type(config) in getattr(transformers, auto_class)._model_mapping
    return auto_class if known or auto_class in (getattr(config, "auto_map", None) or {}) else None


def is_parallel(config: PreTrainedConfig) -> bool:
    """Whether it is of an encoder-decoder of ours that writes all tokens at once."""
    return config.model_type == OURS and bool(getattr(config, "parallel", False))


def read_source(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, text: str) -> list[int]:
    """The ids of a text as the encoder reads it, special tokens included.

    Args:
        tokenizer: of the model.
        config: likewise. For our models a literal "[MASK]" is text; others may want theirs (T5's sentinels).
        text: any.
    Raises:
        ValueError: it is empty, or longer than the model can read.
    """
    if not isinstance(text, str):
        raise ValueError(f"a text was wanted, but {type(text).__name__} came")
    if not text.strip():
        raise ValueError("a text was wanted, but it is empty")
    ours = {"split_special_tokens": True} if config.model_type == OURS else {}
    ids = list(tokenizer(text, verbose=False, **ours)["input_ids"])
    limits = (tokenizer.model_max_length, getattr(config, "max_position_embeddings", None))
    longest = min(limit for limit in limits if limit)
    if len(ids) > longest:
        raise ValueError(
            f"the model reads at most {longest} tokens, but the text has {len(ids)}: cut it, at sentences for instance"
        )
    return ids


def read_prefix(tokenizer: PreTrainedTokenizerBase, prefix: str) -> list[int]:
    """The ids of what a target is to begin with.

    Raises:
        ValueError: it has characters that the tokenizer does not know.
    """
    ids = list(tokenizer(text_target=prefix, add_special_tokens=False, verbose=False)["input_ids"])
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
        raise ValueError(
            f"a prefix in the vocabulary of the model was wanted, but {prefix!r} holds what its tokenizer does not "
            "know: write it otherwise"
        )
    return ids


def _as_list(ids: int | list[int] | None) -> list[int]:
    return [] if ids is None else [ids] if isinstance(ids, int) else list(ids)


def _refuse(name: str, config: PreTrainedConfig) -> NoReturn:
    made = (config.architectures or ["model of an unknown kind"])[0]
    raise ValueError(
        f"a model that writes a text for a text is wanted, but {name} is a {made} without the weights of such a head: "
        "train an encoder-decoder first, with scripts/finetune.py --task translation"
    )

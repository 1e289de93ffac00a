"""Go on with a text: any causal model of transformers, one prompt, one or several continuations."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, TextStreamer, set_seed

from selfsup.generation.likelihood import beginning
from selfsup.generation.scoring import window


@dataclass(frozen=True)
class WritingConfig:
    """How the next token is chosen.

    Args:
        max_new_tokens: to write at most; fewer where the model ends the text.
        temperature: scores are divided by it before softmax; 0 takes the most probable token.
        top_k: choose among so many most probable tokens; 0 = all.
        top_p: choose among the fewest tokens that together are at least so probable.
        repetition_penalty: scores of tokens that stood before are divided by it, or multiplied where negative.
        num_samples: texts to write after the same prompt.
        seed: of all draws.
    Source:
        Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration" (top_p); Keskar et al. 2019, "CTRL",
        section 4.1 (repetition penalty).
    """

    max_new_tokens: int = 100
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    num_samples: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        bounds = {
            "max_new_tokens must be at least 1": self.max_new_tokens >= 1,
            "temperature must be at least 0 (0 takes the most probable token)": self.temperature >= 0,
            "top_k must be at least 0 (0 chooses among all)": self.top_k >= 0,
            "top_p must be above 0 and at most 1": 0 < self.top_p <= 1,
            "repetition_penalty must be above 0 (1 penalises nothing)": self.repetition_penalty > 0,
            "num_samples must be at least 1": self.num_samples >= 1,
        }
        for wanted in (sentence for sentence, kept in bounds.items() if not kept):
            raise ValueError(f"{wanted}, but {getattr(self, wanted.split()[0])} came")
        if self.temperature == 0 and self.num_samples > 1:
            raise ValueError(
                f"{self.num_samples} texts at temperature 0 would be the same: ask for one, or set temperature=0.8"
            )

    def options(self) -> dict[str, float]:
        """Of `generate`."""
        chosen: dict[str, float] = {"do_sample": False}
        if self.temperature > 0:
            chosen = {"do_sample": True, "temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        return chosen | {
            "max_new_tokens": self.max_new_tokens,
            "repetition_penalty": self.repetition_penalty,
            "num_return_sequences": self.num_samples,
        }


def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    config: WritingConfig,
    *,
    stream: bool = False,
) -> list[str]:
    """Continuations of a prompt, without it.

    Args:
        model: causal, in evaluation mode.
        tokenizer: its own.
        prompt: may be empty where the tokenizer has a token that begins a text.
        config: how to choose.
        stream: print prompt and text as they are written; for one sample.
    Returns:
        (num_samples) texts; the same again under the same seed.
    Raises:
        ValueError: the prompt is empty without a token to begin with, or too long for what is to be written.
    """
    ids = prompt_ids(tokenizer, prompt, literal=is_ours(model.config))
    _check_room(len(ids), config.max_new_tokens, window(model, tokenizer))
    asked = torch.tensor([ids], device=model.device)
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    set_seed(config.seed)
    written = model.generate(
        asked,
        attention_mask=torch.ones_like(asked),
        pad_token_id=filler,
        streamer=TextStreamer(tokenizer, skip_special_tokens=True) if stream else None,
        **config.options(),
    )
    before = len(tokenizer.decode(ids, skip_special_tokens=True))
    # Decoded with the prompt: alone, the first new piece would lose the space before it.
    return [text[before:] for text in tokenizer.batch_decode(written, skip_special_tokens=True)]


def is_ours(config: PreTrainedConfig) -> bool:
    """Whether a model is of this package, which reads a literal "[MASK]" as text; others may mean theirs."""
    return config.model_type.startswith("selfsup_")


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompt: str, *, literal: bool = False) -> list[int]:
    """Token ids of a text that is to be gone on with: framed as the tokenizer does, but not ended.

    Args:
        tokenizer: of the model.
        prompt: any text.
        literal: the names of special tokens are text.
    Raises:
        ValueError: there is no token that the tokenizer knows, and none to begin with; or the text is none.
    """
    _check_text(prompt)
    options = {"split_special_tokens": True} if literal else {}
    ids = list(tokenizer(prompt, **options)["input_ids"]) if prompt else []
    own = set(ids) - set(tokenizer.all_special_ids)
    if prompt.strip() and tokenizer.unk_token_id in ids and not own:
        raise ValueError(
            f"a prompt that the tokenizer knows something of is wanted, but it knows no character of {prompt!r}: write "
            "it in those that the model was trained on"
        )
    while ids and ids[-1] in (tokenizer.eos_token_id, tokenizer.sep_token_id):
        ids.pop()
    ids = ids or beginning(tokenizer)
    if not ids:
        raise ValueError("the prompt is empty, and the tokenizer has no token that begins a text: give it a word")
    return ids


def unknown_note(tokenizer: PreTrainedTokenizerBase, prompt: str) -> str:
    """A line, with its end, on what of a prompt the model cannot see; empty where it sees all."""
    _check_text(prompt)
    number = list(tokenizer(prompt)["input_ids"]).count(tokenizer.unk_token_id) if prompt else 0
    return f"{number} token(s) of the prompt stand for characters that the tokenizer does not know\n" if number else ""


def read_prompts(file: Path) -> list[str]:
    """The lines of a text file.

    Raises:
        ValueError: there is none, or it is no text in UTF-8.
    """
    try:
        lines = file.read_text("utf-8").removesuffix("\n").split("\n")  # splitlines() would cut at U+2028 too
    except UnicodeDecodeError as error:
        raise ValueError(
            f"prompts, one a line in UTF-8, are wanted, but {file} is no such text: byte {error.start} cannot be read"
        ) from error
    if lines == [""]:
        raise ValueError(f"prompts, one a line, are wanted, but {file} is empty")
    return lines


def _check_text(prompt: str) -> None:
    if broken := re.search("[\ud800-\udfff]", prompt):
        raise ValueError(
            f"text is wanted, but character {broken.start()} of the prompt (the first is 0) is half of one, "
            f"{broken.group()!a}: leave it out"
        )


def _check_room(num_tokens: int, max_new_tokens: int, room: int | None) -> None:
    if room is None or num_tokens + max_new_tokens <= room:
        return
    if num_tokens >= room:
        raise ValueError(
            f"the model reads at most {room} tokens, but the prompt has {num_tokens}: cut it, so that there is room "
            "to write"
        )
    raise ValueError(
        f"the model reads at most {room} tokens, but a prompt of {num_tokens} and {max_new_tokens} new ones came: set "
        f"max_new_tokens to {room - num_tokens} or fewer, or cut the prompt"
    )

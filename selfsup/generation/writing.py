"""Go on with a text: any causal model of transformers, one prompt, one or several continuations."""

import sys
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TextStreamer, set_seed

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
        ValueError: the prompt is empty without a token to begin with, holds nothing that the tokenizer knows, or is too
            long for what is to be written.
    """
    ids = prompt_ids(tokenizer, prompt)
    if lost := num_unknown(tokenizer, prompt):
        told = f"the tokenizer does not know {lost} piece(s) of the prompt {prompt[:60]!r}"
        print(f"{told}: the model reads {tokenizer.unk_token} there", file=sys.stderr)
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


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    """Token ids of a text that is to be gone on with: framed as the tokenizer does, but not ended.

    What looks like a special token is text, as everywhere here.

    Raises:
        ValueError: there is no token, and none to begin with; or the tokenizer knows none of them.
    """
    ids = list(tokenizer(prompt, split_special_tokens=True)["input_ids"]) if prompt else []
    while ids and ids[-1] in (tokenizer.eos_token_id, tokenizer.sep_token_id):
        ids.pop()
    ids = ids or beginning(tokenizer)
    if not ids:
        raise ValueError("the prompt is empty, and the tokenizer has no token that begins a text: give it a word")
    # A tokenizer may also leave out what has no width, as U+200B, without a token for it.
    if (num_unknown(tokenizer, prompt) or prompt.strip()) and not tokenizer.decode(
        ids, skip_special_tokens=True
    ).strip():
        raise ValueError(
            f"a prompt that the tokenizer knows a piece of is wanted, but {prompt[:60]!r} came: write it otherwise, or "
            "choose another model"
        )
    return ids


def num_unknown(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    """How many tokens of a text stand for what a tokenizer does not know."""
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return list(ids).count(tokenizer.unk_token_id)


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

"""Go on with a text, or turn it into another: `python scripts/generate.py --model FOLDER --prompt "At last"`."""

from pathlib import Path

from selfsup.data.inputs import read_prompts
from selfsup.training.command import command


def main(
    model: str, prompt: str | None = None, file: Path | None = None, max_new_tokens: int | None = None,
    temperature: float = 0.8, top_k: int = 0, top_p: float = 0.95, repetition_penalty: float = 1.0,
    seed: int = 0, num_samples: int = 1, beams: int | None = None, trust_remote_code: bool = False,
) -> None:  # fmt: skip
    """Print how a decoder goes on with one or several prompts, or what an encoder-decoder turns them into.

    Args:
        model: one that goes on with a text, or translates it: a run, an exported folder, or a Hub id.
        prompt: where to begin; "" lets the model begin a text.
        file: in its place, one prompt a line; standard input is read where both are absent, or of the name -.
        max_new_tokens: to write at most; 100 if absent, or what an encoder-decoder is used to.
        temperature: of a decoder, as all up to `seed`: below 1 prefers what is probable; 0 takes the most probable.
        top_k: choose among so many most probable tokens; 0 = all.
        top_p: choose among the fewest tokens that together are at least so probable.
        repetition_penalty: above 1, tokens that stood before are less probable.
        seed: of all draws.
        num_samples: texts for each prompt; of an encoder-decoder the best ones, with their scores.
        beams: of an encoder-decoder, texts that are gone on with side by side; 5 if absent, or `num_samples`.
        trust_remote_code: run Python files that come with the model; our own need none.
    """
    from transformers.utils import logging

    from selfsup.generation.writing import WritingConfig, write
    from selfsup.predicting.opening import one_process
    from selfsup.predicting.translating import open_translator
    from selfsup.training.causal import open_causal

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    config = WritingConfig(100 if max_new_tokens is None else max_new_tokens, temperature, top_k, top_p,
                           repetition_penalty, num_samples, seed)  # fmt: skip
    prompts = read_prompts(prompt, file)
    translator = open_translator(model, beams=beams, trust_remote_code=trust_remote_code)
    if translator:
        network, tokenizer = translator.model, translator.tokenizer
    else:
        network, tokenizer = open_causal(model, trust_remote_code=trust_remote_code)
    network.to(one_process().device)
    for text in prompts:
        if translator:
            width = max(5, num_samples) if beams is None else beams
            print(translator.lines(text, num_samples, width, max_new_tokens), flush=True)
        elif written := write(network, tokenizer, text, config, stream=num_samples == 1):
            print("".join(f"{text}{one}\n\n" for one in written if num_samples > 1), end="")


if __name__ == "__main__":
    command(main)

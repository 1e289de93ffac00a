"""Open a pretrained model through Auto classes, and let it guess hidden words."""

from selfsup.training.command import command
from selfsup.training.summary import table

SENTENCES = (
    "The President of the [MASK] States spoke to the Congress.",
    "We must protect the [MASK] of our people.",
    "The war with Mexico was brought to an [MASK].",
    "I am glad to report that the [MASK] of the Treasury is in good condition.",
)


def main(
    model: str,
    sentences: list[str] = list(SENTENCES),  # noqa: B006 - read only
    best: int = 3,
    trust_remote_code: bool = False,
) -> None:
    """Guess the words behind [MASK].

    Args:
        model: an exported folder or a Hub id.
        sentences: with one [MASK] each.
        best: how many guesses to print.
        trust_remote_code: run Python files that come with the model; our own need none.
    """
    from transformers import pipeline
    from transformers.utils import logging

    from selfsup.predicting.translating import is_parallel
    from selfsup.training.export import open_model, open_tokenizer

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tokenizer = open_tokenizer(model, trust_remote_code)
    network = open_model("AutoModelForMaskedLM", model, trust_remote_code=trust_remote_code)
    if is_parallel(network.config):
        raise ValueError(f"a model that guesses hidden words of a text is wanted, but {model} writes a text for "
                         "another: use scripts/predict.py")  # fmt: skip
    fill = pipeline("fill-mask", model=network, tokenizer=tokenizer, top_k=best)
    rows: list[tuple[str, ...]] = [("hidden word", "guesses")]
    for sentence in sentences:
        if sentence.count(tokenizer.mask_token) != 1:
            raise ValueError(f"one {tokenizer.mask_token} is wanted in every sentence, but this came: {sentence}")
        guesses = ", ".join(f"{guess['token_str'].strip()} {guess['score']:.0%}" for guess in fill(sentence))
        rows.append((sentence, guesses))
    print(f"\n{table(rows)}\n")
    print(
        f"In Python:      AutoModel.from_pretrained('{model}', trust_remote_code=True)\n"
        "Your own text:  .venv/bin/accelerate launch -q --config_file scripts/launch/cpu.yaml \\\n"
        "                    --num_cpu_threads_per_process 2 scripts/pretrain.py --corpus FOLDER --output runs/mine"
    )


if __name__ == "__main__":
    command(main)

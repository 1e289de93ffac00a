"""Measure how well a decoder predicts held-out text, beside n-grams that learnt from the same text."""

import json
from dataclasses import asdict
from pathlib import Path

from selfsup.data.texts import DataConfig, find_texts
from selfsup.training.command import command
from selfsup.training.export import exported, open_model, open_tokenizer


def main(
    model: str, corpus: str, data: DataConfig | None = None, output: Path | None = None, stride: int | None = None,
    max_tokens: int | None = None, batch_size: int = 16, ngram_order: int = 5, data_root: Path | None = None,
    trust_remote_code: bool = False,
) -> None:  # fmt: skip
    """Print bits per byte of the whole held-out text; every token is scored once.

    Args:
        model: a run, an exported folder or a Hub id of a decoder.
        corpus: that it was trained on, as for pretrain.py, with its validation text; n-grams learn from it too.
        data: how text is held out; by default as run.yaml says.
        output: where to keep the figures, as JSON.
        stride: tokens that a window scores; what stands before them in the window is context. Half a window by default.
        max_tokens: of a window; as many as the model reads by default.
        batch_size: windows that are read at once.
        ngram_order: of the n-grams; 7 is better for characters.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        trust_remote_code: run Python files that come with the model; our own need none.
    """
    import numpy as np
    from accelerate import Accelerator
    from transformers.utils import logging

    from selfsup.benchmark import language
    from selfsup.generation.scoring import window

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder, trust = exported(model), trust_remote_code
    tokenizer = open_tokenizer(folder, trust)
    network = open_model("AutoModelForCausalLM", folder, trust_remote_code=trust, dtype="float32")
    network.to(Accelerator().device)
    data = language.data_of(model, data)
    text, held_out = language.open_text(find_texts(corpus, data, data_root), tokenizer, data)
    most = window(network) or 512 if max_tokens is None else max_tokens
    stride = stride if stride is not None else max(1, most // 2)
    own = language.decoder_log_probs(
        network, tokenizer, held_out, max_tokens=most, stride=stride, batch_size=batch_size
    )
    baselines = language.ngram_log_probs(text, held_out, len(tokenizer), ngram_order)
    found = language.compare({"decoder": own, **baselines}, held_out, rng=np.random.default_rng(0))
    print(f"{language.report(found, held_out)}\nwindows  {most} tokens, the last {stride} of each are scored")
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        asked = {"model": model, "corpus": corpus, "data": asdict(data), "stride": stride}
        output.write_text(json.dumps(asked | found, indent=1, default=str))


if __name__ == "__main__":
    command(main)

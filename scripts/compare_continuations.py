"""Does a decoder repeat itself? Greedy, beams and samples behind held-out text, beside what people wrote there."""

import json
from dataclasses import asdict
from pathlib import Path

from selfsup.benchmark.continuations import ContinuationConfig
from selfsup.data.texts import DataConfig, find_texts
from selfsup.training.command import command


def main(
    model: str, corpus: str, output: Path, writing: ContinuationConfig = ContinuationConfig(),
    data: DataConfig | None = None, data_root: Path | None = None, trust_remote_code: bool = False,
) -> None:  # fmt: skip
    """Print how probable and how repetitive each way of writing is.

    Args:
        model: a run, an exported folder or a Hub id of a decoder.
        corpus: that it was trained on, as for pretrain.py, with its validation text.
        output: folder of results.json and continuations.jsonl, where all can be read.
        writing: what is gone on with, and how far.
        data: how text is held out; by default as run.yaml says.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        trust_remote_code: run Python files that come with the model; our own need none.
    """
    from accelerate import Accelerator

    from selfsup.benchmark import continuations as ways
    from selfsup.benchmark import language
    from selfsup.generation.likelihood import beginning
    from selfsup.training.causal import open_causal

    data = language.data_of(model, data)
    network, tokenizer = open_causal(model, trust_remote_code=trust_remote_code)
    network.to(Accelerator().device)
    held_out = language.open_text(find_texts(corpus, data, data_root), tokenizer, data)[1]
    prompts, people = ways.prompts_of(held_out, writing)
    begin = beginning(tokenizer)
    texts = dict(ways.continuations(network, prompts, writing, begin=begin)) | {ways.PEOPLE: people}
    nats = {
        name: ways.mean_log_probs(network, prompts, rows, begin=begin, batch_size=writing.batch_size)
        for name, rows in texts.items()
    }
    found = ways.figures(texts, nats)
    print(ways.report(found))
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps({"model": model, **asdict(writing), "found": found}, indent=1))
    told = {name: tokenizer.batch_decode(rows) for name, rows in {"prompt": prompts, **texts}.items()}
    rows = [
        json.dumps(dict(zip(told, row, strict=True)), ensure_ascii=False) for row in zip(*told.values(), strict=True)
    ]
    (output / "continuations.jsonl").write_text("".join(row + "\n" for row in rows))
    print(f"texts    {output / 'continuations.jsonl'}")


if __name__ == "__main__":
    command(main)

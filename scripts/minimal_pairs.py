"""Judge pairs of sentences, one right and one wrong, as BLiMP has them: decoders, masked encoders and n-grams."""

import json
from pathlib import Path

from selfsup.benchmark import minimal_pairs as pairs
from selfsup.benchmark.paradigms import Share, read_paradigms
from selfsup.training.command import command


def main(
    models: list[str], output: Path, data: str = "nyu-mll/blimp", split: str | None = None,
    share: Share = "all", ngram_corpus: str | None = None, batch_size: int = 128,
    data_root: Path | None = None, trust_remote_code: bool = False,
) -> None:  # fmt: skip
    """Print how often each model finds the right sentence more probable; what was judged before is not judged again.

    Args:
        models: runs, exported folders or Hub ids of decoders and masked encoders.
        output: folder of results.json, fields.png, and what each model judged.
        data: table with the columns of BLiMP: a file, a mirror of the Hub, or a data set on the Hub.
        split: of the data, where there are several.
        share: the first or the second half of the pairs of each paradigm, or all.
        ngram_corpus: text that n-grams learn from, with the tokenizer of the first model; none by default.
        batch_size: rows that are read at once.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        trust_remote_code: run Python files that come with a model; our own need none.
    """
    import numpy as np
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    paradigms = read_paradigms(data, share=share, split=split, data_root=data_root)
    own = {"trust_remote_code": trust_remote_code}
    ngrams = None  # their text is looked for first: models take long
    if ngram_corpus and models:
        ngrams = pairs.judge_ngrams(ngram_corpus, models[0], paradigms, output, data_root=data_root, **own)
    scores = pairs.judge_all(models, paradigms, output, batch_size=batch_size, **own)
    if ngrams:
        scores["5-gram"] = ngrams()
    found = {name: pairs.figures(paradigms, one, rng=np.random.default_rng(0)) for name, one in scores.items()}
    print(pairs.report(found, ["paradigm", "phenomenon", "field", "all"]))
    results = {"data": data, "share": share, "pairs": sum(len(one.good) for one in paradigms), "found": found}
    (output / "results.json").write_text(json.dumps(results, indent=1))
    pairs.draw(found, output / "fields.png", title=f"{data}: the right one of two sentences")
    print(f"\npicture  {output / 'fields.png'}\nfigures  {output / 'results.json'}")


if __name__ == "__main__":
    command(main)

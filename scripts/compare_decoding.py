"""How good and how fast are greedy, beam search and mask-predict, with the same held-out sources?"""

from dataclasses import asdict
from pathlib import Path

from selfsup.benchmark.decoding import DecodingConfig
from selfsup.examples import DataChoice
from selfsup.task import load_task
from selfsup.training.command import command

TASKS = Path(__file__).parents[1] / "tasks"


def main(
    task: str, models: list[str], output: Path, data: DataChoice = DataChoice(),
    ways: DecodingConfig = DecodingConfig(), bf16: bool = False, threads: int = 2,
    data_root: Path | None = None, trust_remote_code: bool = False,
) -> None:  # fmt: skip
    """Write all held-out targets in every way, score and time them, and put them into one table.

    Args:
        task: name of a file in tasks/ from text to text, a path to a .py file, or module:attribute.
        models: runs, exported folders or Hub ids; of one that writes in parallel every number of rounds is a way.
        output: folder of results.json, targets.jsonl and ways.png.
        data: whose held-out split is written, where that is not the task's own.
        ways: which, and how they are timed.
        bf16: weights in bfloat16 in place of float32.
        threads: of the process.
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
        trust_remote_code: run Python files that come with a model; our own need none.
    """
    import torch
    from tqdm import tqdm
    from transformers.utils import logging

    from selfsup.benchmark import decoding as bench
    from selfsup.examples import read_task
    from selfsup.predicting.translating import open_writer

    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    found, asked = load_task(task, TASKS), {}
    bench.sides_of(found, [])  # before anything is read
    examples = read_task(found, data, data_root).held_out.examples
    sources, references = bench.sides_of(found, examples)
    for name in models:
        network, words = open_writer(name, trust_remote_code=trust_remote_code)
        asked[name] = bench.ways_of(network.to(torch.bfloat16 if bf16 else torch.float32), words, sources, ways)
    named = bench.told_apart(asked)
    done = bench.write_all(named, ways)
    for _ in tqdm(done, "all targets", total=len(named) * ways.laps, unit="way", leave=False):
        pass
    result, signature = bench.figures(named, sources, references)
    print(f"{bench.report(result, signature)}\n{len(sources):,} sentences, {threads} threads, bf16: {bf16}")
    kept = {"models": models, "signature": signature, "bf16": bf16, **asdict(ways), "found": result}
    bench.keep(named, kept, examples, output, title=f"{task}: ways to write")


if __name__ == "__main__":
    command(main)

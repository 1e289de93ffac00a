"""Masked tokens with no question about segments, next sentence or sentence order: worth what to a pair task?"""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from pretrain import main as pretrain

from selfsup.data.labelled import PairTask
from selfsup.data.texts import DataConfig, find_texts, own_tokenizer
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.optim.optimizers import OptimConfig
from selfsup.training import comparison
from selfsup.training.command import command, start
from selfsup.training.export import open_tokenizer
from selfsup.training.finetuning import FineTuneConfig
from selfsup.training.loop import TrainConfig


def main(
    corpus: str, output: Path, model: TextEncoderConfig, data: DataConfig, optim: OptimConfig, train: TrainConfig,
    task: PairTask = PairTask(), tune: FineTuneConfig = FineTuneConfig(), seeds: int = 3,
    data_root: Path | None = None, arguments: str = "",
) -> None:  # fmt: skip
    """Pretrain each way with equal steps and seeds, fine-tune on pairs, compare; goes on where it was stopped.

    Args:
        corpus: text to pretrain on, as for pretrain.py.
        output: folder of all runs, comparison.png and comparison.json.
        model: shape of every encoder.
        data: how the text is dealt out.
        optim: how weights move in pretraining.
        train: how long each pretraining is; its seed is set for each.
        task: pairs of sentences with a class; scored on its held-out split, which chooses nothing.
        tune: how each model learns them.
        seeds: repetitions, 0, 1, 2 …
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
    """
    accelerator, text = start(output, arguments, seed=0), find_texts(corpus, data, data_root)[0]
    with accelerator.main_process_first():
        words = own_tokenizer(text, output, model.vocab_size)
    right: dict[str, list[list[int]]] = {name: [] for name in comparison.NAMES}
    for seed in range(seeds):
        for name in right:
            run, asked = comparison.folder_of(output, name, seed), comparison.questions().get(name)
            if asked:  # a finished run is opened, compared with the arguments, and returned
                own = comparison.as_pretraining(arguments, asked, run, words, seed)
                pretrain(corpus, run, asked, deepcopy(model), data, optim, replace(train, seed=seed),
                         data_root=data_root, tokenizer=words, resume=True, arguments=own)  # fmt: skip
            accelerator.wait_for_everyone()  # the model is written by one of them
            right[name].append(comparison.score_pairs(run / "model" if asked else model, open_tokenizer(words), task,
                                                      tune, run, seed=seed, data_root=data_root,
                                                      accelerator=accelerator))  # fmt: skip
    if accelerator.is_main_process:
        comparison.compare(right, output, title=f"{task.data} after {Path(corpus).name}: {seeds} seeds")


if __name__ == "__main__":
    command(main, recipe=Path(__file__).parent / "recipes" / "compare_pretraining_tiny.yaml")

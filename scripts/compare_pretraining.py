"""Masked tokens with no question about segments, next sentence or sentence order: worth what to a pair task?"""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from pretrain import main as pretrain

from selfsup.data.labelled import PairTask
from selfsup.data.texts import DataConfig, find_texts, own_tokenizer
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.optim.optimizers import OptimConfig
from selfsup.training.command import command, start
from selfsup.training.comparison import SCRATCH, FineTuneConfig, compare, folder_of, questions, score_pairs
from selfsup.training.export import open_tokenizer
from selfsup.training.loop import TrainConfig


def main(
    corpus: str,
    output: Path,
    model: TextEncoderConfig,
    data: DataConfig,
    optim: OptimConfig,
    train: TrainConfig,
    task: PairTask = PairTask(),
    tune: FineTuneConfig = FineTuneConfig(),
    seeds: int = 3,
    data_root: Path | None = None, arguments: str = "",
) -> None:  # fmt: skip
    """Pretrain each way with equal steps and seeds, fine-tune on pairs, compare; goes on where it was stopped.

    Args:
        corpus, data_root, arguments: as for pretrain.py.
        output: folder of all runs, comparison.png and comparison.json.
        model, data, optim, train: of every pretraining; the seed is set for each.
        task: pairs of sentences with a class; scored on its held-out split, which chooses nothing.
        tune: how each model learns them.
        seeds: repetitions, 0, 1, 2 …
    """
    accelerator, text = start(output, arguments, seed=0), find_texts(corpus, data, data_root)[0]
    with accelerator.main_process_first():
        words = open_tokenizer(own_tokenizer(text, output, model.vocab_size))
    right: dict[str, list[list[int]]] = {name: [] for name in [*questions(), SCRATCH]}
    for seed in range(seeds):
        for name in right:
            run = folder_of(output, name, seed)
            if name != SCRATCH and not (run / "results.json").exists():
                pretrain(corpus, run, questions()[name], deepcopy(model), data, optim, replace(train, seed=seed),
                         data_root=data_root, tokenizer=words.name_or_path, resume=True,
                         arguments=arguments)  # fmt: skip
            accelerator.wait_for_everyone()  # the model is written by one of them
            right[name].append(score_pairs(model if name == SCRATCH else run / "model", words, task, tune, run,
                                           seed=seed, data_root=data_root, accelerator=accelerator))  # fmt: skip
    if accelerator.is_main_process:
        compare(right, output, title=f"{task.data} after pretraining on {Path(corpus).name}: {seeds} seeds")


if __name__ == "__main__":
    command(main, recipe=Path(__file__).parent / "recipes" / "compare_pretraining.yaml")

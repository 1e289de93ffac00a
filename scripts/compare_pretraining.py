"""Masked tokens with no question about segments, next sentence or sentence order: worth what to a pair task?"""

from copy import deepcopy
from dataclasses import replace
from itertools import product
from pathlib import Path

from pretrain import main as pretrain

from selfsup.data.texts import DataConfig, find_texts, own_tokenizer
from selfsup.examples import DataChoice
from selfsup.finetuning import question_comparison as comparison
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.material import open_material
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.optim.optimizers import OptimConfig
from selfsup.task import load_task
from selfsup.training.command import command, start
from selfsup.training.loop import TrainConfig


def main(
    corpus: str, output: Path, model: TextEncoderConfig, data: DataConfig, optim: OptimConfig, train: TrainConfig,
    task_data: DataChoice = DataChoice(name="sick"), tune: FineTuneConfig = FineTuneConfig(), seeds: int = 3,
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
        task_data: pairs as tasks/nli.py reads them; scored on the held-out split, which chooses nothing.
        tune: how each model learns them.
        seeds: repetitions, 0, 1, 2 …
        data_root: folder that mirrors the Hub: <id>/<config>/<split>.parquet; or the variable SELFSUP_DATA_ROOT.
    """
    accelerator, text = start(output, arguments, seed=0), find_texts(corpus, data, data_root)[0]
    with accelerator.main_process_first():
        words = own_tokenizer(text, output, model.vocab_size)
    fresh = comparison.untrained(model, words)
    pairs = open_material(load_task("nli", Path(__file__).parents[1] / "tasks"), task_data, fresh,
                          data_root=data_root, say=accelerator.print)  # fmt: skip
    trials: dict[str, list] = {name: [] for name in comparison.NAMES}
    for seed, name in product(range(seeds), trials):
        run, asked = comparison.folder_of(output, name, seed), comparison.questions().get(name)
        if asked:  # a finished run is opened, compared with the arguments, and returned
            own = comparison.as_pretraining(arguments, asked, run, words, seed)
            pretrain(corpus, run, asked, deepcopy(model), data, optim, replace(train, seed=seed),
                     data_root=data_root, tokenizer=words, resume=True, arguments=own)  # fmt: skip
        trials[name].append(comparison.learn(run, pairs, tune, fresh=fresh, seed=seed, accelerator=accelerator))
    if accelerator.is_main_process:
        comparison.compare_questions(trials, pairs, fresh, output, title=f"after {Path(corpus).name}: {seeds} seeds")


if __name__ == "__main__":
    command(main, recipe=Path(__file__).parent / "recipes" / "compare_pretraining_tiny.yaml")

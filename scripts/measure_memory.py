"""Measure the memory of one training step: batch sizes, accumulation, activation checkpointing."""

from dataclasses import replace
from pathlib import Path

from selfsup.benchmark.counts import check_counts
from selfsup.data.texts import DataConfig, find_texts, open_plans, own_tokenizer
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.objectives import Joint, Objective
from selfsup.optim.optimizers import OptimConfig
from selfsup.training.batches import Share, Steps
from selfsup.training.command import command
from selfsup.training.export import open_tokenizer
from selfsup.training.loop import TrainConfig
from selfsup.training.memory import in_fresh_process, step_cost
from selfsup.training.summary import table


def main(
    corpus: str, output: Path, objectives: dict[str, Objective],
    model: TextEncoderConfig,
    data: DataConfig,
    optim: OptimConfig,
    train: TrainConfig,
    batch_sizes: list[int] = [16, 64, 256],  # noqa: B006 - read only
    micro_batch_size: int = 16,
) -> None:  # fmt: skip
    """Measure the memory of one training step, each setting in a process of its own.

    Args:
        corpus: as for pretrain.py; its tokenizer and cache are made first.
        output: folder of the tokenizer.
        objectives: likewise.
        model: likewise.
        data: likewise; `batch_size` is not used.
        optim: likewise.
        train: likewise; only the seed is used.
        batch_sizes: rows of a step.
        micro_batch_size: rows of a forward pass where gradients are accumulated.
    """
    check_counts(batch_sizes=batch_sizes, micro_batch_size=micro_batch_size)
    objective, texts = Joint(objectives), find_texts(corpus, data)
    words = open_tokenizer(own_tokenizer(texts[0], output, model.vocab_size))
    objective.bind(words, model)
    rows: list[tuple[str, ...]] = [("rows of a step", "rows of a pass", "checkpointing", "peak GiB", "s a step")]
    for size in batch_sizes:
        sized = replace(data, batch_size=size)
        plan, _ = open_plans(texts, words, sized, seed=train.seed, **objective.reading)
        for rows_of_pass in sorted({size, min(size, micro_batch_size)}, reverse=True):
            micro_batches = Steps(plan, objective, Share(0, 1, rows_of_pass), None, 0)[0]
            for checkpointing in (False, True):
                peak, seconds = in_fresh_process(step_cost, objective, model, micro_batches, optim, checkpointing)
                how = (str(size), str(rows_of_pass), "yes" if checkpointing else "no")
                rows.append((*how, f"{peak:.2f}", f"{seconds:.1f}"))
    print(table(rows))


if __name__ == "__main__":
    command(main, recipe=Path(__file__).parent / "recipes" / "pretrain_small.yaml")

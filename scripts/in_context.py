"""Does a small decoder learn from the examples in its prompt? Measured on problems with a new mapping each time."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch

from selfsup.finetuning.trial import repetitions
from selfsup.models.text_decoder import TextDecoderConfig
from selfsup.objectives import NextToken
from selfsup.optim.optimizers import OptimConfig
from selfsup.prompting import in_context
from selfsup.prompting.in_context import ProblemConfig
from selfsup.training.command import command, start
from selfsup.training.export import build_players, export
from selfsup.training.loop import TrainConfig, fit


def main(
    output: Path, model: TextDecoderConfig, optim: OptimConfig, train: TrainConfig,
    problems: ProblemConfig = ProblemConfig(), batch_size: int = 64, seeds: int = 3, arguments: str = "",
) -> None:  # fmt: skip
    """Pretrain a decoder for each seed, ask it fresh problems with 0, 1, 2 … examples; goes on where it was stopped.

    Args:
        output: folder of all seeds, problems.jsonl, results.json and in_context.png.
        model: shape of the decoder.
        optim: how weights move in pretraining.
        train: how long each pretraining is; its seed is set for each.
        problems: what they are like, and how many.
        batch_size: problems of a step, over all processes.
        seeds: repetitions, 0, 1, 2 …
    """
    accelerator = start(output, arguments, seed=0, resume=True)
    with accelerator.main_process_first():
        words = in_context.word_tokenizer(output / "tokenizer")
        in_context.write_problems(problems, output / "problems.jsonl")
    fresh, measured = in_context.fresh_problems(problems), []
    for seed in repetitions(seeds):
        objective, run = NextToken(), output / f"seed-{seed}"
        torch.manual_seed(seed)
        players = build_players(objective, deepcopy(model), words)
        plan, held_out = in_context.open_problems(
            output / "problems.jsonl", words, objective, problems, batch_size=batch_size, seed=seed
        )
        fit(players, objective, plan, held_out, optim=optim, train=replace(train, seed=seed), accelerator=accelerator,
            folder=run, resume=True, companions=(players["model"].config, words))  # fmt: skip
        if accelerator.is_main_process:
            export(players["model"], words, run / "model")
        measured.append({kind: in_context.measure(players["model"], asked, words) for kind, asked in fresh.items()})
    if accelerator.is_main_process:
        title = f"a decoder that learns from its prompt, {seeds} seeds"
        in_context.summarise_problems(measured, fresh, problems, output, title=title)


if __name__ == "__main__":
    command(main, recipe=Path(__file__).parent / "recipes" / "in_context.yaml")

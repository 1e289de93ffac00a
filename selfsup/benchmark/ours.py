"""A contestant: our encoder in our loop, as scripts/pretrain.py runs it."""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import TorchDynamoPlugin

from selfsup.benchmark.setting import Setting
from selfsup.benchmark.turns import Turn
from selfsup.benchmark.work import finish
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.objectives import Joint, MaskedTokens
from selfsup.optim.optimizers import OptimConfig
from selfsup.training.export import build_players, open_tokenizer
from selfsup.training.loop import TrainConfig, fit


def main(setting: Setting) -> None:
    """Train until no turn comes.

    Args:
        setting: `how` has `precision` and `compile`, as `accelerate launch` takes them, `num_segments` of a row, the
            `rate` of tokens that are hidden, and fields of `OptimConfig`.
    """
    torch.set_num_threads(setting.threads)
    how = dict(setting.how)
    compiled = TorchDynamoPlugin(backend=how.pop("compile", "no"), use_regional_compilation=True)  # block by block
    accelerator = Accelerator(mixed_precision=how.pop("precision"), dynamo_plugin=compiled)
    words = open_tokenizer(setting.tokenizer)
    asked = MaskedTokens(rate=how.pop("rate", 0.15), num_segments=how.pop("num_segments", 1))
    objective = Joint({"tokens": asked})
    players = build_players(objective, TextEncoderConfig(**setting.model), words, None)
    plan, held_out = setting.plans(**objective.reading)
    turn = Turn.from_environment()
    assert turn, "this program is started by `contest`; to pretrain there is scripts/pretrain.py"
    turn.done()

    def each_step(_: int) -> None:
        finish()
        turn.done()

    fit(
        players,
        objective,
        plan,
        held_out,
        optim=OptimConfig(**how),
        train=TrainConfig(num_steps=10**6, eval_rows=8, eval_every=10**6, save_every=10**6),
        accelerator=accelerator,
        folder=Path(setting.output),
        each_step=each_step,
    )


if __name__ == "__main__":
    main(Setting.load(sys.argv[1]))

"""A job of run_fit.py: pretrain on pictures."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from transformers import PreTrainedConfig

from selfsup.data.images import Picture
from selfsup.data.picture_plan import Album, PicturePlan, PictureStage
from selfsup.models.convnet_config import ConvNetConfig
from selfsup.models.masked_autoencoder_config import MaskedAutoencoderConfig
from selfsup.objectives import Contrastive, MaskedAutoencoding
from selfsup.objectives.augmentation import Augmentation
from selfsup.objectives.pictures import Sight
from selfsup.optim.optimizers import OptimConfig
from selfsup.training.loop import Stopped, TrainConfig, fit
from selfsup.training.processors import plain_processor
from selfsup.training.seeing import acquainted, build_seeing_model

SHAPE: dict[str, Any] = {"image_size": 8, "patch_size": 4, "hidden_size": 16, "num_hidden_layers": 1,
         "num_attention_heads": 2, "intermediate_size": 32, "decoder_hidden_size": 16, "decoder_num_hidden_layers": 1,
         "decoder_num_attention_heads": 2, "decoder_intermediate_size": 16}  # fmt: skip
ASKED: dict[str, tuple[Callable[[], Sight], Callable[[float], PreTrainedConfig]]] = {
    "patches": (
        lambda: MaskedAutoencoding(augmentation=Augmentation(shift=0.2, flip=0.5)),
        lambda dropout: MaskedAutoencoderConfig(**SHAPE, dropout=dropout),
    ),
    "view": (lambda: Contrastive(width=8), lambda dropout: MaskedAutoencoderConfig(**SHAPE, dropout=dropout)),
    "averages": (
        lambda: Contrastive(width=8),
        lambda dropout: ConvNetConfig(image_size=8, channels=(4, 4), stage_depths=(1, 1), dropout=dropout),
    ),
}


def look(
    folder: str,
    *,
    text: str,
    tokenizer: str,
    cache: str,
    ask: str = "patches",
    weights: str = "float64",
    dropout: float = 0.0,
    strike: dict[str, Any] | None = None,
    train: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Learn from 40 pictures of chance, 16 a step, and be scored on 11; stopped runs go on until the end."""
    accelerator, chance = Accelerator(cpu=True), np.random.default_rng(0)
    if strike:
        importlib.import_module("__main__").strike_at(**strike)
    album = Album("chance", [Picture(chance.integers(256, size=(1, 8, 8), dtype=np.uint8)) for _ in range(51)], "none")
    plan = PicturePlan(album, range(40), stages=[PictureStage(16)], seed=3)
    held_out = PicturePlan(album, range(40, 51), stages=[PictureStage(1)])
    stops, resume = [], False
    while True:
        objective, shape = ASKED[ask][0](), ASKED[ask][1](dropout)
        torch.manual_seed(0)
        model = build_seeing_model(objective, acquainted(shape, objective)).to(getattr(torch, weights))
        objective.bind(plain_processor(8, 8), model.config)
        settings = {"num_steps": 6, "eval_every": 3, "save_every": 3, "log_every": 1} | (train or {})
        try:
            score = fit(
                {"model": model}, objective, plan, held_out, optim=OptimConfig(warmup_steps=2),
                train=TrainConfig(**settings), accelerator=accelerator, folder=Path(folder), resume=resume,
                companions=(model.config,),
            )  # fmt: skip
        except Stopped as stopped:
            stops.append(stopped.signal_number)
            resume = True
            continue
        save_file(model.state_dict(), Path(folder) / f"process-{accelerator.process_index}.safetensors")
        return {
            "loss": score.total, "counts": score.counts, "hits": score.hits, "blind": score.figures(),
            "stops": stops, "processes": accelerator.num_processes,
        }  # fmt: skip


JOBS = {"look": look}

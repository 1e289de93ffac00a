"""A contestant: BertForMaskedLM under transformers' Trainer, with the collator and arguments of its run_mlm example."""

import sys
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from selfsup.benchmark.setting import Setting, row_bounds
from selfsup.benchmark.turns import Turn
from selfsup.benchmark.work import finish
from selfsup.training.export import open_tokenizer


class Rows(Dataset):
    """Running text in rows, as run_mlm has them: [CLS] text [SEP].

    Args:
        tokens: (n) ids of running text.
        bounds: (rows, 2) where the text of each begins and ends.
        tokenizer: whose special tokens frame it.
    """

    def __init__(self, tokens: np.ndarray, bounds: np.ndarray, tokenizer) -> None:
        self.tokens, self.bounds = tokens, bounds
        self.frame = tokenizer.cls_token_id, tokenizer.sep_token_id

    def __len__(self) -> int:
        return len(self.bounds)

    def __getitem__(self, place: int) -> dict[str, Any]:
        begin, end = self.bounds[place]
        text = self.tokens[begin:end].tolist()
        return {"input_ids": [self.frame[0], *text, self.frame[1]], "special_tokens_mask": [1, *[0] * len(text), 1]}


class TakesTurns(TrainerCallback):
    """Waits where a step ends."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn

    def on_train_begin(self, args, state, control, **options) -> None:
        self.turn.done()

    def on_step_end(self, args, state, control, **options) -> None:
        finish()
        self.turn.done()


def main(setting: Setting) -> None:
    """Train until no turn comes or, where there are no turns, for `max_steps`.

    Args:
        setting: `model` of `BertConfig`, `how` of `TrainingArguments`, and `lines`, see `row_bounds`.
    """
    torch.set_num_threads(setting.threads)
    words, how = open_tokenizer(setting.tokenizer), {"max_steps": 10**6} | setting.how
    plan, _ = setting.plans()
    bounds = row_bounds(plan, setting.block_size, lines=how.pop("lines", False))
    turn = Turn.from_environment()
    arguments = TrainingArguments(
        setting.output,
        per_device_train_batch_size=setting.batch_size,
        logging_steps=10,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),  # without it bf16 is refused on a CPU
        **how,
    )
    trainer = Trainer(
        BertForMaskedLM(BertConfig(**setting.model)),
        arguments,
        data_collator=DataCollatorForLanguageModeling(words, mlm_probability=0.15),
        train_dataset=Rows(plan.corpus.tokens, bounds, words),
        callbacks=[TakesTurns(turn)] if turn else [],
    )
    trainer.train()


if __name__ == "__main__":
    main(Setting.load(sys.argv[1]))

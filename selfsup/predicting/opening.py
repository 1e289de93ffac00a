"""From a name to a trained model with the head it was trained with, whoever trained it."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import NoReturn

import numpy as np
import torch
import transformers
from accelerate import Accelerator
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from selfsup.objectives.contrastive import AXIS
from selfsup.predicting.heads import Head, Labels, Number, PictureLabels, Span, Tags
from selfsup.predicting.hidden_words import HiddenWords
from selfsup.predicting.targets import Targets
from selfsup.predicting.translating import is_parallel
from selfsup.task import Task
from selfsup.tokenization.encode import batch_encoder
from selfsup.tokenization.segments import frame
from selfsup.training.export import exported, open_processor, opening

HEADS: Mapping[str, type[Head]] = MappingProxyType(
    {
        kind.auto_class: kind for kind in (Labels, PictureLabels, Tags, Span, Targets, HiddenWords)
    }  # BART is of the last two
)


def open_head(
    name: str, *, beams: int | None = None, task: Task | None = None, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, Head]:
    """A trained model, in evaluation mode and float32, and its head, bound.

    Args:
        name: folder of a run, exported folder, checkpoint or Hub id.
        beams: see `Translator`; of models that write texts alone, and 5 there, if None.
        task: see `Targets`; of such models alone, too.
        trust_remote_code: run Python files that come with the model; our own need none.
    Raises:
        ValueError: nothing opens under that name, or the model has no head whose predictions people read, or beams or a
            task are named for one that writes nothing.
    """
    start = exported(name)
    processor = open_processor(start, trust_remote_code)
    with opening("a trained model is wanted", name):
        config = AutoConfig.from_pretrained(start, trust_remote_code=trust_remote_code)
    auto_class = head_of(config)
    if auto_class is None or all(str(label).startswith(AXIS) for label in (config.id2label or {"": ""}).values()):
        _refuse(name, config)
    with opening("a trained model is wanted", name):
        model, info = getattr(transformers, auto_class).from_pretrained(
            start, dtype=torch.float32, output_loading_info=True, trust_remote_code=trust_remote_code
        )
    if info["missing_keys"]:
        _refuse(name, config)
    kind = HEADS[auto_class]
    if kind is Labels and (config.problem_type == "regression" or config.num_labels == 1):
        kind = Number
    if is_parallel(config):
        kind = Targets
    for flag, value in (("--beams", beams), ("--task", task)):
        if value is not None and kind is not Targets:
            raise ValueError(f"a model that writes texts is wanted for {flag}, but {name} does not: leave {flag} out")
    head = Targets(5 if beams is None else beams, task) if kind is Targets else kind()
    head.bind(processor, model.config)
    if head.checks_frame:
        _check_frame(head, processor, name)
    return model.eval(), head


def head_of(config: PreTrainedConfig) -> str | None:
    """The Auto class under which a model opens with the head it was trained with; None where it has none of `HEADS`.

    A model of pretraining, or one that does not say what it is, opens for masked tokens.
    """
    made = (config.architectures or ["ForPreTraining"])[0]
    own = getattr(config, "auto_map", None) or {}
    for auto_class in HEADS:
        known = getattr(transformers, auto_class)._model_mapping.get(type(config), ())
        names = [kind.__name__ for kind in (known if isinstance(known, tuple) else (known,))]
        names.append(str(own.get(auto_class, "")).rpartition(".")[2])
        if made in names or (auto_class == HiddenWords.auto_class and made.endswith("ForPreTraining") and any(names)):
            return auto_class
    return None


def one_process() -> Accelerator:
    """The device that predictions are made on.

    Raises:
        ValueError: the launcher started several processes.
    """
    if (started := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise ValueError(
            f"predictions are made by one process, but the launcher started {started}: start this command with plain "
            "python, or cut the input into several files, one for each process"
        )
    return Accelerator()


def _refuse(name: str, config: PreTrainedConfig) -> NoReturn:
    made = (config.architectures or ["model of an unknown kind"])[0]
    raise ValueError(
        "a model trained to classify, to tag, to answer, to write or to guess hidden words is wanted, but "
        f"{name} is a {made} without the weights of such a head: fine-tune it first, with scripts/finetune.py"
    )


def _check_frame(head: Head, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Refuse models that saw other special tokens around texts than ours puts there: their answers would be wrong."""
    segments = [np.array(ids) for ids in batch_encoder(tokenizer)(["a", "b"])]
    ours = frame(segments, head.cls_id, head.sep_id, gap=head.gap)[0].tolist()
    if (theirs := tokenizer("a", "b")["input_ids"]) != ours:
        raise ValueError(
            f"a model that reads [CLS] a [SEP] b [SEP] is wanted, but {name} reads {tokenizer.decode(theirs)}: use "
            "transformers' own pipeline"
        )

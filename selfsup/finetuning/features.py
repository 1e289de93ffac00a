"""What a frozen body makes of examples: one vector for each, computed once, for whatever looks at them afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from tqdm import tqdm
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from selfsup.data.collate import collate
from selfsup.finetuning.learner import Learner, config_of
from selfsup.objectives.classes import Classes
from selfsup.objectives.objective import Batch, Example
from selfsup.objectives.supervised import Supervised
from selfsup.predicting.assess import TOKENS, by_length
from selfsup.task import Task
from selfsup.training.export import opening
from selfsup.training.processors import sees

Pooling = Literal["mean", "class"]


class Features(NamedTuple):
    """Vectors of some examples.

    Args:
        values: (examples, features) float32, on the CPU.
        said: what they are, in words.
    """

    values: Tensor
    said: str


def without_head(task: Task) -> Task:
    """A task as it is put before a body that has no head.

    Raises:
        ValueError: its answers are not one class for each example.
    """
    objective = task.objective()
    if not isinstance(objective, Classes) or "label" not in objective.roles or objective.multi_label:
        raise ValueError(
            f"a task with one label for each example is wanted, such as clothes or sentiment, but {task.name} learns "
            f"by {type(objective).__name__}: name another task or objective"
        )
    return replace(task, objective=partial(_headless, task.objective))


def _headless(make: Callable[[], Supervised]) -> Supervised:
    objective = make()
    objective.auto_class = "AutoModel"  # type: ignore[misc]  # of this one alone
    return objective


def open_body(learner: Learner, *, seed: int = 0) -> PreTrainedModel:
    """The body of a learner without any head, in evaluation mode and float32: running normalisations stand still.

    Args:
        learner: a trained model; or a shape, whose weights are drawn.
        seed: of drawn weights.
    Raises:
        ValueError: nothing opens, weights of the body are missing, or it is an encoder-decoder.
    """
    config = config_of(learner, ())
    if config.is_encoder_decoder:
        raise ValueError(
            f"a body that reads and does not write is wanted, but this one is an encoder-decoder ({config.model_type}):"
            " name an encoder, a decoder or a network for pictures"
        )
    if isinstance(learner.start, PreTrainedConfig):
        torch.manual_seed(seed)
        body = AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=learner.trust_remote_code)
        return body.eval()
    with opening("a trained model is wanted", learner.start):
        body, info = AutoModel.from_pretrained(
            learner.start, config=config, dtype=torch.float32, output_loading_info=True,
            trust_remote_code=learner.trust_remote_code,
        )  # fmt: skip
    if lost := sorted(name for name in info["missing_keys"] if "pooler" not in name):
        raise ValueError(
            f"weights of the whole body were wanted, but {learner.start} lacks {len(lost)} of them, {lost[0]} among "
            "them: name a folder that pretraining exported, or a Hub model"
        )
    return body.eval()


def extract(
    body: PreTrainedModel,
    objective: Supervised,
    examples: Sequence[Example],
    *,
    pooling: Pooling = "mean",
    accelerator: Accelerator,
    batch_tokens: int = TOKENS,
    label: str = "features",
) -> Features:
    """Run a body over examples, each once.

    Args:
        body: in evaluation mode.
        objective: bound to it, see `without_head`; it says how examples are read.
        examples: raw ones.
        pooling: see `pool`.
        accelerator: of the run; all processes call together, and all get everything.
        batch_tokens: of a forward pass.
        label: of the bar.
    Raises:
        ValueError: see `pool`.
    """
    rows = [objective.encode(example) for example in examples]
    batches = by_length(rows, batch_tokens)
    body.to(accelerator.device)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    said = ""
    bar = tqdm(total=len(rows), unit="example", desc=label, leave=False, disable=not accelerator.is_main_process)
    with torch.inference_mode(), bar:
        for chosen in batches[accelerator.process_index :: accelerator.num_processes]:
            batch = collate([[rows[i]] for i in chosen], padding=objective.padding)
            batch = {name: value.to(accelerator.device) for name, value in batch.items()}
            with accelerator.autocast():
                outputs = objective.forward({"model": body}, batch, "model")
            values, said = pool(outputs, batch, body.config, pooling)
            found.append((chosen, values.cpu().numpy()))
            bar.update(len(chosen) * accelerator.num_processes)
    if accelerator.num_processes > 1:
        found, said = gather_object(found), next(filter(None, gather_object([said])))
    places = np.concatenate([chosen for chosen, _ in found])
    together = np.concatenate([values for _, values in found])
    return Features(torch.from_numpy(together[np.argsort(places)]), said)


def pool(outputs: Any, batch: Batch, config: PreTrainedConfig, pooling: Pooling) -> tuple[Tensor, str]:
    """One vector for each row of a batch.

    The mean is that of the last hidden state: over the places of a feature map, over the patches without the tokens
    before them, or over the tokens of a text without padding. What a pooler makes of it is left out, since pretraining
    often leaves that untrained.

    Args:
        outputs: of the body.
        batch: what it read.
        config: of the body.
        pooling: the mean, or the token that comes before the patches, or first in a text.
    Returns:
        (rows, features) float32, and what they are, in words.
    Raises:
        ValueError: no hidden states, or a class token is wanted where there is none.
    """
    hidden = getattr(outputs, "last_hidden_state", None)
    if hidden is None or hidden.ndim not in (3, 4):
        raise ValueError(
            f"a body that gives hidden states is wanted, but this one ({config.model_type}) gives none: name another "
            "model"
        )
    hidden = hidden.float()
    first, mean = pooling == "class", None
    if hidden.ndim == 4:
        places = hidden.shape[2] * hidden.shape[3]
        mean, what, has_class = hidden.mean(dim=(2, 3)), f"mean of {places} places of the last feature map", False
    elif sees(config):
        patches = min(_num_patches(config, batch), hidden.shape[1])
        mean, what = hidden[:, -patches:].mean(dim=1), f"mean of {patches} patches after the last layer"
        has_class = patches < hidden.shape[1]
    else:
        mask = batch.get("attention_mask", torch.ones_like(hidden[..., 0])).to(hidden)[..., None]
        mean, what = (hidden * mask).sum(dim=1) / mask.sum(dim=1), "mean of the tokens after the last layer"
        has_class = True
    if first and not has_class:
        raise ValueError(
            f"a model with a class token is wanted for --features class, but {config.model_type} has none here: take "
            "the mean"
        )
    if first:
        mean, what = hidden[:, 0], "first token after the last layer"
    return mean, f"{what}: {mean.shape[1]} numbers"


def _num_patches(config: PreTrainedConfig, batch: Batch) -> int:
    """Patches of a picture of a batch; as many as there can be where the configuration does not say their size."""
    height, width = batch["pixel_values"].shape[-2:]
    size = getattr(config, "patch_size", 1)
    tall, wide = (size, size) if isinstance(size, int) else size
    return (height // tall) * (width // wide)

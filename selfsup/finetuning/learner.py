"""What is to learn a task: a trained model, or the shape of one that was not trained, and the head that it gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, file_digest
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import transformers
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, ViTConfig

from selfsup.objectives.supervised import Supervised
from selfsup.training.export import exported, name_tokens, open_processor, opening
from selfsup.training.processors import Processor


@dataclass(frozen=True)
class Learner:
    """What is to learn a task.

    Args:
        start: folder or Hub id of a trained model; or the shape of one that was not trained.
        processor: what reads the input of the model: its tokenizer, or its image processor.
        trust_remote_code: run Python files that come with the model.
    """

    start: str | PreTrainedConfig
    processor: Processor
    trust_remote_code: bool = False

    def fingerprint(self) -> str:
        """Changes with the weights and the configuration, which is all where there are no weights yet."""
        if isinstance(self.start, PreTrainedConfig):
            elsewhere = {"transformers_version", "_name_or_path"}  # a shape is the same one wherever it was read
            shape = {name: value for name, value in self.start.to_dict().items() if name not in elsewhere}
            return blake2b(repr(sorted(shape.items())).encode(), digest_size=8).hexdigest()
        weights = sorted(Path(self.start).glob("*.safetensors"))
        if not weights:
            return self.start
        digests = []
        for path in (*weights, Path(self.start) / "config.json"):
            with path.open("rb") as file:
                digests.append(file_digest(file, lambda: blake2b(digest_size=8)).hexdigest())
        return "-".join(digests)


def open_learner(model: str, *, scratch: bool = False, trust_remote_code: bool = False) -> Learner:
    """The model of a name, or one of its shape.

    Args:
        model: folder of a run, exported folder, checkpoint, or Hub id.
        scratch: take the shape and the processor alone.
        trust_remote_code: run Python files that come with the model.
    Raises:
        ValueError: nothing opens under that name.
    """
    name = exported(model)
    processor = open_processor(name, trust_remote_code)
    files = {path.suffix for path in Path(name).glob("*")} if Path(name).is_dir() else {".safetensors"}
    if not scratch and not files & {".safetensors", ".bin"}:
        raise ValueError(
            f"a trained model is wanted, but {name} holds a shape and no weights: add --scratch true, where "
            "the command has it, or train it first"
        )
    if not scratch:
        return Learner(name, processor, trust_remote_code)
    with opening("a model whose shape can be taken is wanted", name):
        shape = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
    return Learner(shape, processor, trust_remote_code)


def build_learner(
    learner: Learner,
    objective: Supervised,
    labels: Sequence[str],
    *,
    seed: int,
    fields: Mapping[str, Any] = MappingProxyType({}),
) -> PreTrainedModel:
    """A model with the head of an objective, which starts afresh, on a body that does not.

    Args:
        learner: what learns.
        objective: not yet bound; it has seen the training examples.
        labels: names in the order of their ids; empty where answers are no labels.
        seed: of the new weights.
        fields: of the configuration, in place of those of the learner.
    Raises:
        ValueError: nothing opens under that name, it has no such head or field, or the weights of its body are not
            there.
    """
    auto = getattr(transformers, objective.auto_class)
    config = config_of(learner, labels)
    if unknown := [name for name in fields if not hasattr(config, name)]:
        raise ValueError(
            f"--tune.model names {', '.join(unknown)}, but the configuration of the model has no such field: it has "
            f"{', '.join(sorted(config.to_dict()))}"
        )
    config = type(config).from_dict(config.to_dict() | dict(fields))
    config.problem_type = objective.problem_type()
    config.update(objective.findings())
    if config.is_encoder_decoder and config.decoder_start_token_id is None:
        name_tokens(config, learner.processor)
    torch.manual_seed(seed)
    if isinstance(learner.start, PreTrainedConfig):
        return auto.from_config(config, dtype=torch.float32, trust_remote_code=learner.trust_remote_code)
    with opening(f"a trained model for {objective.auto_class} is wanted", learner.start):
        model, info = auto.from_pretrained(
            learner.start, config=config, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True,
            trust_remote_code=learner.trust_remote_code,
        )  # fmt: skip
    body = model.base_model_prefix + "."
    if lost := [name for name in info["missing_keys"] if name.startswith(body) and "pooler" not in name]:
        raise ValueError(
            f"weights of the whole body were wanted, but {learner.start} lacks {len(lost)} of them, {sorted(lost)[0]} "
            "among them: name a folder that pretraining exported, or a Hub encoder"
        )
    wanted, prefix = ("model", "") if objective.auto_class.endswith("LM") else ("body", body)  # who writes keeps all
    if reshaped := sorted(name for name, *_ in info["mismatched_keys"] if name.startswith(prefix)):
        raise ValueError(
            f"weights of the whole {wanted} were wanted, but {len(reshaped)} of them have another shape in "
            f"{learner.start}, {reshaped[0]} among them: leave sizes out of --tune.model, or start from scratch"
        )
    if not strange_head(learner, objective, labels):
        return model
    torch.manual_seed(seed)
    fresh = auto.from_config(config, dtype=torch.float32, trust_remote_code=learner.trust_remote_code)
    fresh.base_model.load_state_dict(model.base_model.state_dict())
    return fresh


def strange_head(learner: Learner, objective: Supervised, labels: Sequence[str]) -> tuple[str, ...]:
    """Labels that a learner tells apart already, if they are others than those wanted: then its head starts afresh."""
    if not labels or objective.auto_class == "AutoModel":  # a head that writes tells none apart; a body has none
        return ()
    config = config_of(learner, ())
    head = objective.auto_class.removeprefix("AutoModel")
    known = tuple(name for _, name in sorted((config.id2label or {}).items()))
    unnamed = all(name == f"LABEL_{number}" for number, name in enumerate(known))
    brings_head = not isinstance(learner.start, PreTrainedConfig) and any(
        name.endswith(head) for name in config.architectures or ()
    )
    if not brings_head or known == tuple(labels) or (unnamed and len(known) == len(labels)):
        return ()
    return known


def config_of(learner: Learner, labels: Sequence[str]) -> PreTrainedConfig:
    """The configuration that a learner has when it knows some labels; without any, as it came.

    A masked autoencoder of transformers, which hides patches and has no heads, is read as the ViT that its body is.
    """
    if isinstance(learner.start, PreTrainedConfig):
        config = learner.start
    else:
        with opening("a trained model is wanted", learner.start):
            config = AutoConfig.from_pretrained(learner.start, trust_remote_code=learner.trust_remote_code)
    if config.model_type == "vit_mae":
        shared = ViTConfig().to_dict().keys() - {"model_type", "architectures"}
        config = ViTConfig(**{name: value for name, value in config.to_dict().items() if name in shared})
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: place for place, name in enumerate(labels)}}
    return type(config).from_dict(config.to_dict() | (names if labels else {}))

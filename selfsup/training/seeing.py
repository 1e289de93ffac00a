"""From the name of pictures to a trained model in a folder: what scripts/pretrain_pictures.py does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from selfsup.data.album import Look, PictureDataConfig, called, first_look, open_albums
from selfsup.objectives.pictures import Sight
from selfsup.objectives.supervised import Supervised
from selfsup.optim.optimizers import OptimConfig
from selfsup.training.batches import Share
from selfsup.training.command import start
from selfsup.training.export import HubConfig, exported, open_processor, opening
from selfsup.training.loop import TrainConfig
from selfsup.training.pretraining import learn
from selfsup.training.processors import Processor, plain_processor, sees

LARGEST = 512  # pixels of a side that a fresh model takes over from the pictures; photos would fill any memory


def pretrain_pictures(
    corpus: str,
    output: Path,
    objective: Sight,
    kind: str,
    fields: Mapping[str, Any],
    data: PictureDataConfig,
    optim: OptimConfig,
    train: TrainConfig,
    hub: HubConfig,
    *,
    data_root: Path | None = None,
    init_from: str | None = None,
    resume: bool = False,
    trust_remote_code: bool = False,
    arguments: str = "",
) -> None:
    """Read the pictures once, learn from them without labels, and leave a folder that opens anywhere.

    Args:
        corpus: name of the pictures.
        output: folder of the run.
        objective: what is asked of them.
        kind: of a fresh model, as transformers calls it; ignored with `init_from`.
        fields: of its configuration; size and channels are those of the pictures, unless named.
        data: which pictures, and how they are dealt out.
        optim: how weights move.
        train: how long, and what is left behind.
        hub: what the model card says, and where the model is pushed.
        data_root: folder that mirrors the Hub.
        init_from: what to go on from: a run, an exported folder, a checkpoint or a Hub id.
        resume: go on from the last checkpoint in `output`.
        trust_remote_code: run Python files that come with `init_from`.
        arguments: of the command, as YAML.
    Raises:
        ValueError: something that came does not fit.
    """
    _check_objective(objective, data, train)
    accelerator = start(output, arguments, seed=train.seed, tracker=train.tracker, resume=resume, push_to=hub.push_to)
    if init_from is None:
        look = first_look(called(corpus), data.columns, split=data.split, data_root=data_root)
        config, processor = shape_for(look, kind, fields)
    else:
        init_from = exported(init_from)
        config, processor = _shape_of(init_from, trust_remote_code)
    config = acquainted(config, objective)
    form = objective.form(processor, config)  # refuses a model without the head
    plan, held_out = open_albums(corpus, data, form, seed=train.seed, data_root=data_root, say=accelerator.print)
    if not objective.additive and min(held_out.size, train.eval_rows) < 2:
        raise ValueError(
            f"{type(objective).__name__} compares pictures, so that two or more to score on are wanted, but one came: "
            "raise --data.validation_share or --train.eval_rows, or give more pictures"
        )
    torch.manual_seed(train.seed)
    model = build_seeing_model(objective, config, init_from, trust_remote_code=trust_remote_code)
    objective.bind(processor, model.config)
    learn({"model": model}, objective, plan, held_out, processor, optim=optim, train=train, hub=hub,
          accelerator=accelerator, output=output, resume=resume)  # fmt: skip


def shape_for(look: Look, kind: str, fields: Mapping[str, Any]) -> tuple[PreTrainedConfig, Processor]:
    """The configuration of a fresh model that fits some pictures, and an image processor.

    Args:
        look: of the pictures; tells size and channels, where `fields` does not.
        kind: of the model, as transformers calls it (`model_type`): vit, resnet, convnextv2 …
        fields: of its configuration.
    Raises:
        ValueError: there is no such kind or field, the pictures are large and no size is named, or the model does not
            read such pictures.
    """
    if max(look.height, look.width) > LARGEST and "image_size" not in fields:
        raise ValueError(
            f"a size to which all pictures are brought is wanted where they are large, but the first has {look.width} "
            f"x {look.height} pixels and --fields has no image_size: name one, such as '{{image_size: 128}}'"
        )
    config = fresh_config(kind, {"num_channels": look.channels} | dict(fields), side=max(look.height, look.width))
    side = getattr(config, "image_size", None) or (look.height, look.width)
    height, width = (side, side) if isinstance(side, int) else side
    patch = getattr(config, "patch_size", 1)
    if isinstance(patch, int) and (height % patch or width % patch):
        raise ValueError(
            f"patches that fit into pictures of {width} x {height} pixels are wanted, but patch_size is {patch}: name "
            "another in --fields"
        )
    _refuse_misfit(config, height, width)
    return config, plain_processor(height, width)


def fresh_config(kind: str, fields: Mapping[str, Any], *, side: int) -> PreTrainedConfig:
    """A configuration of a kind of model of pictures.

    Args:
        kind: as transformers calls it.
        fields: of it; `image_size` is kept by kinds that read any size, too.
        side: of the pictures, where the configuration has a size and `fields` names none.
    Raises:
        ValueError: there is no such kind or field, or the kind takes no pictures.
    """
    try:
        usual = AutoConfig.for_model(kind)
    except ValueError as error:
        raise ValueError(f"a kind of model is wanted, such as vit or resnet, but {kind!r} came: none has it") from error
    if not sees(usual):
        raise ValueError(f"a kind of model that takes pictures is wanted, such as vit or resnet, but {kind!r} came")
    if unknown := [name for name in fields if name != "image_size" and not hasattr(usual, name)]:
        raise ValueError(
            f"--fields names {', '.join(unknown)}, but the configuration of {kind} has no such field: it has "
            f"{', '.join(sorted(usual.to_dict()))}"
        )
    size = {"image_size": side} if hasattr(usual, "image_size") else {}
    try:
        return AutoConfig.for_model(kind, **(size | dict(fields)))
    except StrictDataclassError as error:
        raise ValueError(f"--fields: {' '.join(str(error).split())}: correct it") from error


def _refuse_misfit(config: PreTrainedConfig, height: int, width: int) -> None:
    """Show a picture to a model of this shape: what it trips over now, it would trip over in training."""
    try:
        body = AutoModel.from_config(config).eval()
        with torch.no_grad():
            body(pixel_values=torch.zeros(1, config.num_channels, height, width))
    except Exception as error:  # whatever a model raises of pictures that it cannot read
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"a model that reads pictures of {width} x {height} pixels is wanted, but {config.model_type} with these "
            f"--fields does not ({reason}): name others, or an image_size"
        ) from error


def acquainted(config: PreTrainedConfig, objective: Sight) -> PreTrainedConfig:
    """A configuration that knows what its head is to tell; the same where the head tells no labels."""
    if not objective.labels:
        return config
    names = dict(enumerate(objective.labels))
    told = {"id2label": names, "label2id": {name: number for number, name in names.items()}}
    config = type(config).from_dict(config.to_dict() | told)
    if isinstance(objective, Supervised):
        config.problem_type = objective.problem_type()
        config.update(objective.findings())
    return config


def build_seeing_model(
    objective: Sight, config: PreTrainedConfig, init_from: str | None = None, *, trust_remote_code: bool = False
) -> PreTrainedModel:
    """A model with the head that an objective of pictures needs.

    Args:
        objective: whose head.
        config: of the model, see `acquainted`.
        init_from: where the weights come from; fresh ones if absent. A head that tells other things starts afresh.
        trust_remote_code: run Python files that come with `init_from`.
    Raises:
        ValueError: nothing opens under that name.
    """
    auto = getattr(transformers, objective.auto_class)
    if init_from is None:
        model = auto.from_config(config)
        if config.model_type == "vit_mae":
            _lay_out(model)
        return model
    with opening(f"init_from must name a checkpoint, a folder or a Hub model for {objective.auto_class}", init_from):
        model, info = auto.from_pretrained(
            init_from, config=config, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True,
            trust_remote_code=trust_remote_code,
        )  # fmt: skip
    if fresh := sorted({*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])}):
        print(f"not in {init_from}, so they start afresh: {', '.join(fresh)}")
    return model


def _lay_out(model: Any) -> None:
    """Fill the fixed tables of places of a fresh masked autoencoder of transformers. It leaves them at zero (5.23), and
    would give one answer for all hidden patches."""
    embeddings = type(model.vit.embeddings)(model.config)
    embeddings.initialize_weights()
    with torch.no_grad():
        model.vit.embeddings.position_embeddings.copy_(embeddings.position_embeddings)
    model.decoder.initialize_weights(embeddings.patch_embeddings.num_patches)


def _shape_of(name: str, trust_remote_code: bool) -> tuple[PreTrainedConfig, Processor]:
    """Configuration and image processor of a trained model."""
    with opening("init_from must name a run, a checkpoint, an exported folder or a Hub model", name):
        config = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
    if not sees(config):
        raise ValueError(
            f"a model of pictures is wanted, but {name} ({config.model_type}) reads text: go on with an encoder by "
            "pretrain.py, with a decoder by pretrain_decoder.py"
        )
    return config, open_processor(name, trust_remote_code)


def _check_objective(objective: Sight, data: PictureDataConfig, train: TrainConfig) -> None:
    if isinstance(objective, Supervised) and "label" in objective.roles:
        raise ValueError(
            f"{type(objective).__name__} learns from labels, which are not read here: choose MaskedAutoencoding, "
            "MaskedPatches, Contrastive or Rotation, or learn from labels with finetune.py"
        )
    share = Share(micro_batch_size=train.micro_batch_size)
    fewest = min(len(part) for stage in data.all_stages() for part in share.of(range(stage.batch_size)))
    if not objective.additive and fewest < 2:
        raise ValueError(
            f"{type(objective).__name__} compares pictures of a batch, so that two or more are wanted at once, but "
            "with this batch_size and micro_batch_size one comes alone: raise them"
        )

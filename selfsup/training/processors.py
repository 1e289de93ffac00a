"""What reads the input of a model: the tokenizer of one that reads text, the image processor of one that sees."""

import json
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

from transformers import BaseImageProcessor, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from selfsup.tokenization.encode import fingerprint as fingerprint_of_pieces
from selfsup.tokenization.save import save_tokenizer

Processor: TypeAlias = "PreTrainedTokenizerBase | BaseImageProcessor"


def sees(config: PreTrainedConfig) -> bool:
    """Does a model of this configuration take pictures? Those that do say how many channels."""
    return hasattr(config, "num_channels")


def plain_processor(height: int, width: int) -> BaseImageProcessor:
    """An image processor that squeezes pictures to a size and makes their values 0-1, and leaves all else to the model.

    It is one of transformers' own, so that it opens anywhere.
    """
    from transformers import ViTImageProcessorPil  # the one that wants no torchvision

    return ViTImageProcessorPil(
        do_normalize=False, image_mean=None, image_std=None, size={"height": height, "width": width}
    )


def fingerprint(processor: Processor) -> str:
    """Name a processor by all that decides what a model gets."""
    if isinstance(processor, PreTrainedTokenizerBase):
        return fingerprint_of_pieces(processor)
    told = {name: value for name, value in processor.to_dict().items() if not name.startswith("_")}
    return blake2b(json.dumps(told, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def save_processor(processor: Processor, model: PreTrainedModel, folder: Path) -> None:
    """Save what reads the input of a model beside it.

    Args:
        processor: of the model; a tokenizer is told how much it reads.
        model: whose configuration says so.
        folder: new or replaced file by file.
    """
    if not isinstance(processor, PreTrainedTokenizerBase):
        processor.save_pretrained(folder)
        return
    ours = model.config.model_type.startswith("selfsup")
    longest = getattr(model.config, "max_position_embeddings", None) or processor.model_max_length  # T5 has no limit
    # RoBERTa counts positions from 2: of its 514 only 512 are free, and its tokenizer knows.
    processor.model_max_length = longest if ours else min(processor.model_max_length, longest)
    if ours and model.config.is_encoder_decoder:
        forget_segments(processor)
    save_tokenizer(processor, folder)


def forget_segments(tokenizer: PreTrainedTokenizerBase) -> None:
    """An encoder-decoder tells no segments apart, and `generate` refuses their ids: the tokenizer gives none."""
    tokenizer.model_input_names = ["input_ids", "attention_mask"]

"""From a name or a configuration to a model, and from a trained model to a folder that opens anywhere."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import IMAGE_PROCESSOR_NAME

import selfsup.models  # noqa: F401 - makes the Auto classes know ours
from selfsup.objectives.objective import Objective
from selfsup.training.card import write_card
from selfsup.training.hub import check_name, push
from selfsup.training.picture_card import write_picture_card
from selfsup.training.processors import Processor, forget_segments, plain_processor, save_processor, sees


@dataclass(frozen=True)
class HubConfig:
    """What the model card says that a run cannot know, and where the model goes when the run has ended.

    Args:
        push_to: user/name on the Hub; if absent, nothing leaves this machine (scripts/push.py pushes later).
        private: make a new repository private.
        license: of the weights, as the Hub spells it.
        data_license: of the training text; the card says that none was given if absent.
        data_name: what to call the training text; a Hub id is linked.
        language: code of the language; that of `data` if absent, which only knows some.
    """

    push_to: str | None = None
    private: bool = False
    license: str = "apache-2.0"
    data_license: str | None = None
    data_name: str | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        if self.push_to is not None:
            check_name(self.push_to)
        # The Hub refuses a card with other characters, and that after hours of training.
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.license):
            raise ValueError(f"license must be spelt as on the Hub, like apache-2.0, but {self.license!r} came")
        if self.language is not None and not re.fullmatch(r"[a-z]{2,3}|multilingual", self.language):
            raise ValueError(f"language must be a code like en or nld, or multilingual, but {self.language!r} came")


def exported(name: str) -> str:
    """The folder that transformers opens: of a run, what it exported; else the name as it came.

    Raises:
        ValueError: the run exported nothing.
    """
    model = Path(name) / "model"
    if (model / "config.json").is_file():
        return str(model)
    if (Path(name) / "run.yaml").is_file() and not (Path(name) / "config.json").is_file():
        raise ValueError(
            f"a trained model is wanted, but the run in {name} left none: it has not ended, failed, or was made "
            "with --folds; let it end, start it again, or name one of its folders that holds a config.json"
        )
    return name


def build_model(
    auto_class: str,
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    init_from: str | None = None,
    *,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """A model with the head that an objective needs.

    Args:
        auto_class: of transformers, for instance "AutoModelForPreTraining".
        config: shape of a fresh model.
        tokenizer: whose ids it reads.
        init_from: in place of `config`, a checkpoint, an exported folder or a Hub id to go on from.
        trust_remote_code: run Python files that come with `init_from`; our own models need none.
    Raises:
        ValueError: nothing can be opened under that name, it wants to run code of its own, or the vocabulary of the
            model is too small.
    """
    auto = getattr(transformers, auto_class)
    if init_from is None:
        _check_sizes(config)
        config.pad_token_id = tokenizer.pad_token_id
        if auto_class == "AutoModelForCausalLM":
            config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
        if config.is_encoder_decoder:
            name_tokens(config, tokenizer)
            forget_segments(tokenizer)
        model = auto.from_config(config)
    else:
        with opening(
            "init_from must name a checkpoint, an exported folder or a Hub model for " + auto_class, init_from
        ):
            # In fp32 whatever the file holds: an optimizer's small steps vanish in 16 bits.
            model, info = auto.from_pretrained(
                init_from, dtype=torch.float32, output_loading_info=True, trust_remote_code=trust_remote_code
            )
        if info["missing_keys"]:
            print(f"not in {init_from}, so they start afresh: {', '.join(sorted(info['missing_keys']))}")
    if model.config.vocab_size < len(tokenizer):
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} pieces, but the model has room for {model.config.vocab_size}: "
            + (
                "choose the tokenizer of init_from"
                if init_from
                else f"set --model.vocab_size {_round_up(len(tokenizer))}"
            )
        )
    return model


def name_tokens(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Tell the configuration of a fresh encoder-decoder which tokens pad, begin and end a text."""
    config.pad_token_id = tokenizer.pad_token_id
    config.bos_token_id = config.decoder_start_token_id = tokenizer.cls_token_id
    config.eos_token_id = tokenizer.sep_token_id


def open_model(auto_class: str, name: str, *, trust_remote_code: bool = False, **options: Any) -> PreTrainedModel:
    """A trained model in a folder or on the Hub, in evaluation mode.

    Args:
        auto_class: of transformers.
        name: folder or Hub id.
        trust_remote_code: run Python files that come with it; our own models need none.
        options: of `from_pretrained`.
    Raises:
        ValueError: there is none, or it wants to run code of its own.
    """
    with opening("an exported folder or a Hub id is wanted", name):
        auto = getattr(transformers, auto_class)
        return auto.from_pretrained(name, trust_remote_code=trust_remote_code, **options).eval()


def build_players(
    objective: Objective,
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    init_from: str | None = None,
    *,
    trust_remote_code: bool = False,
) -> dict[str, PreTrainedModel]:
    """The model that an objective trains, further players if it has any, and the objective bound to them.

    Args:
        objective: of the run.
        config, tokenizer, init_from, trust_remote_code: as for `build_model`.
    Returns:
        players by the names of their turns.
    """
    model = build_model(objective.auto_class, config, tokenizer, init_from, trust_remote_code=trust_remote_code)
    players = {"model": model, **objective.further_players(model)}
    objective.bind(tokenizer, model.config)
    return players


def _check_sizes(config: PreTrainedConfig) -> None:
    """A model of no width fails in its first step only, and speaks of tensors."""
    sizes = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"]
    for name in (*sizes, "type_vocab_size", "max_position_embeddings"):
        if getattr(config, name, 1) < 1:
            raise ValueError(f"--model.{name} must be at least 1, but {getattr(config, name)} came")
    if not 0 <= getattr(config, "dropout", 0) < 1:
        raise ValueError(f"--model.dropout must be at least 0 and below 1, but {config.dropout} came")


def _round_up(size: int) -> int:
    return -(-size // 64) * 64


def open_tokenizer(name: str, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The fast tokenizer in a folder or on the Hub.

    Args:
        name: of the folder, or Hub id.
        trust_remote_code: run Python files that come with it.
    Raises:
        ValueError: there is none, or it wants to run code of its own.
    """
    with opening("a folder or Hub id with a tokenizer is wanted", name):
        return transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)


def open_processor(name: str, trust_remote_code: bool = False) -> Processor:
    """What reads the input of the model in a folder or on the Hub: its fast tokenizer, or its image processor.

    Args:
        name: of the folder, or Hub id.
        trust_remote_code: run Python files that come with it.
    Raises:
        ValueError: there is none, or it wants to run code of its own.
    """
    with opening("a folder or Hub id with a model is wanted", name):
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
    if not sees(config):
        return open_tokenizer(name, trust_remote_code)
    size = getattr(config, "image_size", None)
    if size and Path(name).is_dir() and not (Path(name) / IMAGE_PROCESSOR_NAME).exists():
        return plain_processor(*((size, size) if isinstance(size, int) else size))
    with opening("a folder or Hub id with an image processor is wanted", name):
        return transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=trust_remote_code, backend="pil")


@contextmanager
def opening(wanted: str, name: str) -> Iterator[None]:
    """Say in one sentence why something does not open; libraries raise errors of many kinds, all about what came."""
    try:
        yield
    except Exception as error:
        reason = shorten(str(error) or type(error).__name__, 240, placeholder=" ...")
        if isinstance(error, RuntimeError) and "memory" in reason:
            raise  # there is another sentence for that
        if "trust_remote_code" in str(error):
            reason = (
                "it wants to run Python code of its own; read that code, and add --trust_remote_code true to allow it"
            )
        elif not Path(name).exists() and name[:1] in "./~":
            reason = "there is no such folder: check the path"
        elif not Path(name).exists():
            reason += " (there is no such folder, so it was looked for on the Hub: check the name and the network)"
        raise ValueError(f"{wanted}, but {name} did not open: {reason}") from error


def export(model: PreTrainedModel, processor: Processor, folder: Path) -> None:
    """Save weights, configuration, code and what reads the input: Auto classes open the folder without this package.

    Args:
        model: unwrapped; of a class registered for Auto classes.
        processor: saved beside; of a tokenizer its SentencePiece model too, where it has one.
        folder: new or replaced file by file.
    """
    model.save_pretrained(folder)
    save_processor(processor, model, folder)


def publish(
    players: Mapping[str, PreTrainedModel],
    processor: Processor,
    figures: dict[str, Any],
    run: Path,
    hub: HubConfig,
) -> None:
    """Export what was trained into its run, the model with its card, and push it if asked.

    Args:
        players: unwrapped; each goes to the folder of its name, and `model` is what is published.
        processor: what reads the input, saved beside.
        figures: what the run reached, see `summarise`.
        run: folder of the run.
        hub: what the card says besides, and where to push.
    Raises:
        ValueError: the Hub did not take it; the folder is whole.
    """
    folder = run / "model"
    for name, player in players.items():
        export(player, processor, run / name)
    told = {"name": hub.push_to, "license": hub.license, "data_license": hub.data_license, "data_name": hub.data_name}
    if isinstance(processor, PreTrainedTokenizerBase):
        write_card(run, figures, language=hub.language, **told)  # type: ignore[arg-type]
    else:
        write_picture_card(run, figures, **told)  # type: ignore[arg-type]
    if hub.push_to:
        print(f"Hub      {push(folder, hub.push_to, private=hub.private)}")

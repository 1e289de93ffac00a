"""Models that go on with a text: what counts as one, and how it is opened."""

from typing import NoReturn

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from selfsup.training.export import exported, open_tokenizer, opening

NAMES = ("ForCausalLM", "LMHeadModel")  # what classes of decoders end with


def open_causal(name: str, *, trust_remote_code: bool = False) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model that goes on with a text, in evaluation mode and float32, and its tokenizer.

    Args:
        name: folder of a run, exported folder, checkpoint or Hub id.
        trust_remote_code: run Python files that come with the model; our own need none.
    Raises:
        ValueError: nothing opens under that name, or the model is none that goes on with a text, or it reads both ways.
    """
    start = exported(name)
    tokenizer = open_tokenizer(start, trust_remote_code)
    with opening("a model that goes on with a text is wanted", name):
        config = AutoConfig.from_pretrained(start, trust_remote_code=trust_remote_code)
    if not says_causal(config):
        _refuse(name, config)
    with opening("a model that goes on with a text is wanted", name):
        model, info = AutoModelForCausalLM.from_pretrained(
            start, dtype=torch.float32, output_loading_info=True, trust_remote_code=trust_remote_code
        )
    if info["missing_keys"] or not is_causal(model.eval()):
        _refuse(name, config)
    return model, tokenizer


def says_causal(config: PreTrainedConfig) -> bool:
    """Whether a model goes on with a text as far as its configuration tells; `is_causal` asks the model itself.

    It has to open under that Auto class, and not to say that it was trained with another head.
    """
    known = AutoModelForCausalLM._model_mapping.get(type(config), None)
    own = (getattr(config, "auto_map", None) or {}).get("AutoModelForCausalLM")
    made = (config.architectures or NAMES)[0]
    decoder = made.endswith(NAMES) or made == getattr(known, "__name__", None)  # Gemma 3's has another name
    return bool(known or own) and decoder and not config.is_encoder_decoder


def is_causal(model: PreTrainedModel) -> bool:
    """Whether no score depends on what follows; BERT opens as a causal model too, and reads both ways."""
    ids = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4]], device=model.device) % model.config.vocab_size
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, :3].float()
    return bool(torch.allclose(logits[0], logits[1], rtol=1e-3, atol=1e-4))


def _refuse(name: str, config: PreTrainedConfig) -> NoReturn:
    made = (config.architectures or ["model of an unknown kind"])[0]
    raise ValueError(
        f"a causal model, which goes on with a text, is wanted, but {name} is a {made}, which is none: choose a "
        "decoder, or fine-tune this one, with scripts/finetune.py"
    )

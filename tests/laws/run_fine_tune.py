"""Jobs of the server in run_fit.py: fine-tuning, and conclusions, of one or several processes."""

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from accelerate import Accelerator
from safetensors.torch import save_file

from selfsup.data.images import Picture
from selfsup.finetuning.learning import FineTuneConfig, fine_tune
from selfsup.models.convnet import ConvNetConfig, ConvNetForImageClassification
from selfsup.models.encoder_decoder import TextEncoderDecoderConfig
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.objectives import (
    AnswerSpan,
    Classification,
    ImageClassification,
    SequenceReward,
    SequenceToSequence,
    Supervised,
    Tagging,
)
from selfsup.predicting.assess import assess
from selfsup.training.export import name_tokens, open_tokenizer
from selfsup.training.processors import plain_processor

KINDS: dict[str, Callable[[], Supervised]] = {
    "classification": Classification,
    "tagging": Tagging,
    "answer_span": lambda: AnswerSpan(window=32, stride=8, max_answer_length=5),
    "sequence_to_sequence": lambda: SequenceToSequence(label_smoothing=0.1, guided=1.0, scheduled=0.5),
    "sequence_reward": lambda: SequenceReward(max_new_tokens=12),
}


def tune(
    folder: str, *, text: str, tokenizer: str, cache: str, kinds: list[str], micro_batch_size: int | None = None
) -> dict[str, Any]:
    """Learn 25 examples in batches of 6, look at 7 after every epoch, and conclude on 13: no two processes share these
    evenly. Each process writes down what it came to, and whose rows it saw."""
    gc.freeze()  # what the server has imported need not be looked through after each model
    accelerator = Accelerator(cpu=True)
    words = open_tokenizer(tokenizer)
    found: dict[str, Any] = {}
    for kind in kinds:
        examples = examples_of(kind, Path(text), 45)
        objective = KINDS[kind]()
        names = objective.survey(examples)
        shape: dict[str, Any] = {"vocab_size": len(words), "hidden_size": 16, "num_attention_heads": 2,
                                 "intermediate_size": 32, "max_position_embeddings": 64}  # fmt: skip
        if objective.auto_class == "AutoModelForSeq2SeqLM":
            config = TextEncoderDecoderConfig(**shape, num_encoder_layers=2, num_decoder_layers=2, dropout=0.0,
                                              zero_init_output=False)  # fmt: skip
            name_tokens(config, words)
        else:
            config = TextEncoderConfig(
                **shape, num_hidden_layers=2, id2label=dict(enumerate(names)),
                label2id={name: place for place, name in enumerate(names)},
            )  # fmt: skip
        config.update(objective.findings())
        torch.manual_seed(0)
        model = getattr(transformers, objective.auto_class).from_config(config).double()
        objective.bind(words, config)
        tuning = FineTuneConfig(epochs=2, batch_size=6, micro_batch_size=micro_batch_size, layer_decay=0.9)
        curve = fine_tune(model, objective, examples[:25], tuning, seed=1, accelerator=accelerator,
                          held_back=examples[25:32])  # fmt: skip
        for line in curve:
            del line["seconds"]  # they differ from run to run
        seen = listen(objective)
        concluded = assess(model, objective, examples[32:], accelerator=accelerator, batch_tokens=200)
        rows = sum(len(objective.parts(example)) for example in examples[32:])
        found[kind] = {"curve": curve, "conclusions": concluded.conclusions, "loss": concluded.loss,
                       "seen": sum(seen), "rows": rows}  # fmt: skip
        if accelerator.is_main_process:
            save_file(dict(model.named_parameters()), Path(folder) / f"{kind}.safetensors")
    (Path(folder) / f"process-{accelerator.process_index}.json").write_text(json.dumps(found))
    accelerator.wait_for_everyone()
    return {"processes": accelerator.num_processes}


def see(folder: str, *, text: str, tokenizer: str, cache: str) -> dict[str, Any]:
    """Learn 10 pictures with running averages; each process leaves all that its model has."""
    accelerator, rng = Accelerator(cpu=True), np.random.default_rng(0)
    pixels = rng.integers(256, size=(10, 1, 8, 8), dtype=np.uint8)
    examples = [{"image": Picture(one), "label": "ab"[number % 2]} for number, one in enumerate(pixels)]
    config = ConvNetConfig(image_size=8, channels=(4, 4), stage_depths=(1, 1), id2label={0: "a", 1: "b"},
                           label2id={"a": 0, "b": 1})  # fmt: skip
    torch.manual_seed(0)
    model, objective = ConvNetForImageClassification(config), ImageClassification()
    objective.bind(plain_processor(8, 8), config)
    fine_tune(model, objective, examples, FineTuneConfig(epochs=2, batch_size=5), seed=1, accelerator=accelerator)
    save_file(model.state_dict(), Path(folder) / f"{accelerator.process_index}.safetensors")
    accelerator.wait_for_everyone()
    return {"processes": accelerator.num_processes}


def listen(objective: Supervised) -> list[int]:
    """Gets the number of rows of every batch that is predicted here."""
    seen: list[int] = []
    answer = objective.answer

    def listening(players: Any, batch: dict[str, torch.Tensor], outputs: Any) -> list[Any]:
        seen.append(len(batch["input_ids"]))
        return answer(players, batch, outputs)

    objective.answer = listening  # type: ignore[method-assign]
    return seen


def examples_of(kind: str, text: Path, number: int) -> list[dict[str, Any]]:
    """Paragraphs with something to say of them."""
    paragraphs = [part for file in sorted(text.iterdir()) for part in file.read_text().split("\n\n")]
    paragraphs = [part.strip() for part in paragraphs if len(part.split()) > 4][:number]
    if kind == "classification":
        return [{"text": part, "label": str(len(part) % 3)} for part in paragraphs]
    if kind == "tagging":
        return [{"words": part.split(), "tags": [str(len(w) % 4) for w in part.split()]} for part in paragraphs]
    if kind.startswith("sequence"):
        return [{"source": " ".join(part.split()[:20]), "target": " ".join(part.split()[:3])} for part in paragraphs]
    return [
        {
            "question": f"What follows {part.split()[1]}?",
            "context": part,
            "answers": {"text": [part.split()[2]], "answer_start": [part.index(part.split()[2])]},
        }
        for part in paragraphs
    ]


JOBS = {"tune": tune, "see": see}

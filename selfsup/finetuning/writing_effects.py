"""What copying, guided attention, own tokens, rewards and beams are worth to a small translator: one effect each."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.random import Generator, default_rng

from selfsup.examples import DataChoice, read_task
from selfsup.finetuning.beginning import begin
from selfsup.finetuning.effects import Arm, Effect
from selfsup.finetuning.learning import FineTuneConfig
from selfsup.finetuning.watching import AfterMistakes, Aligned, Alignment, OfFirstWord
from selfsup.metrics import Bleu, Mention
from selfsup.models.encoder_decoder_config import TextEncoderDecoderConfig
from selfsup.objectives import SequenceReward, SequenceToSequence
from selfsup.objectives.objective import Example
from selfsup.task import Task

PEOPLE = {  # what begins a description in English, and what in German where it stands for the same
    "A man": "Ein Mann",
    "A woman": "Eine Frau",
    "A boy": "Ein Junge",
    "A girl": "Ein Mädchen",
    "A person": "Eine Person",
    "A child": "Ein Kind",
    "A little girl": "Ein kleines Mädchen",
    "A little boy": "Ein kleiner Junge",
    "A young man": "Ein junger Mann",
    "A young woman": "Eine junge Frau",
    "A young boy": "Ein kleiner Junge",
    "A young girl": "Ein junges Mädchen",
}
# Of names to learn from every other one, of names to score on the others.
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
SHAPE = TextEncoderDecoderConfig(
    vocab_size=4096, hidden_size=128, num_encoder_layers=2, num_decoder_layers=2, num_attention_heads=4,
    intermediate_size=512, max_position_embeddings=128, dropout=0.1,
)  # fmt: skip
TUNE = FineTuneConfig(
    optimizer="Muon", learning_rate=2e-3, weight_decay=0.05, batch_size=64, epochs=12, slice_share=0.05
)
GATE_WIDTH = 32  # a wider feed-forward half has as many weights more as the gate, for SHAPE


def copying(translation: Task, choice: DataChoice, folder: Path, data_root: Path | None) -> Effect:
    """Does a copy gate write names that it never saw? People of real descriptions get made-up names, others and of
    other syllables in training than in what is scored."""
    files = named_files(translation, choice, folder / "named", data_root)
    plain = {"intermediate_size": SHAPE.intermediate_size + GATE_WIDTH}
    task, made = replace(translation, data=()), DataChoice(train=str(files[0]), held_out=str(files[1]))
    return Effect(
        task,
        made,
        _beginning(translation, choice, data_root),  # whose tokenizer has read no name: of all it knows pieces alone
        TUNE,
        {
            "no gate": Arm(SequenceToSequence, plain),
            "copy gate": Arm(SequenceToSequence, {"copy_gate": True}),
        },
        {
            "name written": lambda beams: _scored(partial(OfFirstWord, beams=beams), Mention),
            "BLEU": lambda beams: _scored(partial(SequenceToSequence, beams=beams), Bleu),
        },
    )


def guiding(splitting: Task, choice: DataChoice, folder: Path, data_root: Path | None) -> Effect:
    """Does attention find the diagonal earlier when what lies off it is penalised? On sentences that are split in two;
    also where cross-attention knows no places, so that alignment has to be learnt."""
    placeless = {"rotary_cross_attention": False}
    guided = partial(Alignment, guided=1.0)
    return Effect(
        replace(splitting, source_metrics=(), metrics=(Aligned,)),
        choice,
        _beginning(splitting, choice, data_root),
        replace(TUNE, batch_size=32, epochs=6),
        {
            "no places": Arm(Alignment, placeless),
            "no places, guided": Arm(guided, placeless),
            "places": Arm(Alignment),
            "places, guided": Arm(guided),
        },
        {
            "copies aligned": lambda beams: _scored(Alignment, Aligned),
            "BLEU": lambda beams: _scored(partial(SequenceToSequence, beams=beams), Bleu),
        },
        watched=0.5,
    )


def learning(translation: Task, choice: DataChoice, folder: Path, data_root: Path | None) -> Effect:
    """What do own tokens in training, a reward, and beams do for BLEU, and for what is written behind mistakes? Rewards
    go on from the plain model, as does plain training of as many steps."""
    onward = replace(TUNE, optimizer="AdamW", learning_rate=1e-4, epochs=2)
    return Effect(
        translation,
        choice,
        _beginning(translation, choice, data_root),
        TUNE,
        {
            "plain": Arm(SequenceToSequence),
            "own tokens": Arm(partial(SequenceToSequence, scheduled=0.3)),
            "plain, 5 beams": Arm(None, start="plain", beams=5),
            "plain, going on": Arm(SequenceToSequence, start="plain", tune=onward),
            "plain, then rewarded": Arm(
                partial(SequenceReward, reward="bleu", against="sample"), start="plain", tune=onward
            ),
        },
        {
            "BLEU": lambda beams: _scored(partial(SequenceToSequence, beams=beams), Bleu),
            "second half": lambda beams: _scored(partial(AfterMistakes, share=0.0, beams=beams), Bleu),
            "behind mistakes": lambda beams: _scored(partial(AfterMistakes, share=0.3, beams=beams), Bleu),
        },
    )


def named_files(translation: Task, choice: DataChoice, folder: Path, data_root: Path | None) -> tuple[Path, Path]:
    """Descriptions of named people, to learn from and to score on, as files that a task reads."""
    read, rng = read_task(translation, choice, data_root), default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "train.jsonl", folder / "held_out.jsonl"
    for file, table, syllables in zip(
        files, (read.train, read.held_out), (SYLLABLES[::2], SYLLABLES[1::2]), strict=True
    ):
        # A name for everyone: few of them would be learnt by heart, and nothing would have to be copied.
        names = made_up_names(len(table.examples), syllables, rng=rng)
        rows = [json.dumps(row, ensure_ascii=False) for row in named(table.examples, names)]
        file.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    return files


def named(examples: Sequence[Example], names: Sequence[str], people: Mapping[str, str] = PEOPLE) -> list[Example]:
    """The examples that begin with one person on both sides, with a name in its place on both.

    Example:
        >>> named([{"source": "A man sleeps.", "target": "Ein Mann schläft."}], ["Lumo"])
        [{'source': 'Lumo sleeps.', 'target': 'Lumo schläft.'}]
    """
    found = []
    for example, name in zip(examples, names, strict=True):
        for english, german in people.items():
            source, target = example["source"], example["target"]
            if source.startswith(f"{english} ") and target.startswith(f"{german} "):
                found.append({"source": name + source[len(english) :], "target": name + target[len(german) :]})
    return found


def made_up_names(number: int, syllables: Sequence[str], *, rng: Generator) -> list[str]:
    """So many different names of two or three of the syllables, some of which are closed by one more letter."""
    found: dict[str, None] = {}
    while len(found) < number:
        chosen = rng.choice(syllables, rng.integers(2, 4))
        found["".join(one + rng.choice(["", "", "l", "n", "r", "s"]) for one in chosen).capitalize()] = None
    return list(found)


def _beginning(task: Task, choice: DataChoice, data_root: Path | None) -> Callable[[Path], Any]:
    return lambda folder: begin(task, choice, SHAPE, folder, data_root=data_root)


def _scored(objective, metric) -> Task:
    return Task(objective=objective, metrics=(metric,), data=())


EFFECTS = {
    "copying": ("translation", copying),
    "guiding": ("sentence_split", guiding),
    "learning": ("translation", learning),
}

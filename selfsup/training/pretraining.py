"""From the name of a text to a trained model in a folder: what scripts/pretrain.py and pretrain_decoder.py share."""

from collections.abc import Mapping
from pathlib import Path

from accelerate import Accelerator
from transformers import PreTrainedConfig, PreTrainedModel

from selfsup.data.dealing import Dealer
from selfsup.data.texts import DataConfig, find_texts, open_plans, own_tokenizer
from selfsup.objectives import Joint, Objective
from selfsup.objectives.objective import accepted_fields
from selfsup.optim.optimizers import OptimConfig
from selfsup.tokenization.segments import begin_texts
from selfsup.training.command import start
from selfsup.training.export import HubConfig, build_players, open_tokenizer, publish
from selfsup.training.loop import TrainConfig, fit
from selfsup.training.processors import Processor
from selfsup.training.summary import summarise


def pretrain(
    corpus: str,
    output: Path,
    objectives: dict[str, Objective],
    model: PreTrainedConfig,
    data: DataConfig,
    optim: OptimConfig,
    train: TrainConfig,
    hub: HubConfig,
    *,
    data_root: Path | None = None,
    tokenizer: str | None = None,
    init_from: str | None = None,
    resume: bool = False,
    trust_remote_code: bool = False,
    arguments: str = "",
) -> None:
    """Train a tokenizer if there is none, encode the text once, learn, and leave a folder that opens anywhere.

    Args:
        corpus: name of the text.
        output: folder of the run.
        objectives: by a name of one's own; they are learnt jointly.
        model: shape of a fresh model; ignored with `init_from`.
        data: which text, and how it is dealt out.
        optim: how weights move.
        train: how long, and what is left behind.
        hub: what the model card says, and where the model is pushed.
        data_root: folder that mirrors the Hub.
        tokenizer: folder or Hub id; by default that of `init_from`, or else one is trained on the corpus.
        init_from: what to go on from.
        resume: go on from the last checkpoint in `output`.
        trust_remote_code: run Python files that come with `init_from` or `tokenizer`.
        arguments: of the command, as YAML.
    Raises:
        ValueError: something that came does not fit.
    """
    accelerator = start(output, arguments, seed=train.seed, tracker=train.tracker, resume=resume, push_to=hub.push_to)
    objective = Joint(objectives)
    if init_from is None:
        accepted_fields(objective.auto_class, model)  # refuses a model without the head, before anything is made
    texts = find_texts(corpus, data, data_root)
    with accelerator.main_process_first():  # the others find tokenizer and cache made
        name = tokenizer or init_from or own_tokenizer(texts[0], output, model.vocab_size, data)
        words = open_tokenizer(name, trust_remote_code)
        if objective.auto_class == "AutoModelForCausalLM":
            words = begin_texts(words)
        players = build_players(objective, model, words, init_from, trust_remote_code=trust_remote_code)
        plan, held_out = open_plans(texts, words, data, seed=train.seed, **objective.reading)
    learn(players, objective, plan, held_out, words, optim=optim, train=train, hub=hub, accelerator=accelerator,
          output=output, resume=resume)  # fmt: skip


def learn(
    players: Mapping[str, PreTrainedModel],
    objective: Objective,
    plan: Dealer,
    held_out: Dealer,
    processor: Processor,
    *,
    optim: OptimConfig,
    train: TrainConfig,
    hub: HubConfig,
    accelerator: Accelerator,
    output: Path,
    resume: bool = False,
) -> None:
    """Train to the end, say what was reached, and leave a folder that opens anywhere.

    Args:
        players: by the names of their turns.
        objective: bound.
        plan: of what is learnt from.
        held_out: of what is scored on.
        processor: what reads the input of the model.
        optim, train, hub, resume: as for `pretrain`.
        accelerator: of the run.
        output: folder of the run.
    """
    score = fit(players, objective, plan, held_out, optim=optim, train=train, accelerator=accelerator,
                folder=output, resume=resume, companions=(players["model"].config, processor))  # fmt: skip
    if accelerator.is_main_process:
        figures = summarise(score, plan, held_out, objective, train.eval_rows, output)
        publish(players, processor, figures, output, hub)

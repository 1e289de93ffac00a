"""A server of training runs: imports once, then forks one or several processes for each order it reads.

An order is a line of JSON on standard input: `job` names a function below, `num_processes` says how often it is forked,
the rest are its arguments. The answer is a line with the exit code of each process, -9 for one that was killed.
What a job finds out it writes to result.json in the folder of its run.
"""

import importlib
import json
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import TorchDynamoPlugin
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import softplus
from transformers import PreTrainedConfig

from selfsup.data.plan import Draw, Plan
from selfsup.data.texts import DataConfig, find_texts, open_plans
from selfsup.models.text_decoder_config import TextDecoderConfig
from selfsup.models.text_encoder import TextEncoderConfig
from selfsup.objectives import Joint, MaskedTokens, NextSentence, NextToken, Objective, ReplacedTokens, SentenceOrder
from selfsup.optim.optimizers import OptimConfig
from selfsup.pictures import curves
from selfsup.training import loop, sharding
from selfsup.training.batches import VALIDATION_SEED, batch_of
from selfsup.training.evaluation import evaluate
from selfsup.training.export import build_model, build_players, open_tokenizer
from selfsup.training.loop import Stopped, TrainConfig, fit

ASKED: dict[str, Callable[[], dict[str, Objective]]] = {
    "order": lambda: {"tokens": MaskedTokens(final_rate=0.3, unit="span"), "order": SentenceOrder(weight=0.5)},
    "next": lambda: {"tokens": MaskedTokens(), "next": NextSentence()},
    "replaced": lambda: {"replaced": ReplacedTokens(generator_share=0.5)},
    "next_token": lambda: {"next": NextToken()},
}
EVERYTHING = {"eval_every": 1000, "save_every": 1000, "log_every": 1, "eval_rows": 41}


def pretrain(
    folder: str,
    *,
    text: str,
    tokenizer: str,
    cache: str,
    ask: str = "order",
    weights: str = "float32",
    precision: str = "no",
    compiled: bool = False,
    dropout: float = 0.0,
    batch_size: int = 16,
    resume: bool = False,
    again: bool = False,
    strike: dict[str, Any] | None = None,
    poison: int | None = None,
    no_pickle: bool = False,
    own_clock: bool = False,
    optim: dict[str, Any] | None = None,
    train: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Masked tokens and sentence order or what else is asked; with `again`, stopped runs go on until the end."""
    dynamo = TorchDynamoPlugin(backend="inductor" if compiled else "no", use_regional_compilation=True)
    accelerator = Accelerator(cpu=True, mixed_precision=precision, dynamo_plugin=dynamo)
    words = open_tokenizer(tokenizer)
    data = DataConfig(cache_dir=Path(cache), block_size=64, batch_size=batch_size, validation_share=0.1)
    share_of_weights = watch_sharding()
    if no_pickle:
        forbid_pickle()
    if own_clock:
        set_clock()
    if strike:
        strike_at(**strike)
    stops = []
    while True:
        torch.manual_seed(0)
        objective = Joint(ASKED[ask]())
        kind = TextDecoderConfig if ask == "next_token" else TextEncoderConfig
        players = build_players(objective, tiny_config(len(words), dropout, kind), words)
        model = players["model"]
        for player in players.values():
            player.to(getattr(torch, weights))
        if poison is not None:
            poison_loss(objective, poison)
        plan, held_out = open_plans(find_texts(text, data), words, data, seed=0, **objective.reading)
        try:
            score = fit(
                players, objective, plan, held_out,
                optim=OptimConfig(**{"warmup_steps": 5, **(optim or {})}),
                train=TrainConfig(**{**EVERYTHING, **(train or {})}),
                accelerator=accelerator,
                folder=Path(folder),
                resume=resume,
                companions=(model.config, words),
            )  # fmt: skip
        except Stopped as stopped:
            stops.append(stopped.signal_number)
            resume = True
            if again:
                continue
            return {"stops": stops, "processes": accelerator.num_processes}
        return {
            "loss": score.total,
            "stops": stops,
            "processes": accelerator.num_processes,
            "epoch_rows": len(plan.epoch()),
            "checkpointing": model.is_gradient_checkpointing,
            "share_of_weights": share_of_weights,
        }


def score(
    folder: str, *, text: str, tokenizer: str, cache: str, rows: list[int], micro_batch_size: int
) -> dict[str, Any]:
    """A fresh model on sets of some numbers of rows; and which examples were read, by each process."""
    accelerator = Accelerator(cpu=True)
    words = open_tokenizer(tokenizer)
    torch.manual_seed(0)
    objective = Joint({"tokens": MaskedTokens(), "order": SentenceOrder()})
    model = build_model(objective.auto_class, tiny_config(len(words), 0.1), words)
    model.register_buffer("constant", torch.zeros(1))  # DDP exchanges buffers: uneven shares must not wait for it
    objective.bind(words, model.config)
    data = DataConfig(cache_dir=Path(cache), block_size=64, validation_share=0.1)
    _, held_out = open_plans(find_texts(text, data), words, data, seed=0, **objective.reading)
    players = {"model": accelerator.prepare(model.train())}
    read: list[tuple[int, ...]] = []

    def listen(corpus: Any, part: list[list[Draw]], *rest: Any) -> dict[str, Tensor]:
        read.extend(draw.segments[0] for row in part for draw in row)
        return batch_of(corpus, part, *rest)

    importlib.import_module("selfsup.training.evaluation").batch_of = listen  # type: ignore[attr-defined]
    scores = []
    for count in rows:
        found = evaluate(
            players,
            objective,
            held_out.corpus,
            held_out.epoch()[:count],
            accelerator=accelerator,
            micro_batch_size=micro_batch_size,
        )
        scores.append({"losses": found.losses, "hits": found.hits, "counts": found.counts})
    result = {"scores": scores, "read": read, "training": model.training}
    (Path(folder) / f"process-{accelerator.process_index}.json").write_text(json.dumps(result))
    wanted = sorted(draw.segments[0] for count in rows for row in held_out.epoch()[:count] for draw in row)
    answers = [
        {name: sum(objective.counts(batch_of(held_out.corpus, [row], objective, VALIDATION_SEED), "model")[name]
                   for row in held_out.epoch()[:count]) for name in objective.weights}
        for count in rows
    ]  # fmt: skip
    return {"processes": accelerator.num_processes, "examples": wanted, "answers": answers}


def duel(
    folder: str,
    *,
    text: str,
    tokenizer: str,
    cache: str,
    num_steps: int = 20,
    by_hand: bool = False,
    micro_batch_size: int | None = None,
    strike: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Two players: `fit`, stopped runs going on until the end, or the same written out in plain PyTorch."""
    accelerator = Accelerator(cpu=True)
    data = DataConfig(cache_dir=Path(cache), block_size=64, batch_size=6, validation_share=0.1)
    plan, held_out = open_plans(find_texts(text, data), open_tokenizer(tokenizer), data, 1, pack=False, seed=0)
    if strike:
        strike_at(**strike)
    share_of_weights = watch_sharding()
    leaks: list[str] = []
    resume = done = False
    while not done:
        torch.manual_seed(0)
        players = {"discriminator": Player(), "generator": Player()}
        objective = Duel(leaks)
        if by_hand:
            duel_by_hand(players["discriminator"], players["generator"], objective, plan, num_steps=num_steps)
            break
        try:
            fit(
                dict(players),
                objective,
                plan,
                held_out,
                optim=OptimConfig(
                    name="Adam",
                    learning_rate=0.01,
                    schedule="constant",
                    warmup_steps=0,
                    clip_norm=0.0,
                    weight_decay=0.0,
                ),
                train=TrainConfig(num_steps=num_steps, micro_batch_size=micro_batch_size, eval_rows=5),
                accelerator=accelerator,
                folder=Path(folder),
                resume=resume,
            )
            done = True
        except Stopped:
            resume = True
    if accelerator.is_main_process:
        for name, player in players.items():
            save_file(player.state_dict(), Path(folder) / f"{name}.safetensors")
    return {"processes": accelerator.num_processes, "leaks": leaks, "share_of_weights": share_of_weights}


class Player(nn.Module):
    """One number for each number."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).double()
        self.register_buffer("calls", torch.zeros((), dtype=torch.float64))

    def forward(self, numbers: Tensor) -> Tensor:
        return self.layers(numbers[..., None])[..., 0]


class Duel(Objective):
    """Token ids are real, what the generator makes of noise is not; notes whoever moves out of turn.

    Source:
        Goodfellow et al. 2014, "Generative Adversarial Networks"; the non-saturating loss.
    """

    name = "discriminator"
    turns = ("discriminator", "generator")

    def __init__(self, leaks: list[str]) -> None:
        super().__init__()
        self.weights = {"discriminator": 1.0, "generator": 0.5}
        self.padding = {"input_ids": -1}
        self.last = ""
        self.seen: dict[str, list[Tensor]] = {}
        self.leaks = leaks

    def encode(self, example):
        return {"input_ids": example["segments"][0]}

    def corrupt(self, example, *, rng, progress):
        return {**example, "noise": rng.integers(-100, 100, len(example["input_ids"]))}

    def counts(self, batch, turn):
        return {turn: int((batch["input_ids"] >= 0).sum())}

    def forward(self, players, batch, turn):
        self._look(players, turn)
        real, noise = batch["input_ids"].double() / 384, batch["noise"].double() / 100
        made = players["generator"](noise)
        if turn == "generator":
            return softplus(-players["discriminator"](made))
        # Two calls of the wrapped player in one turn, as GANs have them.
        return softplus(-players["discriminator"](real)) + softplus(players["discriminator"](made.detach()))

    def loss(self, outputs, batch, turn):
        return {turn: outputs[batch["input_ids"] >= 0].sum()}

    def _look(self, players, turn):
        """In a turn, only the player whose turn came before may have moved; the one that waits gets no gradient."""
        for name, player in players.items():
            now = [parameter.detach().clone() for parameter in player.parameters()]
            moved = name in self.seen and not all(map(torch.equal, now, self.seen[name]))
            if player.training and moved and name == turn and self.last != turn:
                self.leaks.append(f"{name} moved while it waited")
            if player.training and name != turn and any(p.requires_grad for p in player.parameters()):
                self.leaks.append(f"{name} gets gradients while it waits")
            self.seen[name] = now
        self.last = turn


def duel_by_hand(
    discriminator: nn.Module, generator: nn.Module, objective: Duel, plan: Plan, *, num_steps: int
) -> None:
    """What `fit` has to come to, without it."""
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=0.01, betas=(0.9, 0.98))
    of_generator = torch.optim.Adam(generator.parameters(), lr=0.01, betas=(0.9, 0.98))
    for step in range(num_steps):
        batch = batch_of(plan.corpus, plan.rows(step, num_steps), objective, plan.seed)
        asked = batch["input_ids"] >= 0
        real, noise = batch["input_ids"][asked].double() / 384, batch["noise"][asked].double() / 100

        of_discriminator.zero_grad()
        made = generator(noise).detach()
        (softplus(-discriminator(real)) + softplus(discriminator(made))).mean().backward()
        of_discriminator.step()

        of_generator.zero_grad()
        (0.5 * softplus(-discriminator(generator(noise))).mean()).backward()
        of_generator.step()


def tiny_config(vocab_size: int, dropout: float, kind: type[PreTrainedConfig] = TextEncoderConfig) -> PreTrainedConfig:
    return kind(
        vocab_size=vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        dropout=dropout,
    )


def strike_at(target: str, call: int, signal_name: str, process: int | None = None, every: bool = False) -> None:
    """Send this process a signal just before the N-th call of a function.

    Args:
        target: `module:name.name` under which the function is looked up when it is called.
        call: which, from 1.
        signal_name: for instance "SIGKILL".
        process: the only process that gets it; all if absent.
        every: at each later call too.
    """
    module_name, names = target.split(":")
    *owners, name = names.split(".")
    owner = importlib.import_module(module_name)
    for part in owners:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), 0

    def struck(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if (calls == call or (every and calls > call)) and process in (None, int(os.environ.get("RANK", "0"))):
            os.kill(os.getpid(), getattr(signal, signal_name))
        return original(*args, **options)

    setattr(owner, name, struck)


def poison_loss(objective: Joint, step: int) -> None:
    """From one step on the loss of sentence order is no number."""
    original, calls = objective.loss, 0

    def loss(outputs: Any, batch: dict[str, Tensor], turn: str) -> dict[str, Tensor]:
        nonlocal calls
        calls += torch.is_grad_enabled()
        losses = original(outputs, batch, turn)
        return losses | {"order": losses["order"] * (float("nan") if calls >= step else 1.0)}

    objective.loss = loss  # type: ignore[method-assign]


def watch_sharding() -> list[float]:
    """Gets, for each player that is sharded, the share of its weights that lies here."""
    shares: list[float] = []

    def shard(*args: Any) -> nn.Module:
        copy = sharding.shard(*args)
        sizes = [(weight.to_local().numel(), weight.numel()) for weight in copy.parameters()]  # type: ignore[attr-defined]
        shares.append(sum(here for here, _ in sizes) / sum(whole for _, whole in sizes))
        return copy

    loop.shard = shard  # type: ignore[assignment]
    return shares


def set_clock() -> None:
    """The loop's clock moves by a second with each step and by two with each validation, and else stands still."""
    now = 0

    def timed(name: str, seconds: int) -> None:
        original = getattr(loop, name)

        def call(*args: Any, **options: Any) -> Any:
            nonlocal now
            now += seconds
            return original(*args, **options)

        setattr(loop, name, call)

    timed("take_step", 1)
    timed("evaluate", 2)
    loop.time = SimpleNamespace(monotonic=lambda: now)  # type: ignore[assignment]


def forbid_pickle() -> None:
    """Whatever would run code from a file raises."""

    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("a pickle was read")

    np_load = np.load
    pickle.load = pickle.loads = pickle.Unpickler = torch.load = refuse  # type: ignore[assignment, misc]
    np.load = lambda *args, **options: refuse() if options.get("allow_pickle") else np_load(*args, **options)


JOBS: dict[str, Callable[..., dict[str, Any]]] = {"pretrain": pretrain, "score": score, "duel": duel}
JOBS |= importlib.import_module("run_fine_tune").JOBS | importlib.import_module("run_pictures").JOBS


def work(order: dict[str, Any]) -> None:
    """Do one job and write down how it went."""
    folder = Path(order["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        result = JOBS[order.pop("job")](**order)
    except ValueError as error:
        result = {"error": str(error)}
    if os.environ.get("RANK", "0") == "0":
        (folder / "result.json").write_text(json.dumps(result))


def forked(order: dict[str, Any], process: int, num_processes: int, port: int, sharded: bool) -> int:
    """The id of a new process that does a job; several get what torchrun, with FSDP `accelerate launch`, would tell."""
    child = os.fork()
    if child:
        return child
    os.dup2(2, 1)  # what a run says is no answer
    if num_processes > 1:
        places = {"RANK": process, "LOCAL_RANK": process, "WORLD_SIZE": num_processes, "MASTER_PORT": port}
        os.environ |= {name: str(value) for name, value in places.items()}
        os.environ |= {"LOCAL_WORLD_SIZE": str(num_processes), "MASTER_ADDR": "127.0.0.1"}
        os.environ["ACCELERATE_USE_CPU"] = "true"
    if sharded:
        os.environ |= {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
    code = 1
    try:
        work(order)
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    """Answer orders until there are no more."""
    curves.draw_curves = lambda *args: None
    for line in sys.stdin:
        order = json.loads(line)
        num_processes, sharded = order.pop("num_processes"), order.pop("sharded", False)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = [forked(order, number, num_processes, port, sharded) for number in range(num_processes)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)


if __name__ == "__main__":
    serve()

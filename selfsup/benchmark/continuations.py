"""How a decoder goes on with people's text, by the most probable tokens and by chance: does it repeat itself?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import default_rng
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel, set_seed

from selfsup.benchmark.counts import check_counts
from selfsup.benchmark.language import HeldOut
from selfsup.generation.beam import BeamConfig, beam_search
from selfsup.metrics.bootstrap import bootstrap
from selfsup.metrics.diversity import distinct, repetition
from selfsup.training.summary import table

Interval = tuple[float, float, float]  # mean, low, high
PEOPLE = "what people wrote"


@dataclass(frozen=True)
class ContinuationConfig:
    """What is gone on with, and how far.

    Args:
        num_prompts: spread over the held-out text; each begins with a sentence.
        prompt_tokens: of each.
        new_tokens: written behind each, no fewer and no more: shorter texts repeat less.
        beams: of the search beside greedy.
        top_p: of the samples.
        batch_size: prompts that are written for at once.
        seed: of the samples.
    """

    num_prompts: int = 200
    prompt_tokens: int = 32
    new_tokens: int = 64
    beams: int = 5
    top_p: float = 0.9
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        names = ("num_prompts", "prompt_tokens", "new_tokens", "beams", "batch_size")
        check_counts(**{name: getattr(self, name) for name in names})
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, but {self.top_p} came")


def prompts_of(held_out: HeldOut, config: ContinuationConfig) -> tuple[Tensor, Tensor]:
    """Beginnings of held-out text, and how people went on.

    Returns:
        (prompts, prompt tokens) and (prompts, new tokens) int64.
    Raises:
        ValueError: the text has not so many places with enough behind them.
    """
    ends = np.append(held_out.starts[1:], len(held_out.tokens))
    whole = config.prompt_tokens + config.new_tokens
    rooms = ends[np.searchsorted(held_out.starts, held_out.slices, side="right") - 1] - held_out.slices
    places = held_out.slices[rooms >= whole]
    if len(places) < config.num_prompts:
        raise ValueError(
            f"{config.num_prompts} places with {whole} tokens behind them are wanted, but the held-out text has "
            f"{len(places)}: ask for fewer prompts, or give more text"
        )
    chosen = places[np.linspace(0, len(places) - 1, config.num_prompts).round().astype(int)]
    rows = torch.tensor(np.stack([held_out.tokens[place : place + whole] for place in chosen]))
    return rows[:, : config.prompt_tokens], rows[:, config.prompt_tokens :]


def continuations(
    model: PreTrainedModel, prompts: Tensor, config: ContinuationConfig, *, begin: list[int], quiet: bool = False
) -> Iterator[tuple[str, Tensor]]:
    """By name, (prompts, new tokens) int64 of each way to write.

    Args:
        model: causal, in evaluation mode.
        prompts: (prompts, prompt tokens) int64.
        config: how far, and how.
        begin: ids that stand before every prompt.
        quiet: show no progress bars.
    """
    asked = torch.cat([torch.tensor(begin, dtype=torch.int64).expand(len(prompts), -1), prompts], dim=1)
    for beams in dict.fromkeys((1, config.beams)):
        exact = BeamConfig(beams, max_new_tokens=config.new_tokens, min_new_tokens=config.new_tokens)
        found = beam_search(model, asked.tolist(), exact, batch_size=config.batch_size, quiet=quiet)
        yield "greedy" if beams == 1 else f"{beams} beams", torch.tensor([best.ids for best, *_ in found])
    set_seed(config.seed)
    parts = asked.split(config.batch_size)
    written = [
        model.generate(
            part.to(model.device), attention_mask=torch.ones_like(part).to(model.device), do_sample=True, top_k=0,
            top_p=config.top_p, max_new_tokens=config.new_tokens, min_new_tokens=config.new_tokens,
        )[:, asked.shape[1] :]
        for part in tqdm(parts, "samples", disable=quiet, leave=False)
    ]  # fmt: skip
    yield f"samples, top-p {config.top_p:g}", torch.cat(written).cpu()


@torch.inference_mode()
def mean_log_probs(
    model: PreTrainedModel, prompts: Tensor, written: Tensor, *, begin: list[int], batch_size: int
) -> np.ndarray:
    """(prompts) nats a token that the model gives to what was written behind each prompt."""
    before = torch.tensor(begin, dtype=torch.int64).expand(len(prompts), -1)
    found = []
    for rows in torch.cat([before, prompts, written], dim=1).split(batch_size):
        ids = rows.to(model.device)
        scores = model(ids).logits[:, -written.shape[1] - 1 : -1].float().log_softmax(dim=-1)
        found.append(scores.gather(-1, ids[:, -written.shape[1] :, None]).mean(dim=(1, 2)).cpu())
    return torch.cat(found).double().numpy()


def figures(texts: Mapping[str, Tensor], log_probs: Mapping[str, np.ndarray]) -> dict[str, dict[str, Interval]]:
    """By way of writing: shares of runs of two and four tokens that stood in the text before, and nats a token, each a
    mean with its 95 % interval over prompts; and runs of two tokens that are different, of all texts together.

    Args:
        texts: (prompts, new tokens) int64, by name.
        log_probs: (prompts) nats a token, by name.
    """
    found = {}
    for name, rows in texts.items():
        lines = rows.tolist()
        shares = {
            f"repeated runs of {order}": np.array([repetition(line, order) for line in lines]) for order in (2, 4)
        }
        means = {"log probability": log_probs[name], **shares}
        found[name] = {what: bootstrap(values[None], rng=default_rng(0)) for what, values in means.items()}
        found[name]["distinct runs of 2"] = (distinct(lines, 2),) * 3
    return found


def report(found: Mapping[str, Mapping[str, Interval]]) -> str:
    """The table."""
    rows: list[tuple[str, ...]] = [
        ("", "nats a token (95 %)", "repeated runs of 2 (95 %)", "of 4 (95 %)", "distinct runs of 2")
    ]
    for name, of_name in found.items():
        mean, low, high = of_name["log probability"]
        shares = (of_name[f"repeated runs of {order}"] for order in (2, 4))
        rows.append(
            (
                name,
                f"{mean:.2f}  ({low:.2f} to {high:.2f})",
                *(" ".join((f"{100 * m:.1f} %", f"({100 * lo:.1f} to {100 * hi:.1f})")) for m, lo, hi in shares),
                f"{100 * of_name['distinct runs of 2'][0]:.1f} %",
            )
        )
    return table(rows)

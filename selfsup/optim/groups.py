"""Which weights move how much in fine-tuning: all at one rate, or the deeper the slower."""

import re

from torch import nn

from selfsup.optim.optimizers import decay_groups

_NUMBER = re.compile(r"\.(\d+)\.")


def layer_groups(model: nn.Module, body: str, *, weight_decay: float, layer_decay: float) -> list[dict]:
    """The groups of `decay_groups`, parted by depth, each with its share of the learning rate.

    The head moves at the full rate, each block `layer_decay` times as fast as what is above it, embeddings slowest.

    Args:
        model: a head on a body, whose blocks are told by the first number in the names of their weights.
        body: name of the body in the model, transformers' `base_model_prefix`.
        weight_decay: of matrices.
        layer_decay: 1 for one rate everywhere; 0.8 to 0.95 are usual.
    Returns:
        groups as `torch.optim` takes them, and in each `scale`, what the learning rate is multiplied by.
    Source:
        Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", section 3.1.
    """
    depths = {id(weight): depth for weight, depth in layer_depths(model, body)}
    top = max(depths.values())
    groups = []
    for group in decay_groups(model, weight_decay):
        for depth in sorted({depths[id(weight)] for weight in group["params"]}):
            chosen = [weight for weight in group["params"] if depths[id(weight)] == depth]
            groups.append({**group, "params": chosen, "scale": layer_decay ** (top - depth)})
    return groups


def layer_depths(model: nn.Module, body: str) -> list[tuple[nn.Parameter, int]]:
    """Every weight with its depth: 0 for embeddings, 1 … n for n blocks, n + 1 for all that stands above them."""
    inside = [(name, weight) for name, weight in model.named_parameters() if name.startswith(body + ".")]
    numbers = {name: int(found[1]) for name, _ in inside if (found := _NUMBER.search(name))}
    above = max(numbers.values(), default=-1) + 2
    depths = {name: 0 if "embed" in name else numbers[name] + 1 if name in numbers else above for name, _ in inside}
    return [(weight, depths.get(name, above)) for name, weight in model.named_parameters()]

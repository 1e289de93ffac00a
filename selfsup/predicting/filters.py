"""The filters through which a network sees pixels first: of a convolution, or of patches."""

from torch import Tensor, nn

from selfsup.training.export import exported, open_model
from selfsup.training.processors import sees


def filters_of(name: str, *, trust_remote_code: bool = False) -> tuple[Tensor, str]:
    """Open a model and take the weights of its first layer.

    Args:
        name: folder of a run, exported folder, checkpoint or Hub id.
        trust_remote_code: run Python files that come with the model; our own need none.
    Returns:
        (filters, channels, height, width), those with the largest weights first, and what they are, in words.
    Raises:
        ValueError: nothing opens under that name, or it does not look at pictures.
    """
    start = exported(name)
    network = open_model("AutoModel", start, trust_remote_code=trust_remote_code)
    config = network.config
    if not sees(config):
        raise ValueError(f"a model of pictures is wanted, but {name} is a {type(network).__name__}, which reads text")
    channels, size = config.num_channels, getattr(config, "patch_size", None)
    first = next((one for one in network.modules() if isinstance(one, nn.Conv2d) and one.in_channels == channels), None)
    if first is not None:
        weights = first.weight
        what = "patch embeddings" if first.stride == first.kernel_size != (1, 1) else "filters of the first convolution"
    else:
        table = network.get_input_embeddings()
        if not isinstance(table, nn.Linear) or not isinstance(size, int) or table.in_features != channels * size**2:
            raise ValueError(
                f"a model whose first layer is a convolution or reads patches is wanted, but {name} is a "
                f"{type(network).__name__} without one"
            )
        weights, what = table.weight.reshape(-1, channels, size, size), "patch embeddings"
    weights = weights.detach().float()
    return weights[weights.square().sum(dim=(1, 2, 3)).argsort(descending=True, stable=True)], what

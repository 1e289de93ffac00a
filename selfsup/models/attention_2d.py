"""Attention on a picture by relative position, and the weights with which it is a convolution."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SHARPNESS = 40.0  # a neighbour of the place that is meant gets exp(-40), less than float32 can add to 1


class RelativeAttention2d(nn.Module):
    """Every place of a feature map looks at all others; each head by a preferred displacement, and by content if asked.

    The score of a key at displacement d from its query is -sharpness * |d - centre|^2, plus the scaled product of query
    and key with `content`. But for a part that softmax forgets, it is the product of the vector sharpness * (-1, 2
    centre) of a head with the vector (|d|^2, d) of a displacement: the quadratic encoding of the source.

    Args:
        in_channels: of the feature map that comes.
        out_channels: of the one that goes.
        num_heads: at least 1.
        head_size: width of the values of a head, and of its queries and keys.
        bias: whether a bias is added to what goes.
        content: whether heads look at what stands at a place, too.
        frame: rows and columns of zeros around the picture that can be looked at; values have no bias, so what is found
            there is zero, as in the padding of a convolution.
    Source:
        Cordonnier et al. 2020, "On the Relationship between Self-Attention and Convolutional Layers", section 3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        num_heads: int,
        head_size: int,
        bias: bool = True,
        content: bool = False,
        frame: int = 0,
    ) -> None:
        super().__init__()
        self.frame = frame
        self.centre = nn.Parameter(torch.randn(num_heads, 2))
        self.sharpness = nn.Parameter(torch.ones(num_heads))
        self.value = nn.Linear(in_channels, num_heads * head_size, bias=False)
        self.output = nn.Linear(num_heads * head_size, out_channels, bias=bias)
        self.query_key = nn.Linear(in_channels, 2 * num_heads * head_size, bias=False) if content else None

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, in channels, height, width) -> (batch, out channels, height, width)."""
        batch, _, height, width = maps.shape
        framed = nn.functional.pad(maps, [self.frame] * 4)
        weights = self.scores(maps, framed).softmax(dim=-1)
        mixed = weights @ self._heads(self.value(as_tokens(framed)))  # (batch, heads, places, head_size)
        joined = mixed.transpose(1, 2).reshape(batch, height * width, -1)
        return self.output(joined).transpose(1, 2).reshape(batch, -1, height, width)

    def scores(self, maps: Tensor, framed: Tensor) -> Tensor:
        """How much each place (query) looks at each place of the framed map (key): (batch or 1, heads, places, framed
        places)."""
        queries, keys = places(maps.shape[2:], maps.device), places(framed.shape[2:], maps.device)
        displacement = (keys - self.frame)[None] - queries[:, None]  # (places, framed places, 2)
        distance = (displacement - self.centre[:, None, None]).square().sum(dim=-1)
        scores = (-self.sharpness[:, None, None] * distance)[None]
        if self.query_key is None:
            return scores
        query, _ = self._heads(self.query_key(as_tokens(maps))).chunk(2, dim=-1)
        _, key = self._heads(self.query_key(as_tokens(framed))).chunk(2, dim=-1)
        return scores + query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5

    def _heads(self, tokens: Tensor) -> Tensor:
        """(batch, places, heads * width) -> (batch, heads, places, width)."""
        return tokens.unflatten(-1, (len(self.centre), -1)).transpose(1, 2)


def as_tokens(maps: Tensor) -> Tensor:
    """(batch, channels, height, width) -> (batch, places, channels), row by row."""
    return maps.flatten(2).transpose(1, 2)


def places(sides: Sequence[int], device: torch.device) -> Tensor:
    """Row and column of every place of a map of this height and width, (places, 2) int64, row by row."""
    return torch.cartesian_prod(*(torch.arange(side, device=device) for side in sides))


@torch.no_grad()
def as_convolution(convolution: nn.Conv2d) -> RelativeAttention2d:
    """Attention with a head for each place of a kernel, which computes what the convolution computes.

    Each head looks at one displacement alone, and values and output together hold the matrix that the kernel has there.
    With zero padding they are equal everywhere, since the attention looks at a frame of zeros of the same width. With
    padding_mode "replicate" there is no frame: where a displacement leaves the picture, softmax finds the nearest place
    of the picture, which is what "replicate" repeats. So attention without a frame, on a convolution with zero padding,
    would equal it in the interior only: as far from the border as the kernel reaches.

    Args:
        convolution: of stride 1, not grouped, that keeps the size of a picture; of any dilation.
    Returns:
        the attention, in the type and on the device of the convolution. Its weights are copies.
    Raises:
        ValueError: a convolution that attention of all places to all places cannot be.
    Source:
        Cordonnier et al. 2020, theorem 1 and lemma 1; Andreoli 2019, "Convolution, attention and structure embedding".
    """
    kernel, dilation = convolution.kernel_size, convolution.dilation
    reach = [(size - 1) * step for size, step in zip(kernel, dilation, strict=True)]
    _check(convolution, reach)
    matrices = convolution.weight.flatten(2).permute(2, 0, 1)  # (heads, out channels, in channels)
    num_heads, out_channels, in_channels = matrices.shape
    zeros = convolution.padding_mode == "zeros"
    attention = RelativeAttention2d(
        in_channels, out_channels, num_heads=num_heads, head_size=min(in_channels, out_channels),
        bias=convolution.bias is not None, frame=max(reach) // 2 if zeros else 0,
    ).to(matrices)  # fmt: skip
    steps = torch.tensor(dilation, device=matrices.device)
    attention.centre.copy_(places(kernel, matrices.device) * steps - torch.tensor(reach).to(steps) / 2)
    attention.sharpness.fill_(SHARPNESS)
    identity = torch.eye(min(in_channels, out_channels)).to(matrices).expand(num_heads, -1, -1)
    value, output = (identity, matrices) if in_channels <= out_channels else (matrices, identity)
    attention.value.weight.copy_(value.flatten(0, 1))
    attention.output.weight.copy_(output.transpose(0, 1).flatten(1))
    if convolution.bias is not None:
        attention.output.bias.copy_(convolution.bias)
    return attention


def _check(convolution: nn.Conv2d, reach: list[int]) -> None:
    """Refuse what moves on by more than one place, mixes channels by groups, or changes the size of a picture."""
    padding = convolution.padding
    keeps = padding == "same" or (not isinstance(padding, str) and [2 * each for each in padding] == reach)
    for fine, what in (
        (convolution.stride == (1, 1), f"a stride of 1, but {convolution.stride} came"),
        (convolution.groups == 1, f"one group, but {convolution.groups} came"),
        (not any(each % 2 for each in reach), f"a kernel with a middle, but {convolution.kernel_size} came"),
        (keeps, f"a padding of {tuple(each // 2 for each in reach)}, which keeps the size, but {padding} came"),
        (convolution.padding_mode in ("zeros", "replicate"), f"padding with zeros or replicate, but "
         f'"{convolution.padding_mode}" came'),
    ):  # fmt: skip
        if not fine:
            raise ValueError(f"attention can be a convolution with {what}: make one of this kind")

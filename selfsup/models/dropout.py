"""Dropout that asks for chance less often, which is most of its time on a CPU."""

import torch
from torch import Tensor, nn

BITS = 16  # of chance for every number: a share is met to 1 / 2^16
EACH = 64 // BITS  # numbers that one draw of the generator serves


class Dropout(nn.Dropout):
    """As `torch.nn.Dropout`, with other draws from the same generator; see `drop`."""

    def forward(self, input: Tensor) -> Tensor:
        return drop(input, self.p, training=self.training)


def drop(numbers: Tensor, share: float, *, training: bool) -> Tensor:
    """Set a share of the numbers to 0, each by chance, and scale the others so that their mean stays.

    On a CPU torch asks its generator once for every number; here one draw of 64 bits serves four. Elsewhere, and where
    a compiler fuses it all, torch's own is as good.

    Args:
        numbers: of any shape.
        share: 0-1, to 1 / 2^16.
        training: outside of it nothing is dropped.
    """
    dropped = round(share * 2**BITS)
    by_torch = numbers.device.type != "cpu" or torch.compiler.is_compiling()
    if not training or by_torch or not 0 < dropped < 2**BITS:
        return nn.functional.dropout(numbers, share, training)
    drawn = torch.empty(-(-numbers.numel() // EACH), dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
    bits = drawn.view(torch.int16)[: numbers.numel()].view(numbers.shape)
    kept = (bits >= dropped - 2 ** (BITS - 1)).to(numbers.dtype)
    return numbers * kept.mul_(2**BITS / (2**BITS - dropped))

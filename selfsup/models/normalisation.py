"""Normalisation of feature maps by name: of what a layer gives, or of the weights of its convolution."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from transformers import initialization as init

OF_WEIGHTS = ("weight", "spectral")
POWER_ITERATIONS = 15  # until the largest singular value of fresh weights is known well; torch's own number


class BatchRenorm2d(nn.BatchNorm2d):
    """Batch normalisation that trains with what it evaluates with.

    In training a batch is normalised by its own mean and deviation, then brought to where the running averages would
    have put it: x = (x - m) / s * r + d, with r = s / S and d = (m - M) / S for averages M and S, no gradient through r
    and d, and both held within limits. Within the limits a batch gets what evaluation gives it. The limits are those of
    batch normalisation (r = 1, d = 0) while the averages are young, and grow then.

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: share of a batch in the running averages.
        steps: batches in training until which the limits stay, and from which they are full; linear between.
        limits: largest r (its inverse is the least) and largest d, either way.
    Source:
        Ioffe 2017, "Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized Models",
        algorithm 1. As in torch's batch normalisation, the average is of variances (unbiased ones), not of deviations.
    """

    momentum: float
    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        steps: tuple[int, int] = (200, 1000),
        limits: tuple[float, float] = (3.0, 5.0),
    ) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)
        if not 0 <= steps[0] <= steps[1]:
            raise ValueError(f"the limits of batch renormalisation grow from one step to a later one, but {steps} came")
        if limits[0] < 1 or limits[1] < 0:
            raise ValueError(f"the limits of r and d are at least 1 and 0, but {limits} came")
        self.steps, self.limits = steps, limits

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same shape and type."""
        if not self.training:
            return super().forward(hidden)
        wide = hidden.to(torch.promote_types(hidden.dtype, self.running_mean.dtype))  # 16 bits cannot average
        variance, mean = torch.var_mean(wide, dim=(0, 2, 3), correction=0)
        deviation = (variance + self.eps).sqrt()
        scale, shift = self._corrections(mean.detach(), deviation.detach())
        factor = self.weight * scale / deviation
        moved = self.bias + self.weight * (shift - scale * mean / deviation)
        self._remember(mean.detach(), variance.detach(), hidden.numel() // hidden.shape[1])
        return (wide * factor[:, None, None] + moved[:, None, None]).to(hidden.dtype)

    def _corrections(self, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
        """r and d of every channel, (channels) each, within the limits of this step."""
        start, full = self.steps
        seen = self.num_batches_tracked
        share = ((seen - start) / max(full - start, 1)).clamp(0, 1).masked_fill(seen >= full, 1.0)
        largest, furthest = 1 + share * (self.limits[0] - 1), share * self.limits[1]
        usual = (self.running_var + self.eps).sqrt()
        scale = (deviation / usual).clamp(1 / largest, largest)
        return scale, ((mean - self.running_mean) / usual).clamp(-furthest, furthest)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        unbiased = variance * (count / max(count - 1, 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)


def normalise(config, channels: int) -> nn.Module:
    """What normalises a feature map of (batch, channels, height, width), before its activation.

    "batch" and "batch_renorm": each channel over the batch and all places; "layer": each picture over all channels and
    places; "instance": each channel of each picture; "group": each group of channels of each picture. All learn a scale
    and a shift of every channel. Nothing is done here for "weight", "spectral" (see `normalise_weights`) and "none".

    Args:
        config: a `ConvNetConfig`.
        channels: of the feature map.
    Source:
        Ioffe & Szegedy 2015 (batch); Ba et al. 2016 (layer); Ulyanov et al. 2016 (instance); Wu & He 2018 (group).
    """
    eps, momentum = config.norm_eps, config.norm_momentum
    if config.normalisation == "batch":
        return nn.BatchNorm2d(channels, eps=eps, momentum=momentum)
    if config.normalisation == "batch_renorm":
        steps, limits = tuple(config.renorm_steps), tuple(config.renorm_limits)
        return BatchRenorm2d(channels, eps=eps, momentum=momentum, steps=steps, limits=limits)
    if config.normalisation == "layer":
        return nn.GroupNorm(1, channels, eps=eps)  # unlike nn.LayerNorm it fits pictures of any size
    if config.normalisation == "instance":
        return nn.InstanceNorm2d(channels, eps=eps, affine=True)
    if config.normalisation == "group":
        return nn.GroupNorm(config.norm_groups, channels, eps=eps)
    return nn.Identity()


def normalise_weights(config, convolution: nn.Conv2d) -> nn.Module:
    """The convolution, its weights parametrised by torch where `config.normalisation` is one of weights.

    "weight": a length of every output channel's weights, and their direction; "spectral": weights over their largest
    singular value, as a matrix (output channels, all else).

    Source:
        Salimans & Kingma 2016, "Weight Normalization"; Miyato et al. 2018, "Spectral Normalization for Generative
        Adversarial Networks".
    """
    if config.normalisation == "weight":
        return weight_norm(convolution)
    if config.normalisation == "spectral":
        return spectral_norm(convolution)
    return convolution


def has_bias(config) -> bool:
    """Whether a convolution needs a bias: not where what follows takes the mean away and learns a shift."""
    return config.normalisation in (*OF_WEIGHTS, "none")


@torch.no_grad()
def start_convolution(convolution: nn.Conv2d) -> None:
    """Fresh weights by the number of inputs, so that variances survive ReLU; only what was not loaded is touched.

    Source:
        He et al. 2015, "Delving Deep into Rectifiers", section 2.2.
    """
    if convolution.bias is not None:
        init.zeros_(convolution.bias)
    if not hasattr(convolution, "parametrizations"):
        init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        return
    parts: Any = convolution.parametrizations.weight  # type: ignore[union-attr]
    if hasattr(parts, "original0"):  # lengths and directions of weight normalisation
        init.kaiming_normal_(parts.original1, nonlinearity="relu")
        init.copy_(parts.original0, parts.original1.flatten(1).norm(dim=1).view_as(parts.original0))
        return
    if getattr(parts.original, "_is_hf_initialized", False):
        return
    init.kaiming_normal_(parts.original, nonlinearity="relu")
    for vector in parts[0].buffers():  # singular vectors, which every look at the weights in training brings nearer
        init.normal_(vector)
    training = parts.training
    parts.train()
    for _ in range(POWER_ITERATIONS):
        _ = convolution.weight
    parts.train(training)

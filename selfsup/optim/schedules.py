"""How the learning rate rises and falls over a run."""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine", "wsd"]


def factor(
    step: int,
    *,
    schedule: Schedule,
    warmup_steps: int,
    num_steps: int | None,
    cooldown_share: float = 0.5,
) -> float:
    """What the peak learning rate is multiplied by.

    Args:
        step: from 0.
        schedule: after the warm-up: "constant"; "linear" or "cosine" down to 0; or "wsd", constant until the last
            `cooldown_share` of the run and then linear down to 0 (warm-up, stable, decay).
        warmup_steps: straight line from 0 to 1; the first step is one stride above 0.
        num_steps: of the whole run; may be None during the warm-up, which does not depend on it.
        cooldown_share: of the whole run, 0-1; for "wsd" alone.
    Returns:
        0-1.
    Source:
        Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations" ("wsd").
    Example:
        >>> [factor(s, schedule="linear", warmup_steps=2, num_steps=6) for s in range(6)]
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant" or num_steps is None:
        return 1.0
    start = warmup_steps
    if schedule == "wsd":
        start = max(warmup_steps, round(num_steps * (1 - cooldown_share)))
    passed = max(0.0, (step - start) / max(num_steps - start, 1))
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(passed, 1.0)))
    return max(0.0, 1 - passed)

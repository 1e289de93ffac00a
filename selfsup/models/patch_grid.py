"""Where patches lie in a picture: sinusoids, rotations and windows of two dimensions, made once."""

import torch
from torch import Tensor, nn

from .positions import angles, sinusoids


class PatchGrid(nn.Module):
    """The tables that depend on places alone: made with the model, moved with it, never saved.

    Args:
        config: of the model.
    """

    cosine: Tensor
    sine: Tensor
    visible: Tensor
    sinusoids: Tensor

    def __init__(self, config) -> None:
        super().__init__()
        self.config = config
        for name, table in grid_tables(config).items():
            self.register_buffer(name, table, persistent=False)

    def forward(self, places: Tensor | None = None) -> tuple[Tensor | None, tuple[Tensor, Tensor] | None]:
        """The mask of attention and the turns of queries and keys.

        Args:
            places: (batch, patches) int64, where only some patches of a picture are read; all if absent.
        Returns:
            (batch or 1, 1, tokens, tokens) bool, True = visible, or None: all is; and cosine and sine, each
            (batch or 1, 1, tokens, head_size), or None. Tokens are the patches, after a class token if there is one.
        """
        if places is not None and self.config.pooling == "class":
            places = nn.functional.pad(places + 1, (1, 0))
        mask = turns = None
        if self.config.window is not None:
            chosen = self.visible if places is None else self.visible[places[:, :, None], places[:, None, :]]
            mask = chosen[None, None] if places is None else chosen[:, None]
        if self.config.position_type == "rotary":
            cosine, sine = (
                table[None, None] if places is None else table[places][:, None] for table in (self.cosine, self.sine)
            )
            turns = cosine, sine
        return mask, turns


def grid_tables(config) -> dict[str, Tensor]:
    """What a `PatchGrid` holds, for all patches of a picture, after a class token if there is one.

    Args:
        config: a `PatchTransformerConfig`.
    Returns:
        for rotary positions `cosine` and `sine` (tokens, head_size): the first half of the pairs of axes turns by the
        row, the second by the column, and a class token not at all; for sinusoidal ones `sinusoids` (patches, hidden),
        as large as fresh weights; for a window `visible` (tokens, tokens) bool.
    Source:
        Heo et al. 2024, "Rotary Position Embedding for Vision Transformer", section 3.2 (axial).
    """
    side = config.image_size // config.patch_size
    rows, columns = (axis.flatten() for axis in torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"))
    has_class = int(config.pooling == "class")
    tables: dict[str, Tensor] = {}
    if config.position_type == "rotary":
        width = config.hidden_size // config.num_attention_heads // 2
        turns = torch.cat([angles(axis, width, config.rope_base) for axis in (rows, columns)], dim=-1)
        turns = nn.functional.pad(torch.cat([turns, turns], dim=-1), (0, 0, has_class, 0))
        tables |= {"cosine": turns.cos(), "sine": turns.sin()}
    if config.position_type == "sinusoidal":
        width = config.hidden_size // 2
        waves = torch.cat([sinusoids(axis, width, config.rope_base) for axis in (rows, columns)], dim=-1)
        tables["sinusoids"] = waves * config.initializer_range
    if config.window is not None:
        distance = torch.maximum(*((axis[:, None] - axis).abs() for axis in (rows, columns)))
        pad = (has_class, 0, has_class, 0)
        tables["visible"] = nn.functional.pad(distance <= config.window, pad, value=True)
    return tables

"""What a unit of a convolutional network sees of the picture, computed layer by layer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of one layer see; rows and columns alike.

    Unit number i sees the pixels from `offset + i * jump` to `offset + i * jump + size - 1`, those of them that lie in
    the picture.

    Args:
        name: of the layer in a `ConvNetModel`.
        units: in a row of the layer.
        size: pixels in a row that one unit sees.
        jump: pixels between the fields of neighbours.
        offset: first pixel of the first unit's field; below 0 where it begins in the padding.
    """

    name: str
    units: int
    size: int
    jump: int
    offset: int


def receptive_field(config) -> list[ReceptiveField]:
    """The exact receptive field of every convolution and pooling of a network; a shortcut around a stage sees less.

    Args:
        config: a `ConvNetConfig`.
    Returns:
        one for each layer, in the order in which a picture goes through them. `units` is below 1 where the picture is
        too small for the layer.
    Source:
        Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural Networks", section 2.
    """
    units, size, jump, offset = config.image_size, 1, 1, 0
    fields = []
    for name, kernel, stride, padding in layers(config):
        units = (units + 2 * padding - kernel) // stride + 1
        size += (kernel - 1) * jump
        offset -= padding * jump
        jump *= stride
        fields.append(ReceptiveField(name, units, size, jump, offset))
    return fields


def layers(config) -> list[tuple[str, int, int, int]]:
    """Name, kernel size, stride and padding of every convolution and pooling; strides that shrink a stage included."""
    found: list[tuple[str, int, int, int]] = []
    number = 0
    for stage, depth in enumerate(config.stage_depths):
        shrinks = stage > 0
        if shrinks and config.pooling == "max":
            found.append((f"stages.{stage}.pool", 2, 2, 0))
        for layer in range(depth):
            kernel = at(config.kernel_sizes, number)
            stride = at(config.strides, number) * (2 if shrinks and layer == 0 and config.pooling == "stride" else 1)
            padding = (kernel - 1) // 2 if config.paddings == "same" else at(config.paddings, number)
            found.append((f"stages.{stage}.layers.{layer}", kernel, stride, padding))
            number += 1
    return found


def at(values, number: int):
    """One value for all, or that of this number."""
    return values[number] if isinstance(values, list | tuple) else values

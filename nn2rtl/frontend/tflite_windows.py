"""Sliding windows of TensorFlow Lite's operators, and the order of their axes."""

from __future__ import annotations

from dataclasses import dataclass

from nn2rtl.frontend.tflite_context import OperatorContext

_MAX_SIZE = 1 << 20


@dataclass(frozen=True)
class Window:
    """A window over height and width.

    Parameters
    ----------
    strides, dilations : tuple of int
        Of height and width.
    pads : tuple of int
        Above, left, below, right.
    result : tuple of int
        Number of positions along height and width.
    """

    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    result: tuple[int, int]


def window(
    context: OperatorContext, size: tuple[int, int], kernel: tuple[int, int], *, dilated: bool
) -> Window:
    """The window that an operator's options describe.

    Parameters
    ----------
    size, kernel : tuple of int
        Height and width.
    dilated : bool
        Whether the operator has dilations.
    """
    strides = context.integer("StrideH"), context.integer("StrideW")
    dilations = 1, 1
    if dilated:
        dilations = context.integer("DilationHFactor"), context.integer("DilationWFactor")
    if not all(1 <= n <= _MAX_SIZE for n in (*strides, *dilations, *kernel)):
        raise context.invalid(
            f"kernel {list(kernel)}, strides {list(strides)}, dilations {list(dilations)}"
        )
    padding = context.integer("Padding")
    if padding not in (0, 1):
        raise context.invalid(f"padding number {padding}")
    before, after, result = [0, 0], [0, 0], [0, 0]
    for axis in range(2):
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        if padding == 0:  # SAME
            result[axis] = -(-size[axis] // strides[axis])
            total = max((result[axis] - 1) * strides[axis] + extent - size[axis], 0)
            before[axis], after[axis] = total // 2, total - total // 2
        else:  # VALID
            result[axis] = (size[axis] - extent) // strides[axis] + 1
    if min(result) < 1:
        raise context.invalid(f"a window of {list(kernel)} does not fit input {list(size)}")
    return Window(
        strides, dilations, (before[0], before[1], after[0], after[1]), (result[0], result[1])
    )


def to_channels_first(context: OperatorContext, node: str) -> str:
    """[height, width, channels] to [channels, height, width]."""
    return context.permuted(node, (2, 0, 1), "channels_first")


def to_channels_last(context: OperatorContext, node: str) -> str:
    """[channels, height, width] to [height, width, channels]."""
    return context.permuted(node, (1, 2, 0), "channels_last")

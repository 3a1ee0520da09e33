"""Sliding windows of convolutions and pools: strides, padding and the size of the result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.values import Tensor

_MAX_SIZE = 1 << 20


@dataclass(frozen=True)
class Window:
    """A window over spatial axes.

    Parameters
    ----------
    kernel, strides, dilations : tuple of int
        One for each spatial axis.
    pads : tuple of int
        Begin of each spatial axis, then end of each, as far as windows reach.
    stated : tuple of int
        The pads that the file states, without what ``ceil_mode`` adds at the end.
    result : tuple of int
        Number of positions along each axis.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    stated: tuple[int, ...]
    dilations: tuple[int, ...]
    result: tuple[int, ...]


def spatial_rank(context: NodeContext, x: Tensor) -> int:
    """Number of spatial axes of a channels-first tensor: 1 or 2."""
    rank = len(x.shape) - 1
    if rank < 1:
        raise context.invalid(f"input of shape {list(x.batched)} has no spatial axes")
    if rank > 2:
        raise context.unsupported(
            f"{rank} spatial axes (input {list(x.batched)})", "use 1-D or 2-D layers"
        )
    return rank


def window(context: NodeContext, sizes: tuple[int, ...], kernel: tuple[int, ...] | None) -> Window:
    """The window that a node's attributes describe.

    Parameters
    ----------
    sizes : tuple of int
        Of the spatial axes.
    kernel : tuple of int or None
        The weight's, if there is a weight; else attribute ``kernel_shape`` is required.
    """
    rank = len(sizes)
    stated = context.integers("kernel_shape")
    if kernel is None:
        if stated is None:
            raise context.invalid("attribute 'kernel_shape' is missing")
        kernel = stated
    elif stated is not None and stated != kernel:
        raise context.invalid(
            f"kernel_shape {list(stated)} contradicts the weight's {list(kernel)}"
        )
    strides = context.integers("strides") or (1,) * rank
    dilations = context.integers("dilations") or (1,) * rank
    pads = context.integers("pads") or (0,) * (2 * rank)
    for name, given, count, least in (
        ("kernel_shape", kernel, rank, 1),
        ("strides", strides, rank, 1),
        ("dilations", dilations, rank, 1),
        ("pads", pads, 2 * rank, 0),
    ):
        if len(given) != count or any(not least <= number <= _MAX_SIZE for number in given):
            raise context.invalid(f"attribute {name!r} is {list(given)[:8]}, for {rank} axes")
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations))
    pads = _padding(context, sizes, extent, strides, pads)
    up = bool(context.integer("ceil_mode", 0))
    room = tuple(sizes[a] + pads[a] + pads[a + rank] - extent[a] for a in range(rank))
    if any(r < 0 and (not up or -r >= s) for r, s in zip(room, strides)):
        raise context.invalid(f"a window of {list(extent)} does not fit input {list(sizes)}")
    if not up:
        result = tuple(r // s + 1 for r, s in zip(room, strides))
        return Window(kernel, strides, pads, pads, dilations, result)
    # A position more where something is left over, unless it starts in the padding at the end.
    more = [-(-r // s) + 1 for r, s in zip(room, strides)]
    result = tuple(
        n - ((n - 1) * s >= size + before) for n, s, size, before in zip(more, strides, sizes, pads)
    )
    over = tuple(max((n - 1) * s - r, 0) for n, s, r in zip(result, strides, room))
    reach = pads[:rank] + tuple(pad + extra for pad, extra in zip(pads[rank:], over))
    return Window(kernel, strides, reach, pads, dilations, result)


def check_inside(context: NodeContext, area: Window, sizes: tuple[int, ...]) -> None:
    """ModelError if a window has no position in the tensor, but in padding only."""
    for axis, size in enumerate(sizes):
        kernel, dilation = area.kernel[axis], area.dilations[axis]
        starts = np.arange(area.result[axis]) * area.strides[axis] - area.pads[axis]
        first = np.maximum(-(starts // dilation), 0)  # tap from which on it is not ahead
        inside = (first < kernel) & (starts + first * dilation < size)
        if not np.all(inside):
            raise context.invalid(f"a window lies in padding {list(area.pads)} altogether")


def _padding(
    context: NodeContext,
    sizes: tuple[int, ...],
    extent: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
) -> tuple[int, ...]:
    mode = context.text("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return pads
    if mode == "VALID":
        return (0,) * len(pads)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise context.invalid(f"auto_pad is {mode!r}")
    totals = [max((-(-n // s) - 1) * s + e - n, 0) for n, s, e in zip(sizes, strides, extent)]
    small = [total // 2 for total in totals]
    large = [total - less for total, less in zip(totals, small)]
    return tuple(small + large if mode == "SAME_UPPER" else large + small)

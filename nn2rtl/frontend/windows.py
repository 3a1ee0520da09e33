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
    kernel, strides, dilations, pads = _attributes(context, rank, kernel)
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


def _attributes(
    context: NodeContext, rank: int, kernel: tuple[int, ...] | None
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel, strides, dilations and pads."""
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
    return kernel, strides, dilations, pads


def check_inside(context: NodeContext, area: Window, sizes: tuple[int, ...]) -> None:
    """ModelError if a window has no position in the tensor, but in padding only."""
    for axis, size in enumerate(sizes):
        kernel, dilation = area.kernel[axis], area.dilations[axis]
        starts = np.arange(area.result[axis]) * area.strides[axis] - area.pads[axis]
        first = np.maximum(-(starts // dilation), 0)  # tap from which on it is not ahead
        inside = (first < kernel) & (starts + first * dilation < size)
        if not np.all(inside):
            raise context.invalid(f"a window lies in padding {list(area.pads)} altogether")


@dataclass(frozen=True)
class TransposedWindow:
    """The window of a transposed convolution; attributes as in `ConvTranspose`."""

    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    output_padding: tuple[int, ...]
    result: tuple[int, ...]


def transposed_window(
    context: NodeContext, sizes: tuple[int, ...], kernel: tuple[int, ...]
) -> TransposedWindow:
    """The window that the attributes of a ConvTranspose node describe."""
    rank = len(sizes)
    kernel, strides, dilations, pads = _attributes(context, rank, kernel)
    more = context.integers("output_padding") or (0,) * rank
    if len(more) != rank or any(
        not 0 <= n < max(s, d) for n, s, d in zip(more, strides, dilations)
    ):
        raise context.invalid(f"attribute 'output_padding' is {list(more)[:8]}, for {rank} axes")
    reach = [
        (size - 1) * s + (k - 1) * d + 1 for size, s, k, d in zip(sizes, strides, kernel, dilations)
    ]
    mode = context.text("auto_pad", "NOTSET")
    wanted = context.integers("output_shape")
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise context.invalid(f"auto_pad is {mode!r}")
    if wanted is not None:
        wanted = wanted[-rank:]  # some tools state the batch and channels, too
        if len(wanted) != rank or any(not 1 <= size <= _MAX_SIZE for size in wanted):
            raise context.invalid(f"attribute 'output_shape' is {list(wanted)[:8]}")
    elif mode.startswith("SAME"):
        wanted = tuple(size * s for size, s in zip(sizes, strides))
    if wanted is not None:
        totals = [n + o - w for n, o, w in zip(reach, more, wanted)]
        if any(total < 0 for total in totals):
            raise context.unsupported(
                f"output {list(wanted)} is larger than what its windows reach {reach}",
                "pad the result with a Pad node instead",
            )
        small = [total // 2 for total in totals]
        large = [total - less for total, less in zip(totals, small)]
        pads = tuple(small + large if mode == "SAME_UPPER" else large + small)
    elif mode == "VALID":
        pads = (0,) * (2 * rank)
    result = tuple(
        n + o - before - after for n, o, before, after in zip(reach, more, pads, pads[rank:])
    )
    if any(size < 1 for size in result):
        raise context.invalid(f"pads {list(pads)} leave nothing of the result")
    return TransposedWindow(strides, pads, dilations, more, result)


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

"""Valid-only pipelines: the rigid datapaths inside engines, and helpers for their widths."""

from collections.abc import Sequence
from typing import TypeVar

from amaranth.hdl import Module, Shape, ShapeLike, Signal, Value, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "Pipe",
    "channel_rows",
    "checked_range",
    "named",
    "register",
    "shape_bounds",
    "shape_containing",
]

T = TypeVar("T")


def shape_bounds(shape: ShapeLike) -> tuple[int, int]:
    """Return the least and the greatest integer that `shape` holds."""
    cast = Shape.cast(shape)
    if cast.signed:
        return -(1 << (cast.width - 1)), (1 << (cast.width - 1)) - 1
    return 0, (1 << cast.width) - 1


def shape_containing(low: int, high: int) -> Shape:
    """Return the narrowest shape, of at least 1 bit, that holds `low` to `high`.

    It is signed if and only if `low` is negative.

    Raises
    ------
    ValueError
        If `low` is greater than `high`.
    """
    if low > high:
        raise ValueError(f"a range must not be empty, not {low!r} to {high!r}")
    if low >= 0:
        return unsigned(max(1, high.bit_length()))
    return signed(1 + max((-1 - low).bit_length(), max(high, 0).bit_length()))


def checked_range(shape: ShapeLike, given: tuple[int, int] | None) -> tuple[int, int]:
    """Return `given`, a (least, greatest) pair, or the bounds of `shape` if it is None.

    Raises
    ------
    ValueError
        If `given` is empty or does not fit into `shape`.
    """
    low, high = shape_bounds(shape)
    if given is None:
        return low, high
    if not low <= given[0] <= given[1] <= high:
        raise ValueError(
            f"range must be (least, greatest) within {low} to {high} of {shape!r}, not {given!r}"
        )
    return given[0], given[1]


def channel_rows(values: Sequence[T], lanes: int, channels: int) -> list[list[T]]:
    """Deal constants of channels out to lanes: channel c is ``fold * lanes + lane``.

    Parameters
    ----------
    values : sequence
        One value for each channel, or a single one that stands for all.
    lanes, channels : int
        `channels` is a multiple of `lanes`; the quotient is the number of folds.

    Returns
    -------
    list of list
        For each lane the values of its folds.

    Raises
    ------
    ValueError
        If the numbers do not go together.
    """
    if lanes < 1 or channels < 1 or channels % lanes:
        raise ValueError(f"channels must be a multiple of the lanes, not {channels} of {lanes}")
    if len(values) not in (1, channels):
        raise ValueError(f"need 1 or {channels} values for the channels, not {len(values)}")
    full = list(values) * (channels // len(values))
    return [full[lane::lanes] for lane in range(lanes)]


def named(m: Module, value: Value, shape: ShapeLike, name: str) -> Signal:
    """Give `value` a signal of its own, of a `shape` that holds it (cheaper than using slices)."""
    signal = Signal(Shape.cast(shape), name=name)
    m.d.comb += signal.eq(value)
    return signal


def register(m: Module, value: Value, shape: ShapeLike, name: str) -> Signal:
    """Delay `value` by one cycle, in a datapath register (not reset) of a `shape` that holds it."""
    signal = Signal(Shape.cast(shape), name=name, reset_less=True)
    m.d.sync += signal.eq(value)
    return signal


class Pipe(wiring.Component):
    """Base of the valid-only pipelines: no ready, no clock enable, a fixed latency.

    An input valid in cycle ``t`` gives its output in cycle ``t + latency``. One input a cycle.

    Parameters
    ----------
    in_payload, out_payload : ShapeLike
        Shapes of the payloads.
    latency : int
        Registers from input to output, at least 0.

    Members
    -------
    i : In(stream.Signature(in_payload, always_ready=True))
        Inputs.
    o : Out(stream.Signature(out_payload, always_ready=True))
        Outputs.

    Raises
    ------
    ValueError
        If `latency` is negative.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, in_payload: ShapeLike, out_payload: ShapeLike, latency: int) -> None:
        if latency < 0:
            raise ValueError(f"latency must be at least 0, not {latency!r}")
        self._latency = latency
        super().__init__({
            "i": In(stream.Signature(in_payload, always_ready=True)),
            "o": Out(stream.Signature(out_payload, always_ready=True)),
        })

    @property
    def latency(self) -> int:
        """Cycles from input to output."""
        return self._latency

    def _valid_chain(self, m: Module) -> list[Value]:
        """Drive ``o.valid``; element k of the result tells of a beat that came k cycles ago."""
        valids: list[Value] = [self.i.valid]
        for stage in range(1, self._latency + 1):
            valid = Signal(name=f"valid_{stage}")
            m.d.sync += valid.eq(valids[-1])
            valids.append(valid)
        m.d.comb += self.o.valid.eq(valids[-1])
        return valids

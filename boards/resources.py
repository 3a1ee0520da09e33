"""How much of an FPGA a design needs, or a part has, counted in Xilinx 7-series primitives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

__all__ = ["Resources", "is_counted"]

# LUTs a primitive occupies, after AMD UG474 (7 Series CLB), tables of distributed RAM and SRL.
# LUT6_2 is one physical LUT with two outputs; an inverter that survives mapping becomes a LUT1.
_LUTS: dict[str, int] = {
    **{f"LUT{n}": 1 for n in range(1, 7)},
    "LUT6_2": 1,
    "INV": 1,
    "SRL16E": 1,
    "SRLC16E": 1,
    "SRLC32E": 1,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM128X1S": 2,
    "RAM256X1S": 4,
}

# A flip-flop site also holds a latch; the `_1` kinds are Yosys's falling-edge variants.
_FLIP_FLOPS = frozenset(
    {f"{kind}{edge}" for kind in ("FDRE", "FDSE", "FDCE", "FDPE") for edge in ("", "_1")}
    | {"LDCE", "LDPE"}
)

_BRAM36: dict[str, float] = {"RAMB36E1": 1.0, "RAMB18E1": 0.5}
_DSP = frozenset({"DSP48E1"})
_CARRY = frozenset({"CARRY4"})

# Known, but taking none of the five counted resources: wide multiplexers, buffers, constants.
_FREE = frozenset(
    {"MUXF7", "MUXF8", "BUFG", "BUFGCTRL", "BUFH", "IBUF", "OBUF", "OBUFT", "IOBUF", "GND", "VCC"}
)


def is_counted(kind: str) -> bool:
    """Whether :meth:`Resources.from_cells` knows the cost of the primitive ``kind``."""
    return (
        kind in _LUTS
        or kind in _FLIP_FLOPS
        or kind in _BRAM36
        or kind in _DSP
        or kind in _CARRY
        or kind in _FREE
    )


@dataclass(frozen=True)
class Resources:
    """Amount of each resource that a design needs or a part has.

    Attributes
    ----------
    lut : int
        Six-input look-up tables, in logic, as distributed RAM, or as shift register.
    ff : int
        Flip-flops and latches.
    bram36 : float
        36 kbit block RAMs; a lone 18 kbit half counts 0.5.
    dsp : int
        DSP48E1 slices.
    carry : int
        CARRY4 blocks, one per slice.
    """

    lut: int = 0
    ff: int = 0
    bram36: float = 0.0
    dsp: int = 0
    carry: int = 0

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all resources, in the order in which tables show them."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def total(cls, parts: Iterable[Resources]) -> Resources:
        """Sum of ``parts``; nothing for none."""
        return sum(parts, start=cls())

    @classmethod
    def from_cells(cls, cells: Mapping[str, int]) -> Resources:
        """Resources of a mapped netlist, from the number of cells of each kind.

        Kinds for which :func:`is_counted` is false add nothing; the caller reports them.
        """
        return cls(
            lut=sum(_LUTS.get(kind, 0) * count for kind, count in cells.items()),
            ff=sum(count for kind, count in cells.items() if kind in _FLIP_FLOPS),
            bram36=sum(_BRAM36.get(kind, 0.0) * count for kind, count in cells.items()),
            dsp=sum(count for kind, count in cells.items() if kind in _DSP),
            carry=sum(count for kind, count in cells.items() if kind in _CARRY),
        )

    def __getitem__(self, name: str) -> float:
        """Amount of one resource, by name.

        Raises
        ------
        KeyError
            ``name`` is none of :meth:`names`.
        """
        if name not in self.names():
            raise KeyError(name)
        amount: float = getattr(self, name)
        return amount

    def __add__(self, other: Resources) -> Resources:
        if not isinstance(other, Resources):
            return NotImplemented
        return self._combined(other, 1)

    def __sub__(self, other: Resources) -> Resources:
        if not isinstance(other, Resources):
            return NotImplemented
        return self._combined(other, -1)

    def __mul__(self, count: int) -> Resources:
        """What ``count`` copies need."""
        return Resources(
            lut=self.lut * count,
            ff=self.ff * count,
            bram36=self.bram36 * count,
            dsp=self.dsp * count,
            carry=self.carry * count,
        )

    def _combined(self, other: Resources, sign: int) -> Resources:
        return Resources(
            lut=self.lut + sign * other.lut,
            ff=self.ff + sign * other.ff,
            bram36=self.bram36 + sign * other.bram36,
            dsp=self.dsp + sign * other.dsp,
            carry=self.carry + sign * other.carry,
        )

    def fits(self, available: Resources) -> bool:
        """Whether ``available`` has enough of every resource for this need."""
        return not available.exceeded_by(self)

    def exceeded_by(self, needed: Resources) -> tuple[str, ...]:
        """Names of the resources of which ``needed`` asks more than there is here."""
        return tuple(name for name in self.names() if needed[name] > self[name])

    def utilisation(self, available: Resources) -> dict[str, float]:
        """Needed over available, by name; 1.0 is all of it.

        Resources that ``available`` has none of are 0.0 when unused, else infinite.
        """
        return {
            name: (
                self[name] / available[name]
                if available[name]
                else (float("inf") if self[name] else 0.0)
            )
            for name in self.names()
        }

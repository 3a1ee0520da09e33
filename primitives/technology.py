"""What a design is elaborated for: the `platform` that Amaranth passes to ``elaborate``."""

from enum import Enum

__all__ = ["Technology"]


class Technology(Enum):
    """Primitives that an elaborated design may contain.

    Any other platform, None included, counts as `GENERIC`.
    """

    GENERIC = "generic"
    """None: plain registers, adders and multipliers, for Amaranth's simulator and any FPGA."""
    XILINX7 = "xilinx7"
    """DSP48E1 slices of the 7 series."""

"""Models of the FPGA's own cells, for Verilog that has such cells in it."""

from __future__ import annotations

import re
from importlib import resources

__all__ = ["CELLS", "models_of"]

CELLS = {"DSP48E1": "dsp48e1.v"}
"""Cells that an emitted core may have, and the file beside this module that models each."""


def models_of(verilog: str) -> dict[str, str]:
    """Models of those cells that a Verilog text has and does not define, by file name."""
    folder = resources.files("nn2rtl.sim")
    return {
        file: (folder / file).read_text(encoding="utf-8")
        for cell, file in CELLS.items()
        if re.search(rf"^\s*\\?{cell}\b", verilog, re.MULTILINE)
        and not re.search(rf"\bmodule\s+{cell}\b", verilog)
    }

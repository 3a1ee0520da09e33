"""nn2rtl: quantized neural networks to verified FPGA hardware.

The names below are loaded when first used, so that importing a part of the package (a primitive,
say) does not load the whole compiler.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nn2rtl.design import Design, compile, load
    from nn2rtl.errors import Nn2RtlError
    from nn2rtl.options import Options, load_options
    from nn2rtl.simulation import Stalls

__version__ = "0.1.0"

_HOMES = {
    "Design": "nn2rtl.design",
    "Nn2RtlError": "nn2rtl.errors",
    "Options": "nn2rtl.options",
    "Stalls": "nn2rtl.simulation",
    "compile": "nn2rtl.design",
    "load": "nn2rtl.design",
    "load_options": "nn2rtl.options",
}

__all__ = [
    "Design",
    "Nn2RtlError",
    "Options",
    "Stalls",
    "compile",
    "load",
    "load_options",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

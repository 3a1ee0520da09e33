"""The scripts of examples/frameworks: train, export, and agree with the framework."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "examples" / "frameworks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("from_*.py"))
# Equal outputs at least, of 3600. Averages of QDQ files tie often, where float32 rounds to
# either side; TensorFlow 2.20 and later requantize dense layers in float32. All else is exact.
LEAST_EQUAL = {"ort_qdq.onnx": 2600, "keras_qdq.onnx": 2600}
LEAST_EQUAL_FLOAT = {"keras.tflite": 3500}
FILES = {
    "from_brevitas.py": {"brevitas_qonnx.onnx", "brevitas_qcdq.onnx"},
    "from_torch.py": {"torch_qdq.onnx", "ort_qdq.onnx", "ort_qoperator.onnx"},
    "from_keras.py": {"keras.tflite", "keras_qdq.onnx"},
    "from_qkeras.py": {"qkeras_qonnx.onnx"},
}
REPORT = re.compile(
    r"(?P<file>\S+): accuracy (?P<accuracy>[\d.]+)%\n"
    r"  same class as the framework: (?P<same>\d+) of 360\n"
    r"  equal outputs: (?P<equal>\d+) of 3600, largest difference (?P<difference>[\d.]+)% .*\n"
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_is_described(script):
    text = (FOLDER / script).read_text()
    described = ast.get_docstring(ast.parse(text))
    (extra,) = re.findall(r'pip install "nn2rtl\[(\w+)\]"', described)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert extra in project["project"]["optional-dependencies"]
    manual = (ROOT / "docs" / "frameworks.md").read_text()
    assert f"examples/frameworks/{script}" in manual
    assert all(name in manual for name in FILES[script])


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_script_agrees_with_its_framework(script, tmp_path):
    missing = _missing(FOLDER / script)
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    run = subprocess.run(
        [sys.executable, FOLDER / script, "--out", tmp_path, "--epochs", "3"],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert run.returncode == 0, run.stderr
    reports = {match["file"]: match for match in REPORT.finditer(run.stdout)}
    assert set(reports) == FILES[script], run.stdout
    least = LEAST_EQUAL | (LEAST_EQUAL_FLOAT if _requantizes_in_float() else {})
    for name, match in reports.items():
        assert float(match["accuracy"]) > 80, match[0]  # trained, briefly
        assert int(match["same"]) >= 355, match[0]
        assert int(match["equal"]) >= least.get(name, 3600), match[0]
        assert float(match["difference"]) < 1, match[0]  # at most one or two steps of 255


def _requantizes_in_float():
    """Whether TensorFlow's reference kernel of dense layers computes in floating point."""
    if importlib.util.find_spec("tensorflow") is None:
        return False
    import tensorflow as tf

    return tuple(int(part) for part in tf.__version__.split(".")[:2]) >= (2, 20)


def _missing(script):
    """Packages that a script and its neighbours import and that are not installed."""
    wanted, read = set(), [script]
    for path in read:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                neighbour = FOLDER / f"{name}.py"
                if neighbour.exists():
                    read.append(neighbour)
                else:
                    wanted.add(name.split(".")[0])
    return sorted(name for name in wanted if importlib.util.find_spec(name) is None)

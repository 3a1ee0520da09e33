"""What the scripts of this folder share: the digits, and the comparison with nn2rtl."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nn2rtl

Array = npt.NDArray[Any]
INTERVAL_CYCLES = 2_000  # as fast as 50,000 images a second at 100 MHz


def load_split() -> tuple[Array, Array, Array, Array]:
    """Training images and labels, test images and labels; images [N, 8, 8] from 0 to 1."""
    images, labels = load_digits(return_X_y=True)
    x = images.astype(np.float32).reshape(-1, 8, 8) / 16
    x_train, x_test, y_train, y_test = train_test_split(
        x, labels.astype(np.int64), test_size=0.2, stratify=labels, random_state=0
    )
    return x_train, y_train, x_test, y_test


def report(path: Path, x: Array, expected: Array, labels: Array) -> None:
    """Import a file, run its exact integer model, and compare it with its framework.

    Parameters
    ----------
    path : Path
        Model file.
    x : array [N, ...]
        Inputs, of the shape and type that the file takes.
    expected : array [N, 10]
        The framework's outputs for them: real numbers, or the integers of a quantized output,
        which are then compared as such.
    labels : array [N]
        True classes.
    """
    design = nn2rtl.compile(nn2rtl.load(path), "arty_a7", {"interval_cycles": INTERVAL_CYCLES})
    raw = np.issubdtype(expected.dtype, np.integer)
    found = design.emulate(x, raw=raw).reshape(expected.shape)
    classes, wanted = found.argmax(axis=1), expected.argmax(axis=1)
    span = float(expected.max()) - float(expected.min())
    differences = np.abs(found - expected.astype(np.float64)) / span
    equal = differences < 1e-5  # what is left of float32
    print(f"{path.name}: accuracy {(classes == labels).mean():.2%}")
    print(f"  same class as the framework: {(classes == wanted).sum()} of {classes.size}")
    print(f"  equal outputs: {equal.sum()} of {equal.size}, "
          f"largest difference {differences.max():.2%} of their range")
    print(f"  predicted: {design.planned.timing.latency_cycles} cycles of latency, "
          f"{design.planned.total.lut:.0f} LUTs, {design.planned.total.dsp:.0f} DSP slices",
          flush=True)

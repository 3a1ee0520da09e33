"""Tensors of a TensorFlow Lite file while it is imported.

Tensors keep the shape that the file states, with the batch. The model graph has no batch: there a
leading 1 is dropped. An integer tensor of the file is a tensor of the graph that has the same
integers as its values; only the network's output, or a DEQUANTIZE, gives them their real meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import TypeAlias

from nn2rtl.errors import ModelError
from nn2rtl.frontend.tflite_data import Array, TensorData

RANGES = {"INT8": (-128, 127), "UINT8": (0, 255)}
REQUANTIZE = "convert the network with full integer quantization (int8, TFLITE_BUILTINS_INT8)"


@dataclass(frozen=True)
class Quantization:
    """``scale * (q - zero_point)`` for integers q from `low` to `high`.

    Parameters
    ----------
    scale : float
        A float32 number.
    """

    scale: float
    zero_point: int
    low: int
    high: int


@dataclass(frozen=True)
class Activation:
    """A tensor that is computed from the network's input.

    Parameters
    ----------
    node : str
        Node of the graph that yields it.
    shape : tuple of int
        As the file states it.
    quantization : Quantization or None
        Of integers; None where the graph's tensor has the real values.
    tail : str
        The operator that ends the network, if it comes from one.
    coded : bool
        Whether a `Quantize` of the same integers stands before it, so that hardware has them, too.
    """

    node: str
    shape: tuple[int, ...]
    quantization: Quantization | None
    tail: str = ""
    coded: bool = True


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant of the file, or one that was computed from constants.

    Parameters
    ----------
    values : array
        The integers or floats.
    data : TensorData
        What the file says of it (of the result, for a computed one).
    """

    values: Array
    data: TensorData

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)


Value: TypeAlias = Activation | Constant


def sample(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape of the file without the batch."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


def quantization_of(data: TensorData) -> Quantization:
    """The quantization of an integer tensor.

    Raises
    ------
    ModelError
        If the file has none that fits.
    """
    if data.type not in RANGES:
        raise ModelError(f"a quantized tensor of type {data.type}", node=data.name)
    low, high = RANGES[data.type]
    if len(data.scales) != 1 or len(data.zero_points) > 1:
        raise ModelError(
            f"tensor with {len(data.scales)} scales, which needs one",
            node=data.name,
            remedy=REQUANTIZE,
        )
    scale = float(data.scales[0])
    zero_point = int(data.zero_points[0]) if len(data.zero_points) else 0
    if not (isfinite(scale) and scale > 0 and low <= zero_point <= high):
        raise ModelError(f"scale {scale} and zero point {zero_point}", node=data.name)
    return Quantization(scale, zero_point, low, high)


def meaning(given: Quantization) -> tuple[Fraction, Fraction]:
    """Scale and offset that turn the integers into real numbers."""
    scale = Fraction(given.scale)
    return scale, -scale * given.zero_point

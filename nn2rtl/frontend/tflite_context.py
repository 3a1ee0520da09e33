"""What a handler sees of the TensorFlow Lite operator that it imports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite, prod
from typing import Any, TypeAlias

import numpy as np

from nn2rtl.errors import ModelError, UnsupportedError
from nn2rtl.frontend.context import MAX_TENSOR
from nn2rtl.frontend.tflite_data import OperatorData, TensorData
from nn2rtl.frontend.tflite_values import (
    REQUANTIZE,
    Activation,
    Constant,
    Quantization,
    Value,
    quantization_of,
    sample,
)
from nn2rtl.ir.model import Affine, Gather, ModelGraph, ModelOp, Reshape, Transpose
from nn2rtl.ir.types import IntArray, RealType, exact_array

MAX_GATHER = 1 << 22  # elements of a rearranged tensor
ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")


@dataclass(frozen=True)
class OperatorContext:
    """An operator with its operands, and the graph to append to.

    Parameters
    ----------
    operator : OperatorData
        As in the file.
    inputs : tuple
        Values of its inputs, None for omitted ones.
    results : tuple of TensorData
        What the file says of its outputs.
    graph : ModelGraph
        Graph under construction.
    """

    operator: OperatorData
    inputs: tuple[Value | None, ...]
    results: tuple[TensorData, ...]
    graph: ModelGraph

    # Errors

    def invalid(self, reason: str, remedy: str | None = None) -> ModelError:
        """An error about an operator that contradicts its definition."""
        return ModelError(f"{self.operator.op}: {reason}", node=self.operator.label, remedy=remedy)

    def unsupported(self, reason: str, remedy: str | None = None) -> UnsupportedError:
        """An error about a valid operator that is not supported."""
        return UnsupportedError(
            f"{self.operator.op}: {reason}", node=self.operator.label, remedy=remedy
        )

    # Options

    def integer(self, name: str) -> int:
        """An integer (or truth value) among the options."""
        value = self.operator.options[name]
        if not isinstance(value, int):
            raise self.invalid(f"option {name} is {value!r}")
        return value

    def real(self, name: str) -> float:
        """A finite number among the options."""
        value = self.operator.options[name]
        if not isinstance(value, int | float) or not isfinite(value):
            raise self.invalid(f"option {name} is {value!r}")
        return float(value)

    def fused(self) -> str:
        """Name of the fused activation."""
        number = self.integer("FusedActivationFunction")
        name = ACTIVATIONS[number] if 0 <= number < len(ACTIVATIONS) else f"number {number}"
        if name not in ACTIVATIONS[:4]:
            raise self.unsupported(f"fused activation {name}", "use RELU, RELU6 or none")
        return name

    # Operands

    def optional(self, index: int) -> Value | None:
        """An operand that may be omitted."""
        return self.inputs[index] if index < len(self.inputs) else None

    def value(self, index: int) -> Value:
        """An operand of any kind."""
        value = self.optional(index)
        if value is None:
            raise self.invalid(f"input {index} is missing")
        return value

    def activation(self, index: int) -> Activation:
        """An operand that is computed from the network's input."""
        value = self.value(index)
        if isinstance(value, Constant):
            raise self.unsupported(f"input {index} is a constant")
        return value

    def integers(self, index: int) -> tuple[Activation, Quantization]:
        """An int8 operand, with what its integers mean."""
        value = self.activation(index)
        if value.quantization is None:
            raise self.unsupported("its operand is a float tensor", REQUANTIZE)
        if value.quantization.low != -128:
            raise self.unsupported("its operand is a uint8 tensor", REQUANTIZE)
        return value, value.quantization

    def constant(self, index: int) -> Constant:
        """An operand that is a constant."""
        value = self.value(index)
        if isinstance(value, Activation):
            raise self.unsupported(f"input {index} is not a constant", "export it as a constant")
        return value

    def whole_numbers(self, index: int, most: int = 64) -> IntArray:
        """A constant operand with integers."""
        values = self.constant(index).values
        if values.dtype.kind not in "iu" or values.size > most:
            raise self.invalid(f"input {index} has to be a short list of integers")
        return np.asarray(values, dtype=np.int64)

    def axis(self, axis: int, shape: tuple[int, ...]) -> int:
        """An axis of a shape, counted from the front."""
        if not -len(shape) <= axis < len(shape):
            raise self.invalid(f"axis {axis} of shape {list(shape)}")
        return axis % len(shape)

    def sample_axis(self, axis: int, shape: tuple[int, ...]) -> int:
        """An axis of a shape of the file, as an axis of the graph's tensor."""
        axis = self.axis(axis, shape)
        dropped = len(shape) - len(sample(shape))
        if axis < dropped:
            raise self.unsupported("it works across the batch dimension", "use another axis")
        return axis - dropped

    def image(self, value: Activation) -> tuple[int, int, int]:
        """Height, width and channels of a tensor [1, height, width, channels]."""
        if len(value.shape) != 4:
            raise self.invalid(f"input of shape {list(value.shape)}, which needs four dimensions")
        if value.shape[0] != 1:
            raise self.unsupported(f"batch size {value.shape[0]}", "export with a batch of one")
        return value.shape[1], value.shape[2], value.shape[3]

    # Results

    def quantization(self, index: int = 0) -> Quantization:
        """What the file says of an integer result."""
        data = self.results[index]
        if data.type != "INT8":
            raise self.unsupported(f"a result of type {data.type}", REQUANTIZE)
        return quantization_of(data)

    def same_quantization(self, given: Quantization) -> None:
        """Raise unless the result has the operand's quantization."""
        if self.quantization() != given:
            raise self.invalid(
                "operand and result have different scales or zero points",
                "insert a QUANTIZE, or convert the network again with a newer converter",
            )

    def check_shape(self, shape: tuple[int, ...], index: int = 0) -> tuple[int, ...]:
        """The shape of a result; raises unless it is what the file states."""
        if any(size < 1 for size in shape):
            raise self.invalid(f"the result has the empty shape {list(shape)}")
        stated = self.results[index].shape
        if stated != shape:
            raise self.invalid(f"the result has shape {list(shape)}, the file says {list(stated)}")
        return shape

    def emit(
        self, op: ModelOp, operands: tuple[str, ...], shape: tuple[int, ...], role: str = ""
    ) -> str:
        """Append an operation to the graph.

        Parameters
        ----------
        operands : tuple of str
            Nodes of the graph.
        shape : tuple of int
            Of the graph's tensor.
        role : str
            Which part of the operator it is.
        """
        if any(size < 1 for size in shape):
            raise self.invalid(f"the result has the empty shape {list(shape)}")
        if prod(shape) > MAX_TENSOR:
            raise self.unsupported(f"a result of shape {list(shape)} is too large")
        label = self.operator.label
        name = f"{label}.{role}" if role else label
        return self.graph.append(name, op, operands, RealType(shape), label)

    # Small operations on nodes of the graph

    def affine(self, node: str, scale: Any, offset: Any, role: str = "scaled") -> str:
        """``scale * x + offset``; the node itself if that changes nothing."""
        exact = exact_array(scale), exact_array(offset)
        if not np.any(exact[0] != 1) and not np.any(exact[1] != 0):
            return node
        return self.emit(Affine(*exact), (node,), self.graph.types[node].shape, role)

    def permuted(self, node: str, permutation: tuple[int, ...], role: str) -> str:
        """Permuted axes; the node itself if they stay."""
        if permutation == tuple(range(len(permutation))):
            return node
        shape = self.graph.types[node].shape
        shape = tuple(shape[axis] for axis in permutation)
        return self.emit(Transpose(permutation), (node,), shape, role)

    def reshaped(self, node: str, shape: tuple[int, ...]) -> str:
        """The same elements under another shape."""
        if self.graph.types[node].shape == shape:
            return node
        return self.emit(Reshape(), (node,), shape, "reshaped")

    def gathered(self, node: str, index: IntArray, shape: tuple[int, ...]) -> str:
        """Elements at constant places of a node, for a result of a shape of the file."""
        graph_shape = sample(shape)
        if index.size > MAX_GATHER:
            raise self.unsupported(f"a result of shape {list(shape)} is too large")
        flat = index.ravel()
        if flat.size == self.graph.types[node].size and np.array_equal(flat, np.arange(flat.size)):
            return self.reshaped(node, graph_shape)
        return self.emit(Gather(index.reshape(graph_shape)), (node,), graph_shape)

    def result(self, node: str, like: Activation, shape: tuple[int, ...]) -> Activation:
        """A result with the quantization of an operand."""
        return replace(like, node=node, shape=shape)


Handler: TypeAlias = Callable[[OperatorContext], "Value | tuple[Value, ...]"]


@dataclass(frozen=True)
class Registration:
    """A handler; `supported` says what of the operator is, `behind_tail` that it may follow one."""

    handler: Handler
    supported: str
    behind_tail: bool


HANDLERS: dict[str, Registration] = {}


def handles(*names: str, supported: str, behind_tail: bool = False) -> Callable[[Handler], Handler]:
    """Register a function as the importer of operators.

    Raises
    ------
    ValueError
        If an operator is registered already.
    """

    def register(handler: Handler) -> Handler:
        for name in names:
            if name in HANDLERS:
                raise ValueError(f"operator {name!r} has a handler already")
            HANDLERS[name] = Registration(handler, supported, behind_tail)
        return handler

    return register

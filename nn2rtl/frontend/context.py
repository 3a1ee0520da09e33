"""What a handler sees of the node that it imports."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isfinite, prod

from nn2rtl.errors import ModelError, UnsupportedError
from nn2rtl.frontend.source import Array, AttributeValue, SourceNode, SourceTensor
from nn2rtl.frontend.values import Constant, Tensor, Value
from nn2rtl.ir.model import ModelGraph, ModelOp
from nn2rtl.ir.types import ExactArray, RealType, exact_array

MAX_TENSOR = 1 << 26  # elements of one sample
MAX_EXACT = 1 << 22  # elements of a constant in rational arithmetic
MAX_WEIGHTS = 1 << 24  # elements of a quantized constant


@dataclass(frozen=True)
class NodeContext:
    """A node with its operands, and the graph to append to.

    Parameters
    ----------
    node : SourceNode
        As in the file.
    inputs : tuple
        Values of its inputs, None for omitted ones.
    graph : ModelGraph
        Graph under construction.
    opset : int
        Version of the standard operators.
    """

    node: SourceNode
    inputs: tuple[Value | None, ...]
    graph: ModelGraph
    opset: int

    # Errors

    def invalid(self, reason: str, remedy: str | None = None) -> ModelError:
        """An error about a node that contradicts its operator's definition."""
        return ModelError(f"{self.node.op}: {reason}", node=self.node.label, remedy=remedy)

    def unsupported(self, reason: str, remedy: str | None = None) -> UnsupportedError:
        """An error about a valid node that is not supported."""
        return UnsupportedError(f"{self.node.op}: {reason}", node=self.node.label, remedy=remedy)

    # Attributes

    def has(self, name: str) -> bool:
        """Whether the attribute is given."""
        return name in self.node.attributes

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        value = self.node.attributes.get(name, default)
        if not isinstance(value, int):
            raise self._wrong_type(name, value, "an integer")
        return value

    def real(self, name: str, default: float) -> float:
        """A finite or infinite float attribute; NaN is refused."""
        value = self.node.attributes.get(name, default)
        if not isinstance(value, float):
            raise self._wrong_type(name, value, "a float")
        if value != value:
            raise self.invalid(f"attribute {name!r} is not a number")
        return value

    def finite(self, name: str, default: float) -> float:
        """A finite float attribute."""
        value = self.real(name, default)
        if not isfinite(value):
            raise self.invalid(f"attribute {name!r} is {value}")
        return value

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self.node.attributes.get(name, default)
        if not isinstance(value, str):
            raise self._wrong_type(name, value, "a string")
        return value

    def integers(self, name: str) -> tuple[int, ...] | None:
        """An attribute that is a list of integers; None if absent."""
        value = self.node.attributes.get(name)
        if value is None:
            return None
        if not isinstance(value, tuple):
            raise self._wrong_type(name, value, "a list of integers")
        result = tuple(item for item in value if isinstance(item, int))
        if len(result) != len(value):
            raise self._wrong_type(name, value, "a list of integers")
        return result

    def tensor_attribute(self, name: str) -> Array:
        """The numbers of an attribute that is a constant tensor."""
        return self.constant_attribute(name).values

    def constant_attribute(self, name: str) -> Constant:
        """An attribute that is a constant tensor."""
        value = self.node.attributes.get(name)
        if not isinstance(value, SourceTensor):
            raise self._wrong_type(name, value, "a tensor")
        return Constant(value.load(), value.integers)

    def _wrong_type(self, name: str, value: AttributeValue | None, wanted: str) -> ModelError:
        given = "absent" if value is None else f"{str(value)[:60]!r}"
        return self.invalid(
            f"attribute {name!r} has to be {wanted}, not {given}",
            "the file is not valid ONNX: export it again",
        )

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

    def tensor(self, index: int) -> Tensor:
        """An operand that is computed from the network's input."""
        value = self.value(index)
        if not isinstance(value, Tensor):
            raise self.unsupported(
                f"input {index} is a constant",
                "fold constants before the export (onnxsim, or qonnx-cleanup)",
            )
        return value

    def numbers(self, index: int) -> Array:
        """A constant operand as an array of floats, integers or Fractions."""
        value = self.value(index)
        if isinstance(value, Tensor):
            raise self.unsupported(
                f"input {index} ({self.node.inputs[index]!r}) is computed from the network's input",
                "it has to be a constant",
            )
        return value.values if isinstance(value, Constant) else value.exact()

    def exact(self, index: int) -> ExactArray:
        """A constant operand as an array of Fractions."""
        return self.to_exact(self.numbers(index))

    def to_exact(self, values: Array) -> ExactArray:
        """An array of numbers as Fractions; ModelError unless they are finite."""
        if values.size > MAX_EXACT:
            raise self.unsupported(f"constant of {values.size} elements is too large")
        try:
            return exact_array(values)
        except ValueError:
            raise self.invalid("a constant contains NaN or infinity") from None

    def whole_numbers(self, index: int) -> tuple[int, ...]:
        """A constant operand of rank 0 or 1 with integers, such as axes or a shape."""
        values = self.numbers(index)
        if values.ndim > 1 or values.size > 64:
            raise self.invalid(f"input {index} has to be a short list of integers")
        exact = self.to_exact(values).ravel()
        if any(number.denominator != 1 for number in exact):
            raise self.invalid(f"input {index} has to hold integers")
        return tuple(int(number) for number in exact)

    # Result

    def emit(
        self,
        op: ModelOp,
        operands: tuple[Tensor, ...],
        shape: tuple[int, ...],
        tail: str = "",
        rows: bool | None = None,
    ) -> Tensor:
        """Append an operation to the graph.

        Parameters
        ----------
        shape : tuple of int
            Of the result, without the batch dimension.
        tail : str
            The name of an operation that ends a network.
        rows : bool, optional
            See `Tensor`; as the operands by default.
        """
        if any(size < 1 for size in shape):
            raise self.invalid(f"the result has the empty shape {list(shape)}")
        if prod(shape) > MAX_TENSOR:
            raise self.unsupported(f"a result of shape {list(shape)} is too large")
        label = self.node.label
        names = tuple(operand.name for operand in operands)
        name = self.graph.append(label, op, names, RealType(shape), label)
        first = operands[0]
        return Tensor(name, shape, tail or first.tail, first.rows if rows is None else rows)


def shown(number: Fraction) -> str:
    """A number of any size for a message."""
    try:
        return repr(float(number))
    except OverflowError:
        return "a number beyond 1e308"

"""Random small networks over all operators, as ONNX files.

A network is drawn by a function that picks one of n things: from hypothesis, whose failures shrink,
or from a seed. Scales are small fractions with powers of two as denominators, so that float64
computes what is rational exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Pick = Callable[[int], int]
Shape = tuple[int, ...]

QONNX = "qonnx.custom_op.general"
ROUNDINGS = (
    "ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN", "ROUND_TO_ZERO",
)  # fmt: skip
ACTIVATIONS = (
    ("Relu", {}), ("LeakyRelu", {"alpha": 0.125}), ("Sigmoid", {}), ("Tanh", {}), ("Elu", {}),
    ("HardSigmoid", {"alpha": 0.25}), ("HardSwish", {}), ("Softplus", {}), ("Softsign", {}),
    ("Exp", {}), ("Abs", {}), ("Clip", {}), ("PRelu", {}), ("Swish", {}), ("Gelu", {}),
    ("Erf", {}), ("Neg", {}), ("Floor", {}), ("Round", {}), ("Celu", {}),
)  # fmt: skip


class RandomModel:
    """A network, drawn layer by layer.

    Parameters
    ----------
    pick : callable
        ``pick(n)`` is a number from 0 to n - 1.
    dialect : str
        ``qonnx`` (any number of bits, any rounding) or ``qdq`` (bytes, as onnxruntime has them).
    size : int
        Most channels, and pixels of an axis, of the input.
    layers : int
        Most layers.
    """

    def __init__(self, pick: Pick, dialect: str = "qonnx", size: int = 6, layers: int = 4) -> None:
        self.pick = pick
        self.dialect = dialect
        self.rng = np.random.default_rng(pick(1 << 16))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray[Any, Any]] = {}
        rank = self.one_of((1, 2, 3, 3, 3))
        self.input_shape: Shape = tuple(1 + pick(size) for _ in range(rank))
        self.shape = self.input_shape
        self.name = "x"
        self.quantize()
        self.earlier: list[tuple[str, Shape]] = []
        for _ in range(1 + pick(layers)):
            self.earlier.append((self.name, self.shape))
            self.layer()
            if pick(8):
                self.quantize()
        self.tail()

    def one_of(self, things: Any) -> Any:
        return things[self.pick(len(things))]

    # Parts

    def constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(values)
        return name

    def node(self, op: str, *more: str, shape: Shape | None = None, domain: str = "",
             **attributes: Any) -> str:  # fmt: skip
        """Append a node that reads the current tensor first; its result is the current tensor."""
        self.name = self.side(op, (self.name, *more), domain, **attributes)
        self.shape = self.shape if shape is None else shape
        return self.name

    def side(self, op: str, inputs: tuple[str, ...], domain: str = "", **attributes: Any) -> str:
        """Append a node beside the current tensor."""
        result = f"t{len(self.nodes)}"
        node = helper.make_node(op, inputs, [result], f"{op}{len(self.nodes)}", domain=domain)
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        self.nodes.append(node)
        return result

    def scale(self, shape: Shape = ()) -> np.ndarray[Any, Any]:
        exponent = 2.0 ** -self.rng.integers(1, 5, shape)
        return (self.rng.choice([1, 1, 3, 5], shape) * exponent).astype(np.float32)

    def quantize(self) -> None:
        """A quantizer of activations."""
        if self.dialect == "qdq":
            kind = self.one_of((np.int8, np.uint8))
            zero = kind(self.rng.integers(0, 100) if self.pick(2) else 0)
            parameters = self.constant(self.scale()), self.constant(zero)
            self.node("QuantizeLinear", *parameters)
            self.node("DequantizeLinear", *parameters)
            return
        if not self.pick(8):
            self.node("BipolarQuant", self.constant(self.scale()), domain=QONNX)
            return
        bits, signed = 1 + self.pick(8), self.pick(2)
        zero = self.rng.integers(-2, 3) if bits > 1 and not self.pick(4) else 0
        self.node(
            "Quant", self.constant(self.scale()), self.constant(np.float32(zero)),
            self.constant(np.float32(bits)), domain=QONNX, signed=int(signed or bits == 1),
            narrow=int(bits > 2 and not self.pick(4)),
            rounding_mode=self.one_of(ROUNDINGS) if not self.pick(3) else "ROUND",
        )  # fmt: skip

    def weights(self, shape: Shape, axis: int = 0) -> str:
        """Quantized weights, per tensor or per channel."""
        bits = 2 + self.pick(3) if self.dialect == "qonnx" else 8
        per_channel = self.pick(2)
        high = min((1 << (bits - 1)) - 1, 7)
        integers = self.rng.integers(-high, high + 1, shape)
        sizes = [1] * len(shape)
        sizes[axis] = shape[axis] if per_channel else 1
        if self.dialect == "qdq":
            scale = self.scale((shape[axis],) if per_channel else ())
            zero = np.zeros(scale.shape, np.int8)
            operands = [self.constant(v) for v in (integers.astype(np.int8), scale, zero)]
            return self.side("DequantizeLinear", tuple(operands), axis=axis)
        scale = self.scale(tuple(sizes) if per_channel else ())
        values = (integers * scale).astype(np.float32)
        operands = [self.constant(v) for v in (values, scale, np.float32(0), np.float32(bits))]
        return self.side("Quant", tuple(operands), QONNX, signed=1, narrow=0, rounding_mode="ROUND")

    def bias(self, count: int) -> tuple[str, ...]:
        if not self.pick(2):
            return ()
        return (self.constant((self.rng.integers(-9, 9, count) / 8).astype(np.float32)),)

    # Layers

    def layer(self) -> None:
        if len(self.shape) == 1:
            kinds = [self.dense, self.activation, self.skip, self.norm, self.slice, self.concat]
        else:
            kinds = [
                self.conv, self.conv, self.activation, self.pool, self.skip, self.concat,
                self.slice, self.pad, self.norm, self.transposed, self.resize, self.flatten,
                self.global_mean, self.shuffle, self.axes,
            ]  # fmt: skip
        self.one_of(kinds)()

    def window(self) -> dict[str, Any]:
        """Attributes of a sliding window over the spatial axes."""
        sizes = self.shape[1:]
        kernel = [1 + self.pick(min(3, n)) for n in sizes]
        dilations = [1 + self.pick(2) if (k - 1) * 2 < n else 1 for k, n in zip(kernel, sizes)]
        return {
            "kernel_shape": kernel,
            "strides": [1 + self.pick(2) for _ in sizes],
            "pads": [self.pick(k) for k in kernel] + [self.pick(k) for k in kernel],
            "dilations": dilations,
        }

    def windowed(self, window: dict[str, Any], ceil: bool = False) -> Shape:
        rank = len(self.shape) - 1
        result = []
        for axis in range(rank):
            dilation = window.get("dilations", [1] * rank)[axis]
            extent = (window["kernel_shape"][axis] - 1) * dilation + 1
            pads, stride = window["pads"], window["strides"][axis]
            room = self.shape[1 + axis] + pads[axis] + pads[axis + rank] - extent
            count = (-(-room // stride) if ceil else room // stride) + 1
            # A window that starts in the padding at the end is left out.
            if ceil and (count - 1) * stride >= self.shape[1 + axis] + pads[axis]:
                count -= 1
            result.append(count)
        return tuple(result)

    def conv(self) -> None:
        window, channels = self.window(), self.shape[0]
        groups = self.one_of([g for g in range(1, channels + 1) if channels % g == 0])
        outputs = groups * (1 + self.pick(3))
        weights = self.weights((outputs, channels // groups, *window["kernel_shape"]))
        shape = (outputs, *self.windowed(window))
        self.node("Conv", weights, *self.bias(outputs), shape=shape, group=groups, **window)

    def transposed(self) -> None:
        channels, sizes = self.shape[0], self.shape[1:]
        kernel = [1 + self.pick(3) for _ in sizes]
        strides = [1 + self.pick(2) for _ in sizes]
        pads = [self.pick(2) * (k > 1) for k in kernel] + [0] * len(sizes)
        shape = tuple(
            (n - 1) * s + k - p for n, s, k, p in zip(sizes, strides, kernel, pads)
        )
        outputs = 1 + self.pick(3)
        weights = self.weights((channels, outputs, *kernel), axis=1)
        if min(shape) < 1:
            return
        self.node(
            "ConvTranspose", weights, *self.bias(outputs), shape=(outputs, *shape),
            kernel_shape=kernel, strides=strides, pads=pads,
        )  # fmt: skip

    def dense(self) -> None:
        (inputs,), outputs = self.shape, 1 + self.pick(5)
        if self.pick(2):
            self.node("MatMul", self.weights((inputs, outputs), axis=1), shape=(outputs,))
        else:
            weights = self.weights((outputs, inputs))
            self.node("Gemm", weights, *self.bias(outputs), shape=(outputs,), transB=1)

    def activation(self) -> None:
        op, attributes = self.one_of(ACTIVATIONS)
        if op == "Clip":
            ends = np.sort(self.rng.integers(-8, 9, 2)) / 4
            self.node(op, *(self.constant(np.float32(end)) for end in ends))
        elif op == "PRelu":
            slope = (self.rng.integers(0, 5) / 8).astype(np.float32)
            self.node(op, self.constant(slope.reshape((1,) * len(self.shape))))
        elif op == "Swish":
            self.node("Mul", self.side("Sigmoid", (self.name,)))
        elif op == "Gelu":
            x, root = self.name, self.constant(np.float32(2**0.5))
            self.node("Div", root)
            self.node("Erf")
            self.node("Add", self.constant(np.float32(1)))
            self.node("Mul", x)
            self.node("Mul", self.constant(np.float32(0.5)))
        else:
            self.node(op, **attributes)

    def pool(self) -> None:
        kind, window, ceil = self.one_of(("MaxPool", "AveragePool")), self.window(), self.pick(2)
        if kind == "AveragePool":
            del window["dilations"]
            window["count_include_pad"] = self.pick(2)
        shape = (self.shape[0], *self.windowed(window, bool(ceil)))
        self.node(kind, shape=shape, ceil_mode=ceil, **window)

    def global_mean(self) -> None:
        if self.pick(2):
            self.node("GlobalAveragePool", shape=(self.shape[0], *(1 for _ in self.shape[1:])))
        else:
            axes = list(range(2, len(self.shape) + 1))
            self.node("ReduceMean", shape=self.shape[:1], axes=axes, keepdims=0)

    def another(self) -> str:
        """An earlier tensor of the current shape, or a function of the current one."""
        known = [name for name, shape in self.earlier if shape == self.shape]
        if known and self.pick(3):
            return self.one_of(known)
        name = self.name
        self.activation()
        self.quantize()
        other, self.name = self.name, name
        return other

    def skip(self) -> None:
        self.node(self.one_of(("Add", "Add", "Sub", "Mul")), self.another())

    def concat(self) -> None:
        axis = self.pick(len(self.shape))
        shape = tuple(n * (1 + (a == axis)) for a, n in enumerate(self.shape))
        self.node("Concat", self.another(), shape=shape, axis=axis + 1)

    def slice(self) -> None:
        axis = self.pick(len(self.shape))
        size = self.shape[axis]
        start, step = self.pick(size), 1 + self.pick(2)
        end = start + 1 + self.pick(size - start)
        shape = list(self.shape)
        shape[axis] = len(range(start, end, step))
        operands = ([start], [end], [axis + 1], [step])
        self.node("Slice", *map(self.constant, operands), shape=tuple(shape))

    def pad(self) -> None:
        rank = len(self.shape)
        pads = [self.pick(2) for _ in range(2 * rank)]
        shape = tuple(n + pads[a] + pads[a + rank] for a, n in enumerate(self.shape))
        counts = self.constant([0, *pads[:rank], 0, *pads[rank:]])
        fill = self.constant(np.float32(self.one_of((0, 0, 1))))
        self.node("Pad", counts, fill, shape=shape)

    def norm(self) -> None:
        """Batch normalization, or its arithmetic."""
        sizes = (1, self.shape[0], *(1 for _ in self.shape[1:]))
        factor = (self.rng.integers(-4, 6, sizes) / 4).astype(np.float32)
        self.node(self.one_of(("Mul", "Add", "Sub")), self.constant(factor))

    def resize(self) -> None:
        factors = [1 + self.pick(2) for _ in self.shape[1:]]
        shape = (self.shape[0], *(n * f for n, f in zip(self.shape[1:], factors)))
        scales = self.constant(np.float32([1, 1, *factors]))
        self.node(
            "Resize", "", scales, shape=shape, mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip

    def shuffle(self) -> None:
        if len(self.shape) == 3 and self.shape[0] % 4 == 0:
            channels, height, width = self.shape
            shape = (channels // 4, height * 2, width * 2)
            self.node("DepthToSpace", shape=shape, blocksize=2, mode=self.one_of(("DCR", "CRD")))

    def axes(self) -> None:
        rank = len(self.shape)
        order = [int(a) for a in self.rng.permutation(rank)]
        shape = tuple(self.shape[a] for a in order)
        self.node("Transpose", shape=shape, perm=[0, *(a + 1 for a in order)])

    def flatten(self) -> None:
        self.node("Flatten", shape=(int(np.prod(self.shape)),))

    def tail(self) -> None:
        if len(self.shape) == 1 and not self.pick(4):
            if self.pick(2):
                self.node("ArgMax", shape=(1,), axis=1, keepdims=1)
            else:
                self.node("Softmax", axis=1)

    @property
    def proto(self) -> onnx.ModelProto:
        """The network as an ONNX model."""
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, *self.input_shape))],
            [helper.make_empty_tensor_value_info(self.name)],
            [numpy_helper.from_array(np.asarray(v), k) for k, v in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", 14), helper.make_opsetid(QONNX, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def inputs(self, samples: int) -> np.ndarray[Any, Any]:
        """Real inputs in steps of 1/64, on ties as well."""
        shape = (samples, *self.input_shape)
        return np.rint(self.rng.normal(scale=96, size=shape)) / 64

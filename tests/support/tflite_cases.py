"""Networks of one operator, compared with TensorFlow Lite's reference kernels."""

import numpy as np
from tflite_models import TfliteFile, run_reference

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.frontend import load

SAMPLES = 24
NONE, RELU, N1_TO_1, RELU6 = range(4)
SAME, VALID = range(2)


class Case:
    """A network of few operators on int8 tensors of random content."""

    def __init__(self, seed=0):
        self.random = np.random.default_rng(seed)
        self.file = TfliteFile()

    def x(self, *shape, scale=0.05, zero_point=3):
        return self.file.tensor(shape, scale, zero_point)

    def weight(self, *shape, axis=0, channels=True, limit=127, **more):
        values = self.random.integers(-limit, limit + 1, shape).astype(np.int8)
        count = shape[axis] if channels else 1
        scales = self.random.uniform(0.001, 0.02, count)
        return self.file.constant(values, list(scales), axis=axis, **more)

    def bias(self, count):
        return self.file.constant(self.random.integers(-2000, 2000, count).astype(np.int32), 1e-4)

    def numbers(self, *values):
        return self.file.constant(np.array(values, dtype=np.int32))

    def apply(self, op, inputs, shape, options="", *, scale=0.05, zero_point=3, **fields):
        result = self.x(*shape, scale=scale, zero_point=zero_point)
        self.file.operator(op, inputs, [result], options, **fields)
        return result


def window(stride=(1, 1), padding=SAME, fused=NONE, dilation=None):
    fields = {
        "StrideH": stride[0], "StrideW": stride[1], "Padding": padding,
        "FusedActivationFunction": fused,
    }  # fmt: skip
    if dilation is not None:
        fields |= {"DilationHFactor": dilation[0], "DilationWFactor": dilation[1]}
    return fields


def emulated(path, data, x):
    path.write_bytes(data)
    return Emulator(integer_graph(load(path))).emulate(x, raw=True)


def result_size(size, kernel, fields):
    """Height and width of what a window makes of an image."""
    strides = fields["StrideH"], fields["StrideW"]
    dilations = fields.get("DilationHFactor", 1), fields.get("DilationWFactor", 1)
    extent = [0 if fields["Padding"] == SAME else (k - 1) * d for k, d in zip(kernel, dilations)]
    return tuple(-(-(n - e) // s) for n, e, s in zip(size, extent, strides))


def check(path, case, x, y, kernels="BUILTIN_REF"):
    """Assert that all integers from tensor x to tensor y are those of the kernels."""
    data = case.file.write([x], [y])
    shape = case.file.tensors[x]["shape"][1:]
    inputs = case.random.integers(-128, 128, (SAMPLES, *shape)).astype(np.int8)
    expected = run_reference(data, inputs, kernels)
    assert len(np.unique(expected)) > 1
    result = emulated(path / "model.tflite", data, inputs)
    np.testing.assert_array_equal(result, expected.reshape(result.shape))

"""TensorFlow Lite files that are damaged, hostile, or not supported: one clear error each."""

import random
import resource
from time import process_time

import numpy as np
import pytest
from tflite_models import TfliteFile

from nn2rtl.errors import ModelError, Nn2RtlError, UnsupportedError
from nn2rtl.frontend import load, tflite_operator_table

CONV = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}


def network():
    """Some operators of every kind in 3 kB."""
    file = TfliteFile()
    x = file.tensor((1, 6, 6, 2), 0.05, 3, name="x")
    weight = file.constant(np.ones((4, 3, 3, 2), dtype=np.int8), [0.01] * 4)
    bias = file.constant(np.arange(4, dtype=np.int32), 5e-4)
    y = file.tensor((1, 6, 6, 4), 0.1, -5)
    file.operator("CONV_2D", [x, weight, bias], [y], "Conv2DOptions", **CONV)
    total = file.tensor((1, 6, 6, 4), 0.1, -5)
    file.operator("ADD", [y, y], [total], "AddOptions")
    both = file.tensor((1, 6, 6, 8), 0.1, -5)
    file.operator("CONCATENATION", [y, total], [both], "ConcatenationOptions", Axis=3)
    bounds = [file.constant(np.array(v, dtype=np.int32)) for v in ([0] * 4, [1, 3, 6, 8], [1] * 4)]
    part = file.tensor((1, 3, 6, 8), 0.1, -5)
    file.operator("STRIDED_SLICE", [both, *bounds], [part], "StridedSliceOptions")
    gate = file.tensor((1, 3, 6, 8), 1 / 256, -128)
    file.operator("LOGISTIC", [part], [gate])
    axes = file.constant(np.array([1, 2], dtype=np.int32))
    mean = file.tensor((1, 8), 1 / 256, -128)
    file.operator("MEAN", [gate, axes], [mean], "ReducerOptions")
    weight = file.constant(np.ones((3, 8), dtype=np.int8), 0.02)
    logits = file.tensor((1, 3), 0.1, 0)
    file.operator("FULLY_CONNECTED", [mean, weight, -1], [logits], "FullyConnectedOptions")
    result = file.tensor((1, 3), 1 / 256, -128)
    file.operator("SOFTMAX", [logits], [result], "SoftmaxOptions", Beta=1.0)
    return file.write([x], [result])


@pytest.fixture
def write(tmp_path):
    def run(content):
        path = tmp_path / "model.tflite"
        path.write_bytes(content)
        return path

    return run


def refuses(path, message, error=ModelError):
    with pytest.raises(error, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    return caught.value


def test_mutated_files_never_crash(write):
    content = network()
    assert len(load(write(content))) > 20
    rng = random.Random(1)
    outcomes = set()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(400):
        changed = bytearray(content)
        if rng.random() < 0.1:
            del changed[rng.randrange(8, len(changed)) :]
        for _ in range(rng.choice((1, 1, 2, 8))):
            place = rng.randrange(8, len(changed))
            value = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
            changed[place] = value
            if rng.random() < 0.2:  # a whole offset or size
                changed[place & ~3 : (place & ~3) + 4] = bytes([value]) * 4
        start = process_time()
        try:
            load(write(changed))
            outcomes.add("graph")
        except Nn2RtlError as error:
            assert "\n" not in str(error)
            outcomes.add(type(error).__name__)
        assert process_time() - start < 2
    assert outcomes == {"graph", "ModelError", "UnsupportedError"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 18  # KiB


@pytest.mark.parametrize("size", [8, 20, 100, 1000])
def test_truncated_files(write, size):
    refuses(write(network()[:size]), "not a readable TensorFlow Lite file|has no|damaged")


def test_a_huge_tensor_is_not_allocated(write):
    file = TfliteFile()
    x = file.tensor((1, 4), 0.05, 3)
    sizes = file.constant(np.array([1, 1 << 28], dtype=np.int32))
    y = file.tensor((1, 1 << 30), 0.05, 3)
    file.operator("TILE", [x, sizes], [y], "TileOptions")
    refuses(write(file.write([x], [y])), "too large", UnsupportedError)


class Small:
    """A network of one operator, to be refused."""

    def __init__(self, kind="INT8", shape=(1, 4)):
        self.file = TfliteFile()
        self.x = self.file.tensor(
            shape, None if kind == "FLOAT32" else 0.05, 3, kind=kind, name="x"
        )

    def content(self, op, inputs, shape, options="", *, kind="INT8", scale=0.05, **fields):
        y = self.file.tensor(shape, scale, 3, kind=kind, name="head/y;other")
        self.file.operator(op, [self.x, *inputs], [y], options, **fields)
        return self.file.write([self.x], [y])


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ("CUSTOM TFLite_Detection_PostProcess", "custom operator 'TFLite_Detection_PostProcess'"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "recurrent operator .* feed-forward"),
        ("WHILE", "control flow"),
        ("REDUCE_PROD", "computes a shape that is not fixed; convert with a batch size of one"),
        ("RESIZE_BILINEAR", "operator RESIZE_BILINEAR is not supported; docs/operators.md"),
    ],
)
def test_operators_without_hardware(write, op, message):
    error = refuses(write(Small().content(op, [], (1, 4))), message, UnsupportedError)
    assert error.node == "head/y"


def test_other_number_formats(write):
    small = Small("FLOAT32")
    content = small.content("LOGISTIC", [], (1, 4), kind="FLOAT32", scale=None)
    refuses(
        write(content), "LOGISTIC: its operand is a float tensor; .*full integer", UnsupportedError
    )
    content = Small("UINT8").content("LOGISTIC", [], (1, 4), kind="UINT8")
    refuses(write(content), "LOGISTIC: its operand is a uint8 tensor", UnsupportedError)
    content = Small("INT16").content("LOGISTIC", [], (1, 4), kind="INT16")
    refuses(write(content), "an input of type INT16", UnsupportedError)


def test_weights(write):
    def fully_connected(data, scale, **more):
        small = Small()
        weight = small.file.constant(data, scale, **more)
        return small.content("FULLY_CONNECTED", [weight, -1], (1, 2), "FullyConnectedOptions")

    ones = np.ones((2, 4), dtype=np.int8)
    refuses(write(fully_connected(ones.astype(np.float32), None)), "weights of type FLOAT32")
    refuses(write(fully_connected(ones, [0.1, 0.2], axis=1)), "2 scales along axis 1")
    refuses(write(fully_connected(ones, [0.1, 0.2], zero_point=[1, 1])), "zero points other than 0")
    refuses(write(fully_connected(ones, None)), "weights with 0 scales")
    refuses(write(fully_connected(ones[:1], 0.1)), r"shape \[1, 1\], the file says \[1, 2\]")
    refuses(write(fully_connected(ones[:, :3], 0.1)), "does not fit|for input")
    refuses(write(fully_connected(ones, 1e9)), "overflow 32 bits")


def test_shapes_and_batches(write):
    refuses(write(Small(shape=(2, 4)).content("RELU", [], (2, 4))), "batch size 2")
    refuses(write(Small(shape=(1, 0)).content("RELU", [], (1, 0))), r"input of shape \[1, 0\]")
    small = Small()
    content = small.content("RESHAPE", [small.file.constant(np.array([3], dtype=np.int32))], (3,))
    refuses(write(content), r"shape \[3\] for an operand of shape \[1, 4\]")


def test_scales(write):
    for scale, message in ((0.0, "scale 0.0"), (np.nan, "scale nan"), ([1.0, 2.0], "2 scales")):
        refuses(write(Small().content("RELU", [], (1, 4), scale=scale)), message)
    content = Small().content("AVERAGE_POOL_2D", [], (1, 4))
    refuses(write(content), "has no Pool2DOptions")
    small = Small()
    pads = small.file.constant(np.array([[0, 0], [1, 0]], dtype=np.int32))
    content = small.content("PAD", [pads], (1, 5), scale=0.06)
    refuses(write(content), "different scales or zero points")


def test_behind_softmax(write):
    file = TfliteFile()
    x = file.tensor((1, 4), 0.05, 3)
    inside, y = (file.tensor((1, 4), 1 / 256, -128) for _ in range(2))
    file.operator("SOFTMAX", [x], [inside], "SoftmaxOptions", Beta=1.0)
    file.operator("TANH", [inside], [y])
    refuses(write(file.write([x], [y])), "TANH behind SOFTMAX", UnsupportedError)


def test_graphs_that_are_none(write):
    file = TfliteFile()
    x, y = (file.tensor((1, 4), 0.05, 3) for _ in range(2))
    file.operator("RELU", [x], [y])
    refuses(write(file.write([x], [y, x])), "2 outputs", UnsupportedError)
    refuses(write(file.write([], [y])), "0 inputs", UnsupportedError)
    refuses(write(file.write([x], [x])), "0 inputs", UnsupportedError)
    file.operator("RELU", [y], [y])
    refuses(write(file.write([x], [y])), "before it is produced|produced twice")


def test_table_of_operators():
    table = tflite_operator_table()
    names = [info.name for info in table]
    assert names == sorted(names)
    assert {"CONV_2D", "SOFTMAX", "QUANTIZE"} <= set(names)
    assert all(info.supported and info.domains == ("tflite",) for info in table)

"""Damaged and hostile files: one clear error each."""

import os
import random
import warnings

import numpy as np
import pytest
from onnx import TensorProto, helper

from nn2rtl.errors import ModelError, Nn2RtlError, UnsupportedError
from nn2rtl.frontend import load

ADD = [helper.make_node("Add", ["x", "c"], ["y"])]


@pytest.fixture
def write(tmp_path):
    def run(content):
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        return path

    return run


def refuses(path, message, error=ModelError):
    with pytest.raises(error, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_paths(tmp_path):
    refuses(tmp_path / "absent.onnx", "no such file")
    refuses(tmp_path, "is a directory")
    refuses(str(tmp_path / "nul\0.onnx"), "cannot be read")
    refuses("/dev/zero", "not a regular file")
    os.mkfifo(tmp_path / "fifo")
    refuses(tmp_path / "fifo", "not a regular file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"PK\x03\x04" + bytes(50), "zip archive"),
        (b"\x89HDF\r\n" + bytes(50), "HDF5"),
        (b"\x1c\0\0\0TFL3" + bytes(50), "version 0 of the format"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"hello, world", "not a.* ONNX model"),
        (bytes(100), "not a.* ONNX model"),
        (b"\x08\x08", "not an ONNX model"),
        (random.Random(1).randbytes(5000), "not a.* ONNX model"),
    ],
)
def test_content(write, content, message):
    refuses(write(content), message)


def test_truncated_and_corrupted_files_never_crash(write, build_model):
    constants = {"c": np.ones((3, 4, 3, 3), np.float32), "s": np.array([1, -1])}
    nodes = [
        helper.make_node("Conv", ["x", "c"], ["a"], strides=[2, 2]),
        helper.make_node("MaxPool", ["a"], ["p"], kernel_shape=[2, 2]),
        helper.make_node("Reshape", ["p", "s"], ["y"]),
    ]
    whole = build_model(nodes, [1, 4, 9, 9], constants).SerializeToString()
    load(write(whole))
    chance = random.Random(2)
    outcomes = set()
    with warnings.catch_warnings():
        for trial in range(400):
            content = bytearray(whole)
            if trial % 4 == 0:
                del content[chance.randrange(len(content)) :]
            for _ in range(trial % 4):
                content[chance.randrange(len(content))] = chance.randrange(256)
            try:
                load(write(content))
                outcomes.add("loaded")
            except Nn2RtlError as error:
                outcomes.add(type(error).__name__)
    assert outcomes == {"loaded", "ModelError", "UnsupportedError"}


def with_tensor(build_model, **fields):
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT)
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    model = build_model(ADD)
    model.graph.initializer.append(tensor)
    return model


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dims": [1 << 40], "raw_data": b"1234"}, "impossible shape|larger than"),
        ({"dims": [1 << 32], "raw_data": b"1234"}, "larger than"),
        ({"dims": [-1], "raw_data": b"1234"}, "impossible shape"),
        ({"dims": [0, 1 << 62]}, "impossible shape"),
        ({"dims": [1] * 40, "raw_data": b"1234"}, "impossible shape"),
        ({"dims": [4], "raw_data": b"1234"}, "comes with 4 bytes"),
        ({"dims": [4], "float_data": [1.0]}, "comes with 1 values"),
        ({"dims": [4], "int64_data": [1, 2, 3, 4]}, "comes with 0 values"),
        ({"dims": [1], "data_type": TensorProto.INT8, "int32_data": [300]}, "outside its type"),
        ({"dims": [1], "data_type": 0, "raw_data": b"1234"}, "element type UNDEFINED"),
        ({"dims": [1], "data_type": 99, "raw_data": b"1234"}, "element type 99"),
    ],
)
def test_lying_tensors(write, build_model, fields, message):
    refuses(write(with_tensor(build_model, **fields).SerializeToString()), message)


@pytest.mark.parametrize(
    ("kind", "field", "raw"),
    [
        (TensorProto.FLOAT16, [0x3C00, 0xC000], np.array([1, -2], "<f2")),
        (TensorProto.BFLOAT16, [0x3F80, 0xC000], np.array([0x3F80, 0xC000], "<u2")),
        (TensorProto.INT8, [1, -2], np.array([1, -2], "i1")),
    ],
)
def test_small_types(write, build_model, kind, field, raw):
    for data in ({"int32_data": field}, {"raw_data": raw.tobytes()}):
        model = with_tensor(build_model, dims=[2], data_type=kind, **data)
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2
        assert load(write(model.SerializeToString()))["y"].op.offset.tolist() == [1, -2]


def external(build_model, dims=(4,), **entries):
    model = with_tensor(build_model, dims=list(dims), data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        entry = model.graph.initializer[0].external_data.add()
        entry.key, entry.value = key, str(value)
    return model.SerializeToString()


def test_external_data(write, build_model, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"skip" + np.arange(4, dtype="<f4").tobytes())
    content = external(build_model, location="data.bin", offset=4, length=16)
    assert load(write(content))["y"].op.offset.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../secret.bin"}, "outside the model's folder"),
        ({"location": "/etc/passwd"}, "outside the model's folder"),
        ({"location": "link.bin"}, "outside the model's folder"),
        ({}, "outside the model's folder"),
        ({"location": "absent.bin"}, "does not exist"),
        ({"location": "."}, "does not exist"),
        ({"location": "a\0b"}, "cannot be read"),
        ({"location": "short.bin"}, "which has 8"),
        ({"location": "short.bin", "offset": 1 << 70}, "cannot be read"),
        ({"location": "short.bin", "offset": -4}, "from -4"),
        ({"location": "short.bin", "length": 8}, "not 8"),
        ({"location": "short.bin", "offset": "four"}, "not a number"),
    ],
)
def test_bad_external_data(write, build_model, tmp_path, entries, message):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    (folder / "short.bin").write_bytes(bytes(8))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = folder / "model.onnx"
    path.write_bytes(external(build_model, **entries))
    refuses(path, message)


def test_large_external_tensor(write, build_model, tmp_path):
    with (tmp_path / "sparse.bin").open("wb") as file:
        file.truncate(1 << 30)
    content = external(build_model, dims=(1 << 27,), location="sparse.bin")
    refuses(write(content), "larger than 256 MiB", UnsupportedError)


def test_external_data_is_bounded_in_total(write, build_model, tmp_path, monkeypatch):
    (tmp_path / "data.bin").write_bytes(bytes(16))
    path = write(external(build_model, location="data.bin"))
    load(path)
    monkeypatch.setattr("nn2rtl.frontend.onnx_tensors._MAX_EXTERNAL", 15)
    refuses(path, "exceeds 1 GiB of external data", UnsupportedError)


def test_damaged_tensor_that_nothing_needs_is_ignored(write, build_model):
    model = with_tensor(build_model, dims=[4], raw_data=b"1")
    model.graph.node[0].input[1] = "x"
    load(write(model.SerializeToString()))


def test_duplicate_initializer(write, build_model):
    model = with_tensor(build_model, dims=[1], raw_data=b"1234")
    model.graph.initializer.append(model.graph.initializer[0])
    refuses(write(model.SerializeToString()), "two initializers")

"""Arrays in files: what is read, what is written, what is refused."""

import io
import os
import random
import zipfile

import numpy as np
import pytest

from nn2rtl.arrays import read_array, write_array
from nn2rtl.errors import InputError, OutputError

X = np.arange(12.0).reshape(3, 4)


def saved(save=np.save, *arrays, **named):
    buffer = io.BytesIO()
    save(buffer, *arrays, **named)
    return buffer.getvalue()


@pytest.fixture
def read(tmp_path):
    def run(content):
        (tmp_path / "x").write_bytes(content)
        return read_array(tmp_path / "x")

    return run


@pytest.mark.parametrize(
    "content",
    [
        saved(np.save, X),
        saved(np.save, np.asfortranarray(X)),
        saved(np.savez, X),
        saved(np.savez, any_name=X),
        saved(np.savez_compressed, x=X, y=X + 1),
    ],
)
def test_read(read, content):
    np.testing.assert_array_equal(read(content), X)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no numpy array"),
        (b"1,2\n3,4\n", "no numpy array"),
        (bytes(500), "no numpy array"),
        (random.Random(1).randbytes(500), "no numpy array"),
        (saved(np.save, X)[:-1], "no numpy array"),
        (saved(np.save, X)[:60], "no numpy array"),
        (saved(np.save, np.array([{}, 1], object)), "no numpy array"),
        (saved(np.savez, x=np.array([{}, 1], object)), "no numpy array"),
        (saved(np.savez, a=X, b=X), "holds the arrays a, b"),
        (saved(np.savez), r"holds the arrays \(none\)"),
        (saved(np.savez, x=X)[:-30], "no numpy array"),
    ],
)
def test_refused(read, content, message):
    with pytest.raises(InputError, match=f"{message}.*; give a numpy .npy file, or a .npz file"):
        read(content)


def test_no_file(tmp_path):
    for path in (tmp_path / "absent.npy", tmp_path):
        with pytest.raises(InputError, match=f"^{path}: inputs cannot be read: "):
            read_array(path)


def test_pickles_are_never_loaded(tmp_path, read):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    for content in (
        saved(np.save, np.array([Bomb()])),
        saved(np.savez, x=np.array([Bomb()])),
        np.array([Bomb()]).dumps(),
    ):
        with pytest.raises(InputError):
            read(content)
    assert not (tmp_path / "exploded").exists()


def test_a_huge_array_in_a_small_file(read):
    header = io.BytesIO()
    fields = {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**7)}
    np.lib.format.write_array_header_1_0(header, fields)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.npy", header.getvalue())
    for content in (header.getvalue(), archive.getvalue()):
        with pytest.raises(InputError, match="no numpy array|do not fit the memory"):
            read(content)


@pytest.mark.filterwarnings("ignore")  # numpy's, of headers that Python 2 may have written
def test_damaged_files_never_crash(read):
    chance = random.Random(2)
    kinds = [saved(np.save, X), saved(np.savez, x=X), saved(np.savez_compressed, x=X)]
    outcomes = set()
    for trial in range(600):
        content = bytearray(kinds[trial % 3])
        for _ in range(chance.randrange(1, 4)):
            content[chance.randrange(len(content))] = chance.choice(b"0(){}[]', L\n\0\xff")
        try:
            read(bytes(content))
            outcomes.add("read")
        except InputError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_write(tmp_path):
    path = write_array(tmp_path / "y", X)  # the name is as given, unlike with numpy.save
    assert os.listdir(tmp_path) == ["y"]
    np.testing.assert_array_equal(np.load(path), X)
    with pytest.raises(OutputError):
        write_array(tmp_path / "y" / "z.npy", X)
    assert os.listdir(tmp_path) == ["y"]

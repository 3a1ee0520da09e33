"""Files that are whole or not there at all."""

import os
import re

import pytest

from nn2rtl.errors import OutputError
from nn2rtl.files import check_writable, staging, write_whole


def test_write_whole_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "out"
    assert write_whole(path, "first") == path
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["out"]
    longest = tmp_path / ("n" * 255)
    assert write_whole(longest, "x").read_text() == "x"


def test_a_file_has_the_mode_that_the_user_wants(tmp_path):
    before = os.umask(0o027)
    try:
        assert write_whole(tmp_path / "out", "x").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_links_and_devices_stay_what_they_are(tmp_path):
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text() == "x"
    reader = os.open(_fifo(tmp_path / "fifo"), os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(tmp_path / "fifo", "through")
        assert os.read(reader, 99) == b"through"
    finally:
        os.close(reader)
    assert (tmp_path / "fifo").is_fifo()


def _fifo(path):
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("name", ["", "file/out", "absent/out"])
def test_unwritable_files(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    path = tmp_path / name
    for attempt in (lambda: write_whole(path, "x"), lambda: check_writable(path)):
        with pytest.raises(OutputError, match=f"^{re.escape(str(path))}: cannot be written: .*; "):
            attempt()
    with pytest.raises(OutputError, match="File name too long"):
        write_whole(tmp_path / ("n" * 256), "x")
    assert os.listdir(tmp_path) == ["file"]


def test_checking_creates_nothing(tmp_path):
    (tmp_path / "old").write_text("kept")
    check_writable(tmp_path / "old")
    check_writable(tmp_path / "new")
    assert os.listdir(tmp_path) == ["old"] and (tmp_path / "old").read_text() == "kept"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch, error):
    def fails(source, target):
        raise error

    (tmp_path / "out").write_text("old")
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(error):
        write_whole(tmp_path / "out", "new")
    assert os.listdir(tmp_path) == ["out"] and (tmp_path / "out").read_text() == "old"


def test_staged_files_appear_at_the_end(tmp_path):
    folder = tmp_path / "a" / "b"
    with staging(folder) as stage:
        (stage / "one").write_text("1")
        assert not (folder / "one").exists()
        # A rename from elsewhere fails if the folder is a mount point.
        assert stage.parent == folder
    assert os.listdir(folder) == ["one"]
    with staging(folder) as stage:
        (stage / "two").write_text("2")
        (stage / "one").write_text("new")
    assert sorted(os.listdir(folder)) == ["one", "two"]
    assert (folder / "one").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_stage_leaves_what_was_there(tmp_path, error):
    def fail(folder):
        with pytest.raises(error), staging(folder) as stage:
            (stage / "one").write_text("1")
            raise error

    fail(tmp_path / "new")
    assert os.listdir(tmp_path) == []
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "one").write_text("kept")
    fail(tmp_path / "old")
    assert os.listdir(tmp_path / "old") == ["one"]
    assert (tmp_path / "old" / "one").read_text() == "kept"


def test_folders_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        message = "output folder cannot be written.*with -o"
        with pytest.raises(OutputError, match=message), staging(folder):
            pytest.fail("nothing is to be done for a folder that cannot be")
    (tmp_path / "out" / "one").mkdir(parents=True)
    message = "output folder cannot be written: Is a directory"
    with pytest.raises(OutputError, match=message), staging(tmp_path / "out") as stage:
        (stage / "one").write_text("1")
    assert os.listdir(tmp_path / "out") == ["one"]

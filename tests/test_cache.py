"""The content-addressed cache."""

from __future__ import annotations

import os

import pytest

from nn2rtl import cache
from nn2rtl.errors import OutputError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NN2RTL_CACHE", str(tmp_path / "cache"))


def test_root_follows_the_environment(tmp_path, monkeypatch):
    assert cache.root() == tmp_path / "cache"
    monkeypatch.delenv("NN2RTL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.root() == tmp_path / "nn2rtl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.root() == tmp_path / ".cache" / "nn2rtl"


def test_entry_tells_parts_apart():
    places = [
        cache.entry("k", "ab", "c"), cache.entry("k", "a", "bc"), cache.entry("k", "abc"),
        cache.entry("k", "c", "ab"), cache.entry("j", "ab", "c"),
    ]
    assert len(set(places)) == len(places)
    assert cache.entry("k", b"ab", "c") == places[0]
    with pytest.raises(ValueError, match="plain folder name"):
        cache.entry("../k", "a")


@pytest.mark.parametrize("folder", [False, True])
def test_build_makes_once_and_leaves_nothing_else(folder):
    calls = []

    def make(path):
        calls.append(path)
        if folder:
            path.mkdir()
            (path / "file").write_text("done")
        else:
            path.write_text("done")

    path = cache.entry("k", "x")
    assert cache.build(path, make) == path
    assert cache.build(path, make) == path
    assert len(calls) == 1
    assert (path / "file" if folder else path).read_text() == "done"
    assert os.listdir(path.parent) == [path.name]


def test_failed_build_leaves_nothing():
    def make(path):
        path.write_text("half")
        raise RuntimeError("stop")

    path = cache.entry("k", "x")
    with pytest.raises(RuntimeError, match="stop"):
        cache.build(path, make)
    assert os.listdir(path.parent) == []


def test_the_first_of_two_builders_wins():
    path = cache.entry("k", "x")

    def other(place):
        place.mkdir()
        (place / "file").write_text("other")

    def make(place):
        cache.build(path, other)  # as if another process finished meanwhile
        place.mkdir()
        (place / "file").write_text("own")

    cache.build(path, make)
    assert (path / "file").read_text() == "other"
    assert os.listdir(path.parent) == [path.name]


def test_unwritable_cache_names_the_remedy(tmp_path, monkeypatch):
    # A file in the way fails for root too, whom permissions do not stop.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NN2RTL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match="set NN2RTL_CACHE"):
        cache.build(cache.entry("k", "x"), lambda path: None)

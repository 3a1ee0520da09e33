"""A cache of built things (simulators, libraries), addressed by the hash of their inputs."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nn2rtl.errors import OutputError


def root() -> Path:
    """The cache folder: $NN2RTL_CACHE, else $XDG_CACHE_HOME/nn2rtl, else ~/.cache/nn2rtl.

    Nothing is created. The path is absolute.
    """
    if own := os.environ.get("NN2RTL_CACHE"):
        return Path(own).expanduser().absolute()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser().absolute() / "nn2rtl"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise OutputError(
            f"the cache folder cannot be found: {error}",
            remedy="set NN2RTL_CACHE to a folder that you can write to",
        ) from error
    return home / ".cache" / "nn2rtl"


def entry(kind: str, *parts: bytes | str) -> Path:
    """The place of a cached thing, whether or not it is there.

    Parameters
    ----------
    kind : str
        What it is, as a folder name: letters, digits, ``-``, ``_``, ``.``.
    parts : bytes or str
        Everything that its contents depend on. The order and the boundaries between parts count.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", kind):
        raise ValueError(f"kind must be a plain folder name, not {kind!r}")
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return root() / kind / digest.hexdigest()[:32]


def build(path: Path, make: Callable[[Path], None]) -> Path:
    """Make ``path`` unless it is there.

    Parameters
    ----------
    path : Path
        Where the result belongs; a file or a folder, usually from `entry`.
    make : callable
        Called with a path beside ``path`` that does not exist yet; creates a file or a folder
        there. If it raises, nothing is left behind and the exception passes through.

    Returns
    -------
    Path
        ``path``. It appears complete or not at all: when two processes build the same thing at
        once, both do the work and the first one's result stays.

    Raises
    ------
    OutputError
        The cache folder cannot be written.
    """
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise OutputError(
            f"cannot write to the cache folder {path.parent}: {error.strerror or error}",
            remedy="set NN2RTL_CACHE to a folder that you can write to",
        ) from error
    try:
        made = scratch / path.name
        make(made)
        try:
            os.replace(made, path)
        except OSError:
            # A folder cannot replace a folder that is not empty: another process was first.
            if not path.exists():
                raise
    finally:
        with suppress(OSError):
            shutil.rmtree(scratch)
    return path

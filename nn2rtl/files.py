"""Write files so that they are whole or not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nn2rtl.errors import OutputError

PREFIX = ".nn2rtl-"
"""Of the names of temporary files and folders."""


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file under a temporary name and rename it.

    A link stays a link; a device or a pipe, which cannot be replaced, is written to.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
            return path
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new empty file beside `path`, which takes its place when the block ends well.

    Raises
    ------
    OSError
        If the file cannot be made or `path` cannot be replaced.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f"{PREFIX}{secrets.token_hex(8)}")
    # Not by tempfile, whose files only their owner can read.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Complain now, not after hours of work, about a file that cannot be written.

    Raises
    ------
    OutputError
        If there is no file at `path`, and none can be made.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not path.exists():
            with tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent):
                pass
    except OSError as error:
        raise _unwritable(path, error) from None


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A temporary folder in `folder`, whose files move up when the block ends well.

    If it does not, a folder that was made for it is removed again.

    Raises
    ------
    OutputError
        If the folder cannot be made or written.
    """
    target = folder.absolute()
    try:
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a folder")
        is_new = not target.exists()
        target.mkdir(parents=True, exist_ok=True)
        # Inside, as a rename from beside it fails where the folder is a mount point.
        stage = Path(tempfile.mkdtemp(dir=target, prefix=PREFIX))
    except OSError as error:
        raise _failure(target, error) from None
    try:
        yield stage
        try:
            for path in sorted(stage.iterdir()):
                os.replace(path, target / path.name)
        except OSError as error:
            raise _failure(target, error) from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):  # not empty: it has the files
                target.rmdir()


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot be written: {error.strerror or error}",
        node=str(path),
        remedy="choose a folder that you may write to",
    )


def _failure(target: Path, error: OSError) -> OutputError:
    return OutputError(
        f"output folder cannot be written: {error.strerror or error}",
        node=str(target),
        remedy="choose another with -o",
    )

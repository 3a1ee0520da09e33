"""Write files so that they are whole or not there at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nn2rtl.errors import OutputError


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file under a temporary name and rename it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}",
            node=str(path),
            remedy="choose a folder that you may write to",
        ) from None
    return path


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, whose files move there when the block ends well.

    Raises
    ------
    OutputError
        If the folder cannot be made or written.
    """
    target = folder.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(20, "it is a file, not a folder")
        stage = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise _failure(target, error) from None
    try:
        yield stage
        try:
            target.mkdir(exist_ok=True)
            for path in sorted(stage.iterdir()):
                os.replace(path, target / path.name)
        except OSError as error:
            raise _failure(target, error) from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _failure(target: Path, error: OSError) -> OutputError:
    return OutputError(
        f"output folder cannot be written: {error.strerror or error}",
        node=str(target),
        remedy="choose another with -o",
    )

"""Run the command line in this process."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sys
from dataclasses import dataclass
from typing import Any
from unittest import mock

from nn2rtl.cli import main


@dataclass(frozen=True)
class Result:
    """Exit status, standard output and standard error."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def refusal(self, status: int = 2) -> str:
        """The message of an error: one line, without a traceback."""
        assert self.status == status, self
        assert self.err.count("\n") == 1 and self.err.startswith("nn2rtl: "), self.err
        assert "Traceback" not in self.err and "internal error" not in self.err, self.err
        return self.err[len("nn2rtl: ") : -1]


def nn2rtl(*arguments: object) -> Result:
    """What `nn2rtl ARGUMENTS` does."""
    out, err = io.StringIO(), io.StringIO()
    handler = signal.getsignal(signal.SIGTERM)
    status = 0
    try:
        with (
            mock.patch.object(sys, "argv", ["nn2rtl", *map(str, arguments)]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main()
    except SystemExit as exit:
        status = int(exit.code or 0)
    finally:
        signal.signal(signal.SIGTERM, handler)
    return Result(status, out.getvalue(), err.getvalue())

"""Errors that a user can cause: each says what is wrong, where, and what to do about it."""

from __future__ import annotations


class Nn2RtlError(Exception):
    """A problem that the user can understand and mend.

    Parameters
    ----------
    reason : str
        What is wrong, in one sentence, quoting what was given.
    node : str, optional
        Name of the model's node (or file, or option) concerned.
    remedy : str, optional
        What to do about it.

    Attributes
    ----------
    exit_status : int
        What the command line returns: 2 for something that the user gave, 1 for a failure of a
        tool or of the machine.
    """

    exit_status = 2

    def __init__(self, reason: str, *, node: str | None = None, remedy: str | None = None) -> None:
        self.reason = reason
        self.node = node
        self.remedy = remedy
        super().__init__(self.line())

    def line(self) -> str:
        """The whole message as one line."""
        text = f"{self.node}: {self.reason}" if self.node else self.reason
        if self.remedy:
            text = f"{text.rstrip('.')}; {self.remedy}"
        return " ".join(text.split())


class ModelError(Nn2RtlError):
    """The model file cannot be read, or is not a valid quantized network."""


class UnsupportedError(ModelError):
    """The model is valid but uses something that nn2rtl does not implement."""


class InputError(Nn2RtlError):
    """An input array has the wrong shape, type or range."""


class OptionsError(Nn2RtlError):
    """An option, a configuration file or a board description is wrong."""


class ResourceError(Nn2RtlError):
    """The design does not fit the board."""


class ToolError(Nn2RtlError):
    """An external tool is missing, too old, or failed."""

    exit_status = 1


class SimulationError(Nn2RtlError):
    """The simulated hardware stalled, or differs from the integer model."""

    exit_status = 1


class DifferenceError(Nn2RtlError):
    """The integer graph differs from a reference, for no reason that could be found."""

    exit_status = 1


class OutputError(Nn2RtlError):
    """An output file or folder cannot be written."""

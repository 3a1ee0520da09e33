"""What a comparison of a network's stages found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One tensor in all stages.

    Parameters
    ----------
    name : str
        Node of the model graph.
    source : str
        Node of the model file.
    operation : str
        What the integer graph computes it with.
    shape : tuple of int
        In the model.
    type : str
        Integer type.
    low, high, type_low, type_high : int
        Integers that occur, and those that the type was sized for.
    at_low, at_high : int or None
        Elements at the ends of the quantizer's range, if it is the result of a quantizer with more
        than two levels.
    elements : int
        Of all samples.
    compared : bool
        Whether the reference has the tensor.
    different : int
        Elements that differ from the reference.
    greatest : float
        Their greatest difference, in steps of the integers.
    following : int
        Of the different ones, those that this layer does not cause: computed from the
        reference's own operands they are equal.
    ties : int
        Elements that differ even so, as the exact number is so close to a rounding boundary that
        the reference's floating point cannot tell.
    unexplained : int
        Elements that differ for no such reason.
    """

    name: str
    source: str
    operation: str
    shape: tuple[int, ...]
    type: str
    low: int
    high: int
    type_low: int
    type_high: int
    at_low: int | None
    at_high: int | None
    elements: int
    compared: bool = False
    different: int = 0
    greatest: float = 0.0
    following: int = 0
    ties: int = 0
    unexplained: int = 0

    @property
    def verdict(self) -> str:
        """``equal``, ``follows``, ``ties``, ``unexplained`` or ``not compared``."""
        if not self.compared:
            return "not compared"
        if self.unexplained:
            return "unexplained"
        if self.ties:
            return "ties"
        return "follows" if self.different else "equal"


@dataclass(frozen=True)
class Trace:
    """What a comparison found.

    Parameters
    ----------
    reference : str
        What the integer graph was compared with.
    notes : tuple of str
        What the user should know.
    samples : int
        Inferences.
    layers : tuple of Layer
        In order.
    """

    reference: str
    notes: tuple[str, ...]
    samples: int
    layers: tuple[Layer, ...]

    @property
    def first_difference(self) -> str | None:
        """The first tensor that differs from the reference."""
        return next((layer.name for layer in self.layers if layer.different), None)

    @property
    def first_unexplained(self) -> str | None:
        """The first tensor whose difference has no explanation."""
        return next((layer.name for layer in self.layers if layer.unexplained), None)

"""Compare a network's stages layer by layer: reference executor, integer graph, hardware."""

from nn2rtl.trace.result import Layer, Trace
from nn2rtl.trace.run import trace

__all__ = ["Layer", "Trace", "trace"]

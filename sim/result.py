"""What a simulation run returns: output beats and the cycles of all transfers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nn2rtl.errors import SimulationError


@dataclass(frozen=True, eq=False)
class RunResult:
    """Outputs and cycle stamps of one run.

    Cycle ``c`` is the ``c``-th rising clock edge at which reset is low, counted from 0; a beat is
    stamped with the edge at which it is transferred (tvalid and tready both high).

    Attributes
    ----------
    outputs : array of uint8, shape (n_out, bytes)
        tdata of every output beat, the least significant byte first.
    in_cycles : array of int64, shape (n_in,)
        Stamps of the input beats.
    out_cycles : array of int64, shape (n_out,)
        Stamps of the output beats.
    last_flags : array of bool, shape (n_out,)
        m_axis_tlast of every output beat.
    in_per_inference, out_per_inference : int
        Beats of one inference.
    """

    outputs: npt.NDArray[np.uint8]
    in_cycles: npt.NDArray[np.int64]
    out_cycles: npt.NDArray[np.int64]
    last_flags: npt.NDArray[np.bool_]
    in_per_inference: int
    out_per_inference: int

    @property
    def latencies(self) -> npt.NDArray[np.int64]:
        """Cycles from the first input to the last output beat, for each inference."""
        firsts = self.in_cycles[:: self.in_per_inference]
        lasts = self.out_cycles[self.out_per_inference - 1 :: self.out_per_inference]
        count = min(len(firsts), len(lasts))
        return lasts[:count] - firsts[:count]

    @property
    def intervals(self) -> npt.NDArray[np.int64]:
        """Cycles between the last output beats of successive inferences; one fewer than those."""
        return np.diff(self.out_cycles[self.out_per_inference - 1 :: self.out_per_inference])

    def check_last(self) -> None:
        """Check that m_axis_tlast marks the last beat of each inference and no other.

        Raises
        ------
        SimulationError
            It does not; the message names the first wrong beat.
        """
        beat = np.arange(1, len(self.last_flags) + 1)
        wrong = np.flatnonzero(self.last_flags != (beat % self.out_per_inference == 0))
        if len(wrong):
            first = int(wrong[0])
            inference, position = divmod(first, self.out_per_inference)
            state = "high" if self.last_flags[first] else "low"
            raise SimulationError(
                f"m_axis_tlast is {state} at output beat {position} of inference {inference} "
                f"(counted from 0), which has {self.out_per_inference} beats",
                remedy="check the number of output beats an inference against the design's",
            )

# amaranth: UnusedElaboratable=no
"""PipeChain: several pipes behave as one."""

import pytest
from amaranth.hdl import signed, unsigned
from amaranth.lib.data import ArrayLayout

from nn2rtl.primitives.argmax import ArgMax
from nn2rtl.primitives.credits import CreditedPipe
from nn2rtl.primitives.pipe_chain import PipeChain
from nn2rtl.primitives.width import UpsizerPipe


def upsizers():
    """Return three pipes of different ratios; the layouts between them differ, not the widths."""
    return UpsizerPipe(4, 1, 2), UpsizerPipe(8, 1, 1), UpsizerPipe(unsigned(2), 4, 3)


@pytest.mark.parametrize("idle", [0, 0.5])
def test_chain(stream_bench, pack, idle):
    dut = PipeChain(upsizers())
    assert dut.latency == 3
    data = [k % 16 for k in range(60)]
    result = stream_bench(dut, {"i": data}, {"o": 10}, idle=idle)
    assert result.data["o"] == [pack(data[k : k + 6], 4) for k in range(0, 60, 6)]
    assert result.time["o"] == [t + 3 for t in result.time["i"][5::6]]


def test_chain_in_credited_pipe(stream_bench):
    pipes = [UpsizerPipe(signed(4), 1, 3), PipeChain([ArgMax(signed(4), 3, 1, 2)])]
    dut = CreditedPipe(PipeChain(pipes), 2, inputs_per_output=3)
    result = stream_bench(
        dut, {"i": [1, 2, 15, 7, 7, 8, 9, 15, 0]}, {"o": 3}, idle=0.5, backpressure=0.5
    )
    assert result.data["o"] == [1, 0, 2]


def test_single(stream_bench):
    """A chain of one pipe is that pipe."""
    pipe = ArgMax(4, 3, 2, 3)
    dut = PipeChain([pipe])
    assert (dut.latency, dut.pipes) == (pipe.latency, (pipe,))
    assert dut.i.payload.shape() == ArrayLayout(4, 3)
    assert dut.o.payload.shape() == ArrayLayout(3, 1)
    result = stream_bench(dut, {"i": [0x123, 0x456]}, {"o": 1})
    assert result.data["o"] == [3]


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"must not be empty, not \[\]"):
        PipeChain([])
    with pytest.raises(ValueError, match=r"must take the 8 bits .* not 9 bits"):
        PipeChain([UpsizerPipe(4, 1, 2), UpsizerPipe(9, 1, 1)])
    with pytest.raises(TypeError, match="always ready stream i, not None"):
        PipeChain([object()])

"""Small cores for the simulators' tests."""

from __future__ import annotations

import pytest

# A FIFO of 4 words. The parts in braces differ from core to core.
FIFO = """
module nn2rtl_core (
  input clk, input rst,
  input [{width}-1:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready, input s_axis_tlast,
  output [{width}-1:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready, output m_axis_tlast
);
  reg [{width}:0] memory [0:3];
  reg [2:0] level;
  reg [1:0] first;
  reg [7:0] taken;  // input beats since reset
  wire push = s_axis_tvalid && s_axis_tready;
  wire pop = m_axis_tvalid && m_axis_tready;
  wire [1:0] free = first + level[1:0];
  assign s_axis_tready = level < 4 && {accept};
  assign m_axis_tvalid = level > 0 && {offer};
  assign m_axis_tlast = memory[first][{width}];
  assign m_axis_tdata = memory[first][{width}-1:0] + {add};
  always @(posedge clk) begin
    if (push) memory[free] <= {{s_axis_tlast, s_axis_tdata}};
    level <= level + push - {pop};
    first <= first + {pop};
    taken <= taken + push;
    if (rst) begin level <= 0; first <= 0; {reset} end
  end
endmodule
"""


def fifo(width=8, accept="1", offer="1", add="0", pop="pop", reset="taken <= 0;"):
    """A FIFO core, right unless a part is replaced."""
    return FIFO.format(width=width, accept=accept, offer=offer, add=add, pop=pop, reset=reset)


@pytest.fixture(scope="session")
def make_core():
    """The function that writes a core; a fixture because test folders are not packages."""
    return fifo


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Simulators are compiled anew by each test run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NN2RTL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield

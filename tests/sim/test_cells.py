"""Models of the FPGA's cells: which ones a core gets."""

from nn2rtl.sim.cells import models_of

CORE = "module nn2rtl_core(input clk);\n  DSP48E1 #(.AREG(1)) part (.CLK(clk));\nendmodule\n"


def test_a_core_gets_the_models_of_its_cells():
    models = models_of(CORE)
    assert list(models) == ["dsp48e1.v"] and "module DSP48E1 #(" in models["dsp48e1.v"]
    assert models_of(CORE.replace("DSP48E1 #(.AREG(1))", "other")) == {}
    assert models_of(CORE + "module DSP48E1 (input CLK);\nendmodule\n") == {}

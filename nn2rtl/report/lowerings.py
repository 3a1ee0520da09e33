"""What becomes of each operation: of the model graph in integers, of the integers in hardware."""

from __future__ import annotations

from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.plan.stages import (
    ApplyStage,
    ArgMaxStage,
    ConcatStage,
    ConvStage,
    GatherStage,
    PairStage,
    PoolStage,
    SoftmaxStage,
)

STEP = (ig.Thresholds, ig.Requantize, ig.Lookup)
"""Functions of single integers."""

LOWERED: dict[type, tuple[tuple[type, ...], str]] = {
    model.Input: ((), "The input. Its first quantizer makes it the core's input stream."),
    model.Quantize: (
        (ig.Input, *STEP, ig.WeightedSum),
        "The input's first quantizer: on the host, before the core. Any other: in hardware, "
        "together with all real functions ahead of it. Functions that rise and fall are looked up "
        "(operands of up to 12 bits), or are the difference of two step functions.",
    ),
    model.BipolarQuantize: ((ig.Input, *STEP), "As `Quantize`, with one threshold."),
    model.Round: (
        (ig.Lookup,), "No hardware of its own: part of the next step function, as `Elementwise`."
    ),
    model.MultiThreshold: ((ig.Input, *STEP), "As `Quantize`, with thresholds of its own."),
    model.Conv: (
        (ig.Conv,),
        "In hardware. The scale of the weights and the bias go into the step function behind it.",
    ),
    model.ConvTranspose: (
        (ig.Conv, ig.Gather),
        "As a convolution whose channels hold all positions that one position gives rise to; a "
        "gather puts them in order. Refused with both a stride and a dilation.",
    ),
    model.MatMul: ((ig.Conv,), "In hardware, as a convolution of kernel 1×1 over the rows."),
    model.Affine: (
        (),
        "No hardware of its own: part of the step function of the next quantizer, exactly. "
        "Behind the last quantizer: on the host.",
    ),
    model.Elementwise: (
        (ig.Lookup,),
        "As `Affine`. Ahead of a layer without a quantizer between them: a table, if the operand "
        "has up to 12 bits and the function rational values (ReLU, clips, roundings).",
    ),
    model.Add: (
        (ig.WeightedSum,),
        "In hardware, with the least integer weights in the ratio of the two scales. Two functions "
        "of one tensor: one function, as `Affine`.",
    ),
    model.Mul: (
        (ig.Product,),
        "In hardware. Two functions of one tensor, such as x and sigmoid(x): one function, as "
        "`Affine`.",
    ),
    model.MaxPool: (
        (ig.MaxPool,),
        "In hardware. Refused behind a function that neither only increases nor can be looked up.",
    ),
    model.AveragePool: (
        (ig.SumPool,), "The sum in hardware; the division is part of the next step function."
    ),
    model.Concat: (
        (ig.Concat,),
        "In hardware. A quantizer behind it moves ahead of it; without one, tensors of different "
        "scales can be joined along the channels.",
    ),
    model.Gather: (
        (ig.Gather,), "In hardware where a later layer needs the elements in another order."
    ),
    model.Pad: (
        (ig.Gather,), "In hardware. Zeros ahead of one convolution or mean become its own padding."
    ),
    model.FixedPointSoftmax: ((ig.Softmax,), "In hardware, in TensorFlow Lite's own arithmetic."),
    model.Reshape: ((ig.Reshape, ig.Gather), "As `Transpose`."),
    model.Transpose: (
        (ig.Gather,),
        "No hardware: elements are renumbered. As `Gather` where a layer needs another order.",
    ),
    model.Softmax: (
        (ig.Softmax,),
        "In hardware if its result is quantized: tables of exponentials and an exact division. At "
        "the end of a network, without a quantizer: on the host, in floating point.",
    ),
    model.ArgMax: (
        (ig.ArgMax,),
        "In hardware if it runs over all elements of the output, in their order, and they have "
        "one positive scale; else on the host. A softmax of the same axis before it is dropped.",
    ),
}
"""Integer operations that a model operation becomes, and where it is computed."""

HARDWARE: dict[type, tuple[type | None, str]] = {
    ig.Input: (None, "the port `s_axis`"),
    ig.Conv: (ConvStage, "`ConvEngine`: line buffer, weight memory, `MacArray`, output FIFO"),
    ig.SumPool: (PoolStage, "`WindowReduceEngine`: line buffer, `LaneReduce`, output FIFO"),
    ig.MaxPool: (PoolStage, "`WindowReduceEngine`, as for `SumPool`"),
    ig.WeightedSum: (PairStage, "`WeightedSum`: shifts and adders"),
    ig.Product: (PairStage, "`Product`: two adders for the offsets, a multiplier"),
    ig.Concat: (
        ConcatStage, "`Concat`: a multiplexer, chunk by chunk; or `Join`: all channels side by side"
    ),
    ig.Gather: (GatherStage, "`GatherEngine`: circular memory, read by loops or by a table"),
    ig.Lookup: (ApplyStage, "`Lookup`: LUTs up to 8 bits, block RAM up to 12"),
    ig.Thresholds: (
        ApplyStage,
        "`Thresholds`: a pipelined binary search; `Lookup` for 8 bits, the same in all channels",
    ),
    ig.Requantize: (ApplyStage, "`Requantizer`: multiply, add, shift, clip"),
    ig.Softmax: (
        SoftmaxStage,
        "`Softmax`: memory of vectors, tables of exponentials, divider or reciprocal",
    ),
    ig.ArgMax: (ArgMaxStage, "`ArgMax`: a tree of comparators"),
    ig.Reshape: (None, "nothing"),
}
"""Stage of the plan and hardware of an integer operation."""

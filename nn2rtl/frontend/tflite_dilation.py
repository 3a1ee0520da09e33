"""Dilated convolutions that a TensorFlow Lite file spells with SPACE_TO_BATCH_ND.

Keras' Conv1D with a dilation becomes SPACE_TO_BATCH_ND, a convolution of every phase, and
BATCH_TO_SPACE_ND. Padding, a convolution with the dilation, and a slice have the same results, and
no batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nn2rtl.frontend.tflite_data import OperatorData, TensorData, TfliteModel

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_MOVES = ("EXPAND_DIMS", "RESHAPE", "SQUEEZE")
_VALID = 1
_MAX_SIZE = 1 << 20


def with_dilations(model: TfliteModel) -> TfliteModel:
    """The model with dilated convolutions in the place of convolutions of phases.

    What is not of that form stays as it is.
    """
    rewriter = _Rewriter(model)
    for operator in model.operators:
        if operator.op == "SPACE_TO_BATCH_ND":
            rewriter.rewrite(operator)
    return rewriter.model()


@dataclass(frozen=True)
class _Sizes:
    """Along the dilated axes: dilation, padding, crops, and the sizes that follow."""

    block: list[int]
    pads: list[list[int]]
    crops: list[list[int]]
    padded: list[int]
    whole: list[int]
    cut: list[int]


class _Rewriter:
    def __init__(self, model: TfliteModel) -> None:
        self.given = model
        self.tensors = list(model.tensors)
        self.replaced: dict[int, OperatorData] = {}  # by the first output
        self.readers: dict[int, list[OperatorData]] = {}
        for operator in model.operators:
            for index in set(operator.inputs):
                self.readers.setdefault(index, []).append(operator)

    def model(self) -> TfliteModel:
        operators = (self.replaced.get(each.outputs[0], each) for each in self.given.operators)
        return replace(self.given, tensors=tuple(self.tensors), operators=tuple(operators))

    def rewrite(self, first: OperatorData) -> None:
        """Replace the operators from a SPACE_TO_BATCH_ND to its BATCH_TO_SPACE_ND."""
        chain = self._chain(first)
        sizes = None if chain is None else self._sizes(chain)
        if chain is None or sizes is None:
            return
        place = len(chain) // 2
        extra = (1,) * (place - 1)  # an axis for the height of a line
        before, last = chain[1:place], chain[-1]
        none = [[0, 0]]
        self._replace(first, "PAD", sizes.padded, (none + sizes.pads + none,))
        for move in before:
            shape = self._resize(move, (*extra, *sizes.padded))
            self._replace(move, "RESHAPE", None, (shape,))
        convolution = chain[place]
        self._resize(convolution, (*extra, *sizes.whole))
        names = ("DilationHFactor", "DilationWFactor")
        dilation = dict(zip(names, (*extra, *sizes.block)))
        options = {**convolution.options, **dilation}
        self.replaced[convolution.outputs[0]] = replace(convolution, options=options)
        for move in chain[place + 1 : -1]:
            shape = self._resize(move, tuple(sizes.whole))
            self._replace(move, "RESHAPE", None, (shape,))
        channels = self.tensors[last.outputs[0]].shape[-1]
        begin = [0, *(crop[0] for crop in sizes.crops), 0]
        self._replace(last, "SLICE", sizes.cut, (begin, [1, *sizes.cut, channels]))

    def _chain(self, first: OperatorData) -> list[OperatorData] | None:
        """From the first operator to BATCH_TO_SPACE_ND, if nothing else reads between them."""
        chain = [first]
        while len(chain) < 6:
            output = chain[-1].outputs[0]
            readers = self.readers.get(output, [])
            if len(readers) != 1 or output in self.given.outputs:
                return None
            (operator,) = readers
            if operator.inputs[0] != output or len(operator.outputs) != 1:
                return None
            chain.append(operator)
            if operator.op == "BATCH_TO_SPACE_ND":
                break
        kinds = [_kind(operator.op) for operator in chain]
        on_images = ["SPACE_TO_BATCH_ND", "convolution", "BATCH_TO_SPACE_ND"]
        on_lines = [kinds[0], "move", "convolution", "move", kinds[-1]]
        is_known = kinds == on_images or (kinds[-1] == on_images[-1] and kinds == on_lines)
        return chain if is_known else None

    def _sizes(self, chain: list[OperatorData]) -> _Sizes | None:
        first, convolution, last = chain[0], chain[len(chain) // 2], chain[-1]
        axes = 2 if len(chain) == 3 else 1
        operands = *first.inputs[:1], *convolution.inputs[1:2]
        if len(operands) < 2 or -1 in operands:
            return None
        if not all(self.tensors[each.outputs[0]].shape for each in chain):
            return None
        shape = self.tensors[first.inputs[0]].shape
        kernel = self.tensors[convolution.inputs[1]].shape
        block, pads = (self._integers(first, index) for index in (1, 2))
        back, crops = (self._integers(last, index) for index in (1, 2))
        if len(shape) != axes + 2 or len(kernel) != 4 or (axes == 1 and kernel[1] != 1):
            return None
        if block != back or (len(block), len(pads), len(crops)) != (axes, 2 * axes, 2 * axes):
            return None
        if min(block) < 1 or not all(0 <= n <= _MAX_SIZE for n in (*block, *pads, *crops)):
            return None
        strides = [convolution.options[name] for name in ("StrideH", "StrideW")]
        dilations = [convolution.options[f"Dilation{axis}Factor"] for axis in "HW"]
        if strides != [1, 1] or dilations != [1, 1] or convolution.options["Padding"] != _VALID:
            return None
        padded = [n + a + b for n, a, b in zip(shape[1:], pads[::2], pads[1::2])]
        whole = [n - (k - 1) * d for n, k, d in zip(padded, kernel[3 - axes : 3], block)]
        cut = [n - a - b for n, a, b in zip(whole, crops[::2], crops[1::2])]
        if min(cut) < 1 or any(n % d for n, d in zip(padded, block)):
            return None
        return _Sizes(block, _pairs(pads), _pairs(crops), padded, whole, cut)

    def _integers(self, operator: OperatorData, index: int) -> list[int]:
        """A constant operand; empty if it is none."""
        place = operator.inputs[index] if index < len(operator.inputs) else -1
        tensor = self.tensors[place]
        if place < 0 or tensor.data is None or tensor.type not in ("INT32", "INT64"):
            return []
        return [int(number) for number in tensor.array().ravel()]

    def _resize(self, operator: OperatorData, sizes: tuple[int, ...] | list[int]) -> list[int]:
        """State the size of a result: a batch of one, the sizes, and the channels.

        Its name goes: the file's tensor of that name has its elements in another order.
        """
        place = operator.outputs[0]
        shape = (1, *sizes, self.tensors[place].shape[-1])
        is_last = operator.op == "BATCH_TO_SPACE_ND"
        name = self.tensors[place].name if is_last else f"{operator.label} dilated"
        self.tensors[place] = replace(self.tensors[place], shape=shape, name=name)
        return list(shape)

    def _replace(
        self,
        operator: OperatorData,
        op: str,
        sizes: list[int] | None,
        operands: tuple[object, ...],
    ) -> None:
        """Another operator on the same first operand, with constant other ones."""
        if sizes is not None:
            self._resize(operator, sizes)
        inputs = [operator.inputs[0]]
        for operand in operands:
            values = np.array(operand, dtype="<i4")
            none = np.empty(0)
            data = TensorData(
                f"{operator.label} {op}", values.shape, "INT32", none, none.astype(np.int64), 0,
                np.frombuffer(values.tobytes(), dtype=np.uint8),
            )  # fmt: skip
            inputs.append(len(self.tensors))
            self.tensors.append(data)
        self.replaced[operator.outputs[0]] = replace(
            operator, op=op, inputs=tuple(inputs), options={}
        )


def _pairs(values: list[int]) -> list[list[int]]:
    return [list(pair) for pair in zip(values[::2], values[1::2])]


def _kind(op: str) -> str:
    if op in _CONVOLUTIONS:
        return "convolution"
    return "move" if op in _MOVES else op

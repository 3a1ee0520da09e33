"""Code to copy: instantiate the core in Verilog; pack and unpack its streams in numpy.

Nothing out of the model but numbers goes into code: names could break out of it.
"""

from __future__ import annotations

from typing import Any

INLINE = 16
"""Longest list of constants that is written out; longer ones are read from report.json."""

_ROUNDING = {
    "half_even": "np.rint(x)",
    "half_up": "np.floor(x + 0.5)",
    "half_down": "np.ceil(x - 0.5)",
    "half_away": "np.sign(x) * np.floor(np.abs(x) + 0.5)",
    "half_to_zero": "np.sign(x) * np.ceil(np.abs(x) - 0.5)",
    "up": "np.sign(x) * np.ceil(np.abs(x))",
    "down": "np.trunc(x)",
    "ceil": "np.ceil(x)",
    "floor": "np.floor(x)",
}
_FUNCTIONS = {
    "relu": "np.maximum(x, 0.0)",
    "leaky_relu": "np.where(x >= 0.0, x, {a} * x)",
    "elu": "np.where(x >= 0.0, x, {a} * np.expm1(np.minimum(x, 0.0)))",
    "sigmoid": "0.5 * (1.0 + np.tanh(0.5 * x))",
    "tanh": "np.tanh(x)",
    "exp": "np.exp(x)",
    "softplus": "np.logaddexp(0.0, x)",
    "softsign": "x / (1.0 + np.abs(x))",
    "erf": "np.vectorize(__import__('math').erf)(x)",
    "abs": "np.abs(x)",
}


def verilog_instance(report: dict[str, Any]) -> str:
    """Instantiation of the core, with its wires."""
    wide, narrow = (report[port]["tdata_bits"] - 1 for port in ("input", "output"))
    lines = [
        f"wire [{wide}:0] in_tdata;",
        "wire in_tvalid, in_tready;",
        f"wire [{narrow}:0] out_tdata;",
        "wire out_tvalid, out_tready, out_tlast;",
        "",
        "nn2rtl_core core (",
        "    .clk(clk), .rst(rst),",
        "    .s_axis_tdata(in_tdata), .s_axis_tvalid(in_tvalid), .s_axis_tready(in_tready),",
        "    .s_axis_tlast(1'b0),",
        "    .m_axis_tdata(out_tdata), .m_axis_tvalid(out_tvalid), .m_axis_tready(out_tready),",
        "    .m_axis_tlast(out_tlast)",
        ");",
    ]
    return "\n".join(lines)


def numpy_code(report: dict[str, Any]) -> str:
    """Functions ``quantize``, ``pack``, ``unpack`` and ``real``, for one inference each."""
    body = [*_input_code(report["input"]), "", "", *_output_code(report["output"])]
    head = ["import numpy as np"]
    if any("REPORT[" in line for line in body):
        head = [
            "import json", "", *head, "",
            'with open("report.json") as file:', "    REPORT = json.load(file)",
        ]
    return "\n".join([*head, "", "", *body])


def _input_code(port: dict[str, Any]) -> list[str]:
    width, lanes = port["width"], port["lanes"]
    elements = lanes * port["beats"]
    shape = tuple(port["model_shape"])
    quantizer = port["quantizer"]
    lines = [
        "def quantize(x):",
        f'    """Integers, in stream order, of one real input of shape {shape}."""',
        f"    x = np.asarray(x, dtype=np.float64).reshape({shape})",
        f"    x = {_to_stream(port, 'input')}",
        *_channel_line(port, "input", elements),
        *_chain_code(port, "input"),
    ]
    if quantizer["kind"] == "sign":
        lines.append("    return (x >= 0).astype(np.int64)")
    elif quantizer["kind"] == "steps":
        lines += [
            '    rows = np.array(REPORT["input"]["quantizer"]["thresholds"])',
            f"    rows = rows[{'channel' if len(quantizer['thresholds']) > 1 else '0'}]",
            f"    return {quantizer['low']} + (x[:, None] >= rows).sum(axis=1)",
        ]
    else:
        scale = _constant(quantizer["scale"], 'REPORT["input"]["quantizer"]["scale"]', port)
        zero = _constant(
            quantizer["zero_point"], 'REPORT["input"]["quantizer"]["zero_point"]', port
        )
        before, after = (f" + {zero}", "") if not quantizer["zero_after"] else ("", f" + {zero}")
        lines += [
            f"    x = x / {scale}{before}",
            f"    x = {_ROUNDING[quantizer['rounding']]}{after}",
            f"    return np.clip(x, {quantizer['low']}, {quantizer['high']}).astype(np.int64)",
        ]
    return [
        *lines,
        "",
        "",
        "def pack(q):",
        f'    """The {port["beats"]} values of s_axis_tdata for integers in stream order."""',
        f"    rows = np.asarray(q).reshape({port['beats']}, {lanes}).tolist()",
        f"    return [sum((e & {(1 << width) - 1:#x}) << ({width} * i) for i, e in enumerate(row))"
        " for row in rows]",
    ]


def _output_code(port: dict[str, Any]) -> list[str]:
    width, lanes = port["width"], port["lanes"]
    mask = (1 << width) - 1
    lines = [
        "def unpack(beats):",
        f'    """Integers, in stream order, of {port["beats"]} values of m_axis_tdata."""',
        f"    q = [(b >> ({width} * i)) & {mask:#x} for b in beats for i in range({lanes})]",
    ]
    if port["signed"]:
        sign = 1 << (width - 1)
        lines.append(f"    q = [(e ^ {sign:#x}) - {sign:#x} for e in q]")
    lines += [
        "    return np.array(q, dtype=np.int64)",
        "",
        "",
        "def real(q):",
        f'    """The model\'s output, of shape {tuple(port["model_shape"])}."""',
    ]
    model_shape = tuple(port["model_shape"])
    if port["is_index"]:
        return [*lines, f"    return np.asarray(q).reshape({model_shape})"]
    lines += [
        "    x = np.asarray(q, dtype=np.float64)",
        *_channel_line(port, "output", lanes * port["beats"]),
        *_chain_code(port, "output"),
        *_from_stream(port),
    ]
    if port["argmax_axis"] is not None:
        lines.append(f"    x = np.argmax(x, axis={port['argmax_axis']})")
    elif port["softmax_axis"] is not None:
        axis = port["softmax_axis"]
        lines += [
            f"    x = np.exp(x - x.max(axis={axis}, keepdims=True))",
            f"    x = x / x.sum(axis={axis}, keepdims=True)",
        ]
    same = port["argmax_axis"] is None and tuple(port["tensor_shape"]) == model_shape
    return [*lines, "    return x" if same else f"    return x.reshape({model_shape})"]


def _to_stream(port: dict[str, Any], side: str) -> str:
    if port["axes"] is None:
        return f'x.ravel()[REPORT["{side}"]["order"]]'
    if port["axes"] == sorted(port["axes"]):
        return "x.ravel()"
    return f"x.transpose({tuple(port['axes'])}).ravel()"


def _from_stream(port: dict[str, Any]) -> list[str]:
    shape, axes = port["tensor_shape"], port["axes"]
    if axes is None:
        return [
            '    x = x[np.argsort(REPORT["output"]["order"])]',
            f"    x = x.reshape({tuple(shape)})",
        ]
    streamed = tuple(shape[axis] for axis in axes)
    lines = [f"    x = x.reshape({streamed})"]
    if axes != sorted(axes):
        inverse = tuple(axes.index(axis) for axis in range(len(axes)))
        lines.append(f"    x = x.transpose({inverse})")
    return lines


def _channel_line(port: dict[str, Any], side: str, elements: int) -> list[str]:
    """The channel of each element, where constants differ from channel to channel."""
    if port["channels"] == 1:
        return []
    if port["channel_of"] is None:
        return [f"    channel = np.arange({elements}) % {port['channels']}"]
    return [f'    channel = np.array(REPORT["{side}"]["channel_of"])']


def _chain_code(port: dict[str, Any], side: str) -> list[str]:
    return _steps_code(port, port["chain"], f'REPORT["{side}"]["chain"]')


def _steps_code(port: dict[str, Any], steps: list[dict[str, Any]], path: str) -> list[str]:
    lines: list[str] = []
    for index, step in enumerate(steps):
        here = f"{path}[{index}]"
        if step["kind"] == "affine":
            scale = _constant(step["scale"], f'{here}["scale"]', port)
            offset = _constant(step["offset"], f'{here}["offset"]', port)
            lines += [f"    x = x * {scale}", f"    x = x + {offset}"]
        elif step["kind"] == "round":
            lines.append(f"    x = {_ROUNDING[step['rounding']]}")
        elif step["left"] is not None:
            sign = "+" if step["kind"] == "sum" else "*"
            lines += [
                "    start = x",
                *_steps_code(port, step["left"], f'{here}["left"]'),
                "    left, x = x, start",
                *_steps_code(port, step["right"], f'{here}["right"]'),
                f"    x = left {sign} x",
            ]
        else:
            given = step["parameter"]
            parameter = _constant(given, f'{here}["parameter"]', port) if given else ""
            lines.append(f"    x = {_FUNCTIONS[step['kind']].format(a=parameter)}")
    return lines


def _constant(values: list[float], path: str, port: dict[str, Any]) -> str:
    if len(values) == 1:
        return f"({values[0]!r})" if values[0] < 0 else repr(values[0])
    text = f"{values!r}" if len(values) <= INLINE else path
    return f"np.array({text})[channel]"

"""Numbers and names as text, for all presentations."""

from __future__ import annotations

from typing import Any

UNKNOWN = "–"
RESOURCE_TITLES = {"lut": "LUT", "ff": "FF", "bram36": "BRAM36", "dsp": "DSP", "carry": "CARRY4"}


def clean(text: object) -> str:
    """Text without control characters, so that no name can steer a terminal or break a line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def number(value: float | None) -> str:
    """A number with separated thousands and up to 4 significant decimals; a dash if unknown."""
    if value is None:
        return UNKNOWN
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"


def percent(part: float | None, whole: float) -> str:
    """A share in percent; a dash if unknown, or if there is nothing to have a share of."""
    if part is None or (not whole and part):
        return UNKNOWN
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def duration(microseconds: float | None) -> str:
    """A time in the unit that suits it."""
    if microseconds is None:
        return UNKNOWN
    for limit, unit, factor in ((1, "ns", 1e3), (1e3, "µs", 1), (1e6, "ms", 1e-3)):
        if microseconds < limit:
            return f"{microseconds * factor:.4g} {unit}"
    return f"{microseconds * 1e-6:.4g} s"


def shape(extents: Any) -> str:
    """A shape such as 8×8×3; a dash if unknown."""
    if extents is None:
        return UNKNOWN
    return "×".join(str(extent) for extent in extents) or "scalar"


def verdict(report: dict[str, Any]) -> tuple[str, bool | None]:
    """Whether simulation confirmed the hardware: a phrase; True, False, or None if not simulated.
    """
    samples, mismatches = report["samples"], report["mismatches"]
    if samples is None:
        return "not simulated", None
    if mismatches:
        return f"{mismatches:,} of {samples:,} inferences differ from the model", False
    return f"{samples:,} of {samples:,} inferences bit-exact", True


def cycles(report: dict[str, Any], key: str) -> tuple[int, bool]:
    """`latency_cycles` or `interval_cycles`: simulated if known, else predicted (False)."""
    simulated = report[key]
    if simulated is not None:
        return int(simulated), True
    return int(report["predicted"][key]), False


def requantizer(entry: dict[str, Any]) -> str:
    """A requantizer in a few words, with the widths of its constants."""
    form = entry["form"]
    if form == "thresholds":
        steps = "step" if entry["levels"] == 1 else "steps"
        return f"{entry['levels']} {steps} of {entry['threshold_bits']} bit"
    if form == "table":
        return f"table of {1 << entry['accumulator_bits']} entries"
    if form == "shift":
        return f"+{entry['bias_bits']} bit >>{entry['shift']}"
    if form == "multiply-add-shift":
        return f"×{entry['multiplier_bits']} bit +{entry['bias_bits']} bit >>{entry['shift']}"
    return UNKNOWN

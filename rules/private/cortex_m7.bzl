# SPDX-License-Identifier: Apache-2.0
"""The configuration that firmware is always built in, whatever the command line says."""

def _cortex_m7_impl(_settings, _attr):
    return {
        "//command_line_option:compilation_mode": "opt",
        # Sanitizers and the like are for the host.
        "//command_line_option:copt": [],
        "//command_line_option:linkopt": [],
        "//command_line_option:platforms": [str(Label("//platforms:cortex_m7"))],
    }

cortex_m7 = transition(
    implementation = _cortex_m7_impl,
    inputs = [],
    outputs = [
        "//command_line_option:compilation_mode",
        "//command_line_option:copt",
        "//command_line_option:linkopt",
        "//command_line_option:platforms",
    ],
)

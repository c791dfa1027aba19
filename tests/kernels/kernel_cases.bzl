# SPDX-License-Identifier: Apache-2.0
"""kernel_cases: the table of kernel cases as C."""

_CASES = [
    "broken_integer",
    "broken_membrane",
    "broken_output",
    "broken_spike",
    "every",
    "narrow",
    "narrow_cells",
    "narrow_integer",
]

# What the networks are written as: how they are declared, their handles, and their C, for all
# levels of x86-64 in two parts, in plain C and for the Cortex-M7.
_FOLDERS = [
    "headers",
    "handles",
    "fast",
    "levels",
    "generic",
    "cortex_m7",
]

def _kernel_cases_impl(ctx):
    # Folders, because only the table knows how many networks it has.
    folders = {
        name: ctx.actions.declare_directory(ctx.label.name + "_" + name)
        for name in _FOLDERS
    }
    cases = {
        name: ctx.actions.declare_file("%s/%s.c" % (ctx.label.name, name))
        for name in _CASES
    }
    arguments = ctx.actions.args()
    for name, folder in folders.items():
        arguments.add("--" + name, folder.path)
    arguments.add("--cases", cases["every"].dirname)
    ctx.actions.run(
        executable = ctx.executable._generate,
        arguments = [arguments],
        outputs = folders.values() + cases.values(),
        mnemonic = "KernelCases",
        progress_message = "Running the reference for %s" % ctx.label,
    )
    groups = {name: depset([folder]) for name, folder in folders.items()}
    groups.update({name: depset([file]) for name, file in cases.items()})
    return [
        DefaultInfo(files = depset(cases.values())),
        OutputGroupInfo(**groups),
    ]

kernel_cases = rule(
    implementation = _kernel_cases_impl,
    doc = "Compiles every network of the table and runs the reference on it. Output groups: the " +
          "networks' `headers`, `handles` and C; inputs and expected results of `every` case, of " +
          "the `narrow` ones that a microcontroller holds, in three programs, and " +
          "`broken_KIND`, where one expected value of that kind is wrong.",
    attrs = {
        "_generate": attr.label(
            doc = "Reads the table.",
            cfg = "exec",
            default = ":generate",
            executable = True,
        ),
    },
)

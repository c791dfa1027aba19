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

def _kernel_cases_impl(ctx):
    # Folders, because only the table knows how many networks it has.
    headers = ctx.actions.declare_directory(ctx.label.name + "_headers")
    sources = ctx.actions.declare_directory(ctx.label.name + "_sources")
    cases = {
        name: ctx.actions.declare_file("%s/%s.c" % (ctx.label.name, name))
        for name in _CASES
    }
    arguments = ctx.actions.args()
    arguments.add("--headers", headers.path)
    arguments.add("--sources", sources.path)
    arguments.add("--cases", cases["every"].dirname)
    ctx.actions.run(
        executable = ctx.executable._generate,
        arguments = [arguments],
        outputs = [headers, sources] + cases.values(),
        mnemonic = "KernelCases",
        progress_message = "Running the reference for %s" % ctx.label,
    )
    return [
        DefaultInfo(files = depset(cases.values())),
        OutputGroupInfo(
            headers = depset([headers]),
            sources = depset([sources]),
            **{name: depset([file]) for name, file in cases.items()}
        ),
    ]

kernel_cases = rule(
    implementation = _kernel_cases_impl,
    doc = "Compiles every network of the table and runs the reference on it. Output groups: the " +
          "networks' `headers` and `sources`; inputs and expected results of `every` case, of " +
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

# SPDX-License-Identifier: Apache-2.0
"""A program out of Debian's packages, fetched without root, or the system's own by request."""

def _run(repository_ctx, command, what):
    result = repository_ctx.execute(command, timeout = 1800)
    if result.return_code != 0:
        fail("{what} failed.\n{out}{err}\n{advice}".format(
            what = what,
            out = result.stdout,
            err = result.stderr,
            advice = repository_ctx.attr.advice,
        ))
    if result.stderr:
        # buildifier: disable=print
        print(result.stderr)

def _debian_program_impl(repository_ctx):
    attr = repository_ctx.attr

    # Every label first: resolving one later would start the whole rule again.
    fetch = repository_ctx.path(attr._fetch)
    repository_ctx.path(attr._private_apt)
    lock = repository_ctx.path(attr.lock)
    arrange = repository_ctx.path(attr.arrange)
    repository_ctx.symlink(attr.build_file, "BUILD.bazel")

    source = repository_ctx.os.environ.get(attr.switch, "") or "packages"
    if source == "packages":
        _run(repository_ctx, ["sh", fetch, lock, "root"], "Fetching " + repository_ctx.name)
    elif source != "system":
        fail("{switch}={source} is not known: it is 'packages' (the default) or 'system'.".format(
            switch = attr.switch,
            source = source,
        ))
    _run(repository_ctx, ["sh", arrange, source], "Arranging " + repository_ctx.name)

debian_program = repository_rule(
    implementation = _debian_program_impl,
    doc = "Unpacks locked Debian packages and lets a script lay them out as a repository.",
    attrs = {
        "advice": attr.string(
            doc = "What a person can do when the packages cannot be had.",
            mandatory = True,
        ),
        "arrange": attr.label(
            doc = "Script run in the repository as `arrange packages` (they are in root/) or " +
                  "`arrange system`; leaves what the build file names.",
            allow_single_file = True,
            mandatory = True,
        ),
        "build_file": attr.label(
            doc = "The repository's build file.",
            allow_single_file = True,
            mandatory = True,
        ),
        "lock": attr.label(
            doc = "Packages, versions and sha256 sums.",
            allow_single_file = True,
            mandatory = True,
        ),
        "switch": attr.string(
            doc = "Environment variable (--repo_env) that chooses 'packages' or 'system'.",
            mandatory = True,
        ),
        "_fetch": attr.label(
            doc = "The script that fetches.",
            default = Label("//third_party/debian:fetch.sh"),
        ),
        "_private_apt": attr.label(
            doc = "Sourced by the script that fetches.",
            default = Label("//third_party/debian:private_apt.sh"),
        ),
    },
    environ = ["SPIKEC_ARM_GCC", "SPIKEC_QEMU"],
)

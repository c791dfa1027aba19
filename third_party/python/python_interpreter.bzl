# SPDX-License-Identifier: Apache-2.0
"""The host's Python as a runtime that sees nothing but what a target declares."""

# What pip is configured with from outside; a change installs anew.
PIP_ENVIRON = [
    "PIP_CONFIG_FILE",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
]

_PROBE = """\
import sys, venv, ensurepip
print(sys.version_info >= (3, 11) and sys.maxsize > 2**32, sys.executable)
"""

def run_python(repository_ctx, python, arguments, what, accept = None):
    """Runs Python with pip's own configuration in force.

    Args:
      repository_ctx: the rule's context.
      python: path of the interpreter.
      arguments: its arguments.
      what: what is being done, for the error.
      accept: a text that, when found in a failed run's output, makes it no error.

    Returns:
      The exec_result.
    """
    result = repository_ctx.execute(
        [python] + arguments,
        timeout = 3600,
        # Not the user's packages, nor a folder that happens to be the current one.
        environment = {
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "PYTHONNOUSERSITE": "1",
            "PYTHONPATH": "",
            "PYTHONSAFEPATH": "1",
        },
    )
    if result.return_code != 0 and not (accept and accept in result.stderr):
        fail("{what} failed.\n{out}{err}".format(
            what = what,
            out = result.stdout,
            err = result.stderr,
        ))
    return result

def _python_interpreter_impl(repository_ctx):
    candidates = []
    asked = repository_ctx.os.environ.get("SPIKEC_PYTHON")
    if asked:
        candidates.append(asked)
    else:
        # The system's own before whatever a user's PATH has first.
        candidates.append("/usr/bin/python3")
        found = repository_ctx.which("python3")
        if found:
            candidates.append(str(found))

    python = None
    for candidate in candidates:
        # env: a candidate that does not exist is an exit status, not an exception.
        result = repository_ctx.execute(["/usr/bin/env", candidate, "-c", _PROBE])
        if result.return_code == 0 and result.stdout.startswith("True "):
            python = result.stdout[len("True "):].strip()
            break
    if not python:
        fail(("No Python 3.11 or later with venv and ensurepip among {candidates}. On Debian: " +
              "apt-get install python3 python3-venv. Another interpreter: " +
              "--repo_env=SPIKEC_PYTHON=/path/to/python3.").format(
            candidates = ", ".join(candidates),
        ))

    run_python(repository_ctx, python, ["-m", "venv", "--without-pip", "bare"], "Making a venv")
    run_python(repository_ctx, python, ["-m", "venv", "tools"], "Making a venv with pip")
    repository_ctx.file("BUILD.bazel", """\
load("@rules_python//python:py_runtime.bzl", "py_runtime")

exports_files(["tools/bin/python3"])

py_runtime(
    name = "runtime",
    files = [
        "bare/bin/python3",
        "bare/pyvenv.cfg",
    ],
    interpreter = "bare/bin/python3",
    python_version = "PY3",
    # SAFEPATH: a script's own folder is no import path, so that only what is declared is found.
    stub_shebang = "#!/usr/bin/env -S PYTHONSAFEPATH=1 PYTHONNOUSERSITE=1 python3",
    visibility = ["//visibility:public"],
)
""", executable = False)

python_interpreter = repository_rule(
    implementation = _python_interpreter_impl,
    doc = "A bare virtual environment for targets, and one with pip for repository rules.",
    environ = ["SPIKEC_PYTHON"],
)

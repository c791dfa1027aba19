# SPDX-License-Identifier: Apache-2.0
"""What the documents say is so: snippets run, commands run or exist, paths and names are there.

Fenced blocks by their language:

- ``python``: executed, one namespace a document, in a folder with ``models/`` and recordings;
- ``c``: compiled against the generated network, linked with a main() and compared with the host;
- ``starlark``: every loaded symbol exists, every macro takes the arguments it is given;
- ``sh``: one command a line. ``spikec`` runs; a Bazel command's labels must exist;
- none: the same for the lines that start with a command, as those in sentences do;
- ``text``: a figure or an output, not checked.

What cannot be run here is in ``NOT_RUN`` with its reason, which is printed.
"""

from __future__ import annotations

import ast
import dataclasses
import glob
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.nmnist.net import INPUT_SHAPE
from spikec.cli import main as cli
from spikec.frontends.load import load
from spikec.frontends.pytorch import execute
from spikec.model import Model
from spikec.recordings.events import Recording, bin_events, read_nmnist, write_nmnist
from spikec.semantics import parity
from spikec.targets import host

# Bazel shows a test its files through links; the links' ends lie in the checkout.
ROOT = Path(__file__).resolve().parents[2]

RECORDINGS = Path(os.environ["RECORDINGS"]).absolute() if "RECORDINGS" in os.environ else None

NOT_RUN = {
    r"third_party/python/(venv|relock)\.sh": "fetches packages",
    r"third_party/(arm_gcc|qemu)/relock\.sh": "fetches packages",
    r"\.ci/run": "runs this test",
    r"dfu-util |arduino-cli ": "needs the board, and is said to be untested",
    r"npm pack |pip install |python3 -m venv ": "fetches packages",
    r"PYTHONPATH=python:\. python -m models\.\w+\.": "needs the real recordings, or minutes",
    r"DIGITS=": "needs the digits",
    r"spikec (prune|eval) .*--data (Train|\.\./shared)": "needs the real recordings, or minutes",
    r"spikec \w+ models/stmnist/": "needs recordings that the command before it simulates",
    r"spikec \w+ models/braille/": "needs recordings that the command before it writes",
    r"spikec check (net\.nir|arch\.json) ?": "names files of the reader's own",
    r"for name in host peers ": "takes minutes, and its figures are read on a quiet machine",
}
"""Commands, by how they start, that are not run here; their paths are checked all the same."""

# Made by a build or by a command of the documents; NAME stands for a network's or a target's name.
GENERATED = re.compile(
    r"(NAME|nmnist|nmnist_model|NAME_model|NAME_readout|nmnist_portenta|board_NAME|arch|weights)"
    r"(\.size)?"
    r"\.(h|c|ld|elf|bin|txt|json)|CMakeLists\.txt|spk_\*\.h|curves\.csv"
)
SUFFIXES = "py|h|c|inc|bzl|md|json|toml|ld|sh|pt|lock|in|bazel|csv|gz"
MACROS = {  # what a macro's target brings along, beside its name
    "snn_model": ("_net", "_exporter"),
    "snn_parity_test": ("_host", "_m7"),
    "snn_firmware": (),
    "snn_cc_library": (),
}

DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "third_party/*.md", "models/*/*.md")
    for path in ROOT.glob(pattern)
)


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its document, the line it starts at (from 1), its language, its lines."""

    document: str
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.document}:{self.line}"


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str) -> list[Block]:
    found = []
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", read(document), re.M | re.S):
        line = read(document)[: match.start()].count("\n") + 1
        found.append(Block(document, line, match[1], match[2]))
    return found


def all_blocks(*languages: str) -> list[Block]:
    return [b for document in DOCUMENTS for b in blocks(document) if b.language in languages]


def commands(block: Block) -> list[str]:
    """A block's commands: continued lines joined, comments gone."""
    lines = block.text.replace("\\\n", " ").splitlines()
    found = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in lines)
    return [line for line in found if line]


def inline_code(document: str) -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", read(document), flags=re.M | re.S)
    return re.findall(r"`([^`\n]+)`", prose)


COMMAND = re.compile(r"(\./bazelw|bazel|spikec|cat|pip) \S|third_party/\w+/\w+\.sh|\.ci/run")
COMMANDS = [
    *((b.where, command) for b in all_blocks("sh") for command in commands(b)),
    *((b.where, line) for b in all_blocks("") for line in commands(b) if COMMAND.match(line)),
    *((d, code) for d in DOCUMENTS for code in inline_code(d) if COMMAND.match(code)),
]


def test_every_document_is_found_and_every_block_has_a_language_that_is_checked() -> None:
    own = ["CHANGELOG.md", "CONTRIBUTING.md", "README.md"]
    own += ["docs/architecture.md", "docs/kernels.md", "docs/memory.md", "docs/bazel-rules.md"]
    own += ["docs/firmware.md", "docs/numbers.md"]
    own += ["docs/performance.md"]
    assert set(own) <= set(DOCUMENTS)
    for document in own:
        assert all(block.language for block in blocks(document)), f"{document}: name the language"
    for document in DOCUMENTS:
        assert read(document).count("\n```") % 2 == 0, f"{document}: a fence is not closed"
        for block in blocks(document):
            assert block.language in ("python", "c", "starlark", "sh", "text", ""), block.where
    for language in ("python", "c", "starlark", "sh"):
        assert all_blocks(language), f"no {language} block is found: the parser is broken"


def test_the_readme_is_under_two_screens() -> None:
    lines = read("README.md").splitlines()
    assert len(lines) <= 110
    assert max(map(len, lines)) <= 160


# What commands and snippets find in their folder.


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What //models:nmnist_recordings builds, which RECORDINGS names, or else a few made here."""
    if RECORDINGS is not None:
        return RECORDINGS
    folder = tmp_path_factory.mktemp("recordings")
    for digit in range(10):
        rng = np.random.default_rng(digit)
        path = folder / str(digit) / "00001.bin"
        path.parent.mkdir()
        count = 4000
        write_nmnist(
            path,
            Recording(
                np.clip(rng.normal(12 + digit, 4, count), 0, 33).astype(np.int16),
                np.clip(rng.normal(16, 6, count), 0, 33).astype(np.int16),
                rng.integers(0, 2, count).astype(np.uint8),
                np.sort(rng.integers(0, 308_000, count)).astype(np.int64),
                34, 34,
            ),
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README's command to save a network writes."""
    out = tmp_path_factory.mktemp("saved") / "nmnist.spikec"
    net = ["--net", "models.nmnist.net:net", "--input", "2,34,34"]
    status = cli.main(["save", str(ROOT / "models/nmnist/nmnist.pt"), *net, "--out", str(out)])
    assert status == 0
    return out


@pytest.fixture
def folder(tmp_path: Path, recordings: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which the documents' relative paths mean what a reader has."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    built = tmp_path / "bazel-bin" / "models"
    built.mkdir(parents=True)
    (built / "nmnist_recordings").symlink_to(recordings)
    (tmp_path / "nmnist.spikec").symlink_to(saved)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BUILD_WORKING_DIRECTORY", raising=False)
    return tmp_path


@pytest.mark.parametrize("document", sorted({b.document for b in all_blocks("python")}))
def test_python_snippets_run(document: str, folder: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "snippet"}
    torch.manual_seed(0)
    for block in blocks(document):
        if block.language == "python":
            code = "\n" * block.line + block.text  # so that a traceback names the document's line
            exec(compile(code, str(ROOT / document), "exec"), namespace)
    if document == "README.md":
        assert {"nmnist.h", "nmnist.c", "CMakeLists.txt"} < set(os.listdir(folder / "out"))
        frames = namespace["frames"]
        traced = namespace["host"].trace(frames)
        assert {name: spikes.shape[0] for name, spikes in traced.items()} == {"1": 50, "4": 50}
        assert traced["1"].any(), "the snippet's network is silent"
        expected = execute.trace(namespace["net"], frames)
        compared = parity.compare(
            namespace["model"].network, traced, expected.spikes, expected.potentials
        )
        assert compared.holds, str(compared)


def test_a_python_snippet_that_is_wrong_fails(folder: Path) -> None:
    with pytest.raises(AssertionError):
        exec(compile("assert [2, 1, 0] == [0, 1, 2]", "README.md", "exec"), {})


# Commands.


@pytest.mark.parametrize(("where", "command"), COMMANDS)
def test_a_command_runs_or_names_what_exists(
    where: str, command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for pattern, reason in NOT_RUN.items():
        if re.match(pattern, command):
            with capsys.disabled():
                print(f"\n{where}: not run ({reason}): {command}")
            for word in shlex.split(command):
                check_path(where.partition(":")[0], word)
            return
    words = shlex.split(command)
    if words[0] in ("./bazelw", "bazel", "third_party/bazel7/run.sh"):
        check_bazel(where, words)
    elif words[0] == "cat":
        for word in words[1:]:
            match = re.fullmatch(r"bazel-bin/(.+)/([\w]+)\.size\.(txt|json)", word)
            assert match, f"{where}: no rule is known for {word}"
            check_label(where, f"//{match[1]}:{match[2]}")
    elif words[0] == "spikec" and len(words) == 2:
        with pytest.raises(SystemExit) as stopped:  # only the verb's name, in a sentence
            cli.main([words[1], "--help"])
        assert stopped.value.code == 0
    elif words[0] == "spikec":
        check_built_before(where, command)
        run_spikec(where, words[1:])
        assert capsys.readouterr().out.strip(), f"{where}: it printed nothing: {command}"
    else:
        pytest.fail(f"{where}: neither run nor in NOT_RUN: {command}")


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_what_is_not_run_is_still_in_a_document(pattern: str) -> None:
    assert any(re.match(pattern, command) for _, command in COMMANDS), "drop it from NOT_RUN"


def check_built_before(where: str, command: str) -> None:
    """Fails when a command reads what a fresh clone lacks and no command before it builds."""
    document = where.partition(":")[0]
    told = [c for w, c in COMMANDS if w.partition(":")[0] == document]
    for package, target in re.findall(r"bazel-bin/(\S+?)/(\w+)/\S", command):
        before = told[: told.index(command)] if command in told else told
        build = re.compile(rf"(\./bazelw|bazel) build //{package}:{target}$")
        assert any(build.match(c) for c in before), f"{where}: what builds //{package}:{target}?"


def test_a_command_that_reads_what_is_not_built_fails() -> None:
    command = "spikec run --events bazel-bin/models/nmnist_recordings/3/*.bin"
    check_built_before("README.md:1", command)
    with pytest.raises(AssertionError, match="what builds"):
        check_built_before("CONTRIBUTING.md:1", command)


def run_spikec(where: str, words: list[str]) -> None:
    arguments = []
    for word in words:
        found = sorted(glob.glob(word)) if "*" in word else [word]
        assert found, f"{where}: {word} matches nothing"
        arguments += found
    status = cli.main(arguments)
    assert status == 0, f"{where}: exit status {status} of spikec {' '.join(arguments)}"
    if "--out" in arguments:
        out = Path(arguments[arguments.index("--out") + 1])
        assert out.is_file() or os.listdir(out)


def test_a_spikec_command_with_a_wrong_option_fails(folder: Path) -> None:
    with pytest.raises(SystemExit):
        run_spikec("here", ["check", "models/nmnist/nmnist.pt", "--no-such-option"])
    with pytest.raises(AssertionError, match="exit status 1"):
        run_spikec("here", ["check", "gone.pt", "--net", "models.nmnist.net:net", "--input", "1"])


def check_bazel(where: str, words: list[str]) -> None:
    if len(words) == 1:
        return  # the program's name alone
    assert words[1] in ("run", "build", "test"), f"{where}: verb {words[1]}"
    rest = words[2 : words.index("--")] if "--" in words else words[2:]
    if "-c" in rest:  # the one option here whose value is a word of its own
        assert rest.pop(rest.index("-c") + 1) == "opt", f"{where}: -c what?"
    labels = [word for word in rest if not word.startswith("-")]
    assert labels, f"{where}: no target in {' '.join(words)}"
    for label in labels:
        check_label(where, label)
    for option in rest:
        if option.startswith("--config="):
            config = option.removeprefix("--config=")
            assert f"build:{config} " in read(".bazelrc"), f"{where}: {option} is not in .bazelrc"
        elif option.startswith("--platforms="):
            check_label(where, option.removeprefix("--platforms="))


# Labels, by reading BUILD files.


def check_label(where: str, label: str) -> None:
    match = re.fullmatch(r"//([\w/.-]*)(?::([\w/.+-]+))?", label)
    assert match, f"{where}: {label!r} is no label"
    package, target = match[1], match[2]
    if package.endswith("...") and target is None:
        assert (ROOT / package.removesuffix("...")).is_dir(), f"{where}: {label}: no such folder"
        return
    build = ROOT / package / "BUILD.bazel"
    assert build.is_file(), f"{where}: {label}: there is no {package}/BUILD.bazel"
    name = target or package.rpartition("/")[2]
    assert name in targets(build) or (ROOT / package / name).is_file(), (
        f"{where}: {label}: {package}/BUILD.bazel has no target {name!r}"
    )


def targets(build: Path) -> set[str]:
    """The targets that a BUILD file names, and those that our macros make of them."""
    found = set()
    for node in ast.walk(ast.parse(build.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        for keyword in node.keywords:
            if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                name = str(keyword.value.value)
                found |= {name, *(name + end for end in MACROS.get(node.func.id, ()))}
    return found


def test_a_label_that_does_not_exist_fails() -> None:
    check_label("here", "//:demo")
    check_label("here", "//models:nmnist_parity_test_m7")
    for label in ("//:demonstration", "//models:gone", "//gone:gone", "//gone/..."):
        with pytest.raises(AssertionError):
            check_label("here", label)


# Paths and names in sentences.


def check_path(where: str, word: str) -> None:
    """Fails when ``word`` looks like a path in the repository and is none."""
    word = word.removeprefix("./").rstrip("/")
    first = word.partition("/")[0]
    if not re.fullmatch(r"[\w.][\w./-]*", word) or GENERATED.fullmatch(word) or first == "..":
        return
    if "/" in word:
        if (ROOT / first).is_dir() and not first.startswith("bazel-"):
            here = (ROOT / where).parent  # a document may speak of its own folder
            assert (ROOT / word).exists() or (here / word).exists(), f"{where}: there is no {word}"
    elif re.fullmatch(rf"[\w-]+\.({SUFFIXES})", word):
        assert any(ROOT.glob(word)) or tracked(word), f"{where}: there is no file {word}"


def tracked(name: str) -> bool:
    rooms = ("python", "cc", "rules", "models", "tests", "benchmarks", "docs", "third_party")
    return any(any((ROOT / room).rglob(name)) for room in rooms)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_labels_and_names_in_the_text_exist(document: str) -> None:
    sources = our_text()
    for code in inline_code(document):
        for word in code.split():
            check_path(document, word)
            if re.fullmatch(r"//[\w/]+:\w+", word):
                check_label(document, word)
        for name in re.findall(r"\bSPIKEC_\w+|\bspk_[a-z]\w+|\bsnn_\w+|\bSPK_[A-Z]\w+", code):
            if name != "spk_noun_verb":
                assert name in sources, f"{document}: {name} is nowhere in the code"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", read(document)):
        if not target.startswith("https://"):
            assert ((ROOT / document).parent / target).is_file(), f"{document}: {target}"


def test_a_path_that_does_not_exist_fails() -> None:
    check_path("here", "python/spikec/ir/network.py")
    for word in ("python/spikec/gone.py", "cc/gone/", "gone.bzl", "./cc/gone.h"):
        with pytest.raises(AssertionError):
            check_path("here", word)


def our_text() -> str:
    """All code of the project, in which a name that the documents use must occur."""
    return "\n".join(
        path.read_text(encoding="utf-8")
        for room in ("python", "cc", "rules", "third_party", "models", "tests")
        for path in sorted((ROOT / room).rglob("*"))
        if path.suffix in (".py", ".c", ".h", ".inc", ".ld", ".bzl", ".sh")
    )


# Starlark.


@pytest.mark.parametrize("block", all_blocks("starlark"), ids=lambda block: block.where)
def test_starlark_snippets_load_what_exists_and_pass_arguments_that_exist(block: Block) -> None:
    check_starlark(block.where, block.text)


def check_starlark(where: str, text: str) -> None:
    macros: dict[str, ast.FunctionDef] = {}
    for call in calls(ast.parse(text)):
        if call.func.id == "load":
            label, *symbols = (ast.literal_eval(argument) for argument in call.args)
            if label.startswith("//"):
                package, _, file = label.removeprefix("//").partition(":")
                tree = ast.parse((ROOT / package / file).read_text(encoding="utf-8"))
                defined = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
                for symbol in symbols:
                    assert symbol in defined, f"{where}: {label} has no {symbol}"
                    macros[symbol] = defined[symbol]
        elif call.func.id in macros:
            arguments = macros[call.func.id].args
            known = [argument.arg for argument in arguments.args]
            given = [keyword.arg for keyword in call.keywords]
            for name in given:
                assert name in known, f"{where}: {call.func.id} takes no {name}"
            for name in known[: len(known) - len(arguments.defaults)]:
                assert name in given, f"{where}: {call.func.id} needs {name}"
        else:
            assert call.func.id.startswith(("py_", "cc_")) or call.func.id == "requirement", where


def calls(tree: ast.AST) -> Iterator[Any]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node


def test_a_starlark_snippet_with_a_wrong_argument_fails() -> None:
    load = 'load("//rules:snn_model.bzl", "snn_model")\n'
    with pytest.raises(AssertionError, match="takes no weights"):
        check_starlark("here", load + 'snn_model(name = "a", weights = "b")')
    with pytest.raises(AssertionError, match="needs checkpoint"):
        check_starlark("here", load + 'snn_model(name = "a")')


def test_the_table_of_rules_gives_their_parameters_in_order() -> None:
    table = re.findall(r"^\| `(snn_\w+)\(([\w, ]+)\)`", read("docs/bazel-rules.md"), re.M)
    assert [name for name, _ in table] == list(dict.fromkeys(name for name, _ in table))
    assert {name for name, _ in table} == set(MACROS)
    for name, listed in table:
        tree = ast.parse(read(f"rules/{name}.bzl"))
        known = next(
            [argument.arg for argument in node.args.args]
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.name == name
        )
        places = [known.index(parameter) for parameter in listed.split(", ")]
        assert places == sorted(places), name


# C.

_MAIN = """
#include <stdio.h>
static spk_event events[20000];
int main(void) {
  size_t length = 0;
  unsigned x, y, polarity, time_us;
  while (scanf("%u %u %u %u", &x, &y, &polarity, &time_us) == 4) {
    events[length++] = (spk_event){(uint16_t)x, (uint16_t)y, (uint8_t)polarity, time_us};
  }
  uint32_t digit = 99;
  if (classify(events, length, &digit) != SPK_OK) return 1;
  printf("%u", (unsigned)digit);
  for (int i = 0; i < NMNIST_OUTPUTS; i++) printf(" %u", (unsigned)counts[i]);
  return 0;
}
"""


_STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror")


@pytest.fixture(scope="module")
def nmnist() -> Model:
    path = ROOT / "models/nmnist/nmnist.pt"
    loaded = load(path, net="models.nmnist.net:net", input_shape=INPUT_SHAPE)
    return Model.of(loaded.network, "nmnist", "f32")


@pytest.mark.parametrize(
    "block",
    [block for block in all_blocks("c") if "classify(" not in block.text],
    ids=lambda block: block.where,
)
def test_c_snippets_compile_strictly(block: Block, nmnist: Model, folder: Path) -> None:
    nmnist.write(folder / "c")
    (folder / "c" / "part.c").write_text(block.text, encoding="utf-8")
    command = [*host.compiler(), "-std=c11", *_STRICT, "-c", "part.c"]
    built = subprocess.run(command, cwd=folder / "c", capture_output=True, text=True, check=False)
    assert built.returncode == 0, f"{block.where}: {built.stderr}"


@pytest.mark.parametrize(
    "block",
    [block for block in all_blocks("c") if "classify(" in block.text],
    ids=lambda block: block.where,
)
def test_c_snippets_compile_and_classify_as_the_host_does(
    block: Block, nmnist: Model, folder: Path
) -> None:
    nmnist.write(folder / "c")
    (folder / "c" / "snippet.c").write_text(block.text + _MAIN, encoding="utf-8")
    flags = ["-std=c11", "-O1"]
    command = [*host.compiler(), *flags, *_STRICT, "snippet.c", "nmnist.c", "-o", "snippet"]
    built = subprocess.run(command, cwd=folder / "c", capture_output=True, text=True, check=False)
    assert built.returncode == 0, f"{block.where}: {built.stderr}"
    for path in sorted((folder / "bazel-bin/models/nmnist_recordings").glob("*/*.bin"))[:3]:
        recording = read_nmnist(path)
        expected = nmnist.build().run(bin_events(recording, steps=20, window_us=15500)).sum(axis=0)
        time_us = recording.time_us - recording.time_us[0]
        columns = zip(recording.x, recording.y, recording.polarity, time_us, strict=True)
        ran = subprocess.run(
            [folder / "c" / "snippet"],
            input="\n".join(f"{x} {y} {p} {t}" for x, y, p, t in columns),
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        digit, *counts = (int(word) for word in ran.stdout.split())
        assert counts == expected.tolist()
        assert digit == int(np.argmax(expected))


# Figures that a snippet of the text can settle.


def test_figures_of_the_network_in_the_readme_are_right(nmnist: Model) -> None:
    weights = sum(
        layer.weight.size + layer.bias.size
        for layer in nmnist.network.layers
        if hasattr(layer, "weight") and hasattr(layer, "bias")
    )
    neurons = sum(layer.neurons for layer in nmnist.report().layers)
    assert f"{weights:,} weights, {neurons:,} neurons" in read("README.md")


def test_versions_in_the_readme_are_the_locked_ones() -> None:
    locked = read("third_party/python/core.cpu.lock")
    text = read("README.md")
    for package in ("torch", "snntorch"):
        version = re.search(rf"^{package}==([\d.]+)", locked, re.M)
        assert version is not None
        said = re.search(rf"\b{package} (\d[\d.]*\d)", text)
        assert said is not None
        assert version[1].startswith(said[1])
    assert re.search(r"USE_BAZEL_VERSION=7\.7\.1", read(".bazeliskrc"))
    assert "Bazel 7.7.1" in text

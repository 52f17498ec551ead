"""A machine hall, made up from physics: what the demo's sensors read when nobody brings data.

Decides what three kinds of machine do all day and what a sensor at their motor shows of it. The table is one day of the hall,
played fast and in a circle: shifts, breaks and the sun move with the length of the table, while motors heat up, spin and
strike in real seconds. All filters are computed in their periodic steady state, so the last row leads into the first without
a jump. Everything follows from (seed, device id); the hall's air is the same for all devices of a seed.

Models: winding and frame as two first-order bodies heated by copper loss; vibration (rms velocity, ISO 10816) from speed, load
and bearing wear, judged over a finite window; current from load with in-rush at start. Noise is that of common parts: Pt100
with a 16-bit converter, current transformer, MEMS accelerometer, ceramic pressure cell.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from host.sim.signals import Channel, Floats, SignalTable, quantise

CHANNELS: Final = (
    Channel("winding_temp", "degC", "0.01"),
    Channel("current", "A", "0.01"),
    Channel("vibration", "mm/s", "0.001"),
    Channel("pressure", "kPa", "1"),
)
MINUTES = 40               # long enough that nobody sees it repeat during a demo of a few minutes
ROW_MS = 250               # the demo's sampling period
WINDING_S, FRAME_S = 45.0, 400.0   # thermal time constants of a 2 kW motor: copper in its slot, iron and housing
SPIN_S = 1.6               # run-up and run-down of a spindle with its drive
INRUSH_S = 0.35            # decay of the current at start
INRUSH = 3.5               # times the rated current; a soft starter's, not the 6 of a direct start
VALVE_S = 0.6              # hydraulics follow the valve
AIR_S = 90.0               # the hall's air after a gate was opened
GATES_PER_DAY = 9          # lorries
RIPPLE_SHARE = 0.015       # of a vibration's level: rms over one row of a random signal scatters so much
DROPOUTS = 1.2             # per table and device: a loose plug, a bus that hangs; one sensor says nothing for seconds
NOISE = (0.015, 0.020, 0.004, 0.8)   # standard deviations in the channels' units


@dataclass(frozen=True)
class Kind:
    """One kind of machine.

    Attributes:
        busy_s, idle_s: mean length of a job and of the pause between two.
        loads: range that a job's load is drawn from, share of the rated load.
        idle_load: load while it waits; a pump never waits, a spindle turns empty.
        amps: current at rated load. heat_k: winding over ambient at rated load, steady state.
        shake: vibration at rated speed, good bearing, mm/s.
        pressure: kPa at standstill, running, and at full load.
        stroke_s: length of a stroke within a job; 0 is none. gusts: how much the load wanders within a job.
    """

    name: str
    busy_s: float
    idle_s: float
    loads: tuple[float, float]
    idle_load: float
    amps: float
    heat_k: float
    shake: float
    pressure: tuple[float, float, float]
    stroke_s: float
    gusts: float


KINDS: Final = (
    Kind("mill", 38.0, 14.0, (0.35, 0.95), 0.12, 11.0, 62.0, 1.35, (101.0, 420.0, 640.0), 0.0, 0.10),
    Kind("press", 55.0, 18.0, (0.45, 0.90), 0.10, 16.0, 48.0, 1.9, (101.0, 260.0, 1450.0), 9.0, 0.03),
    Kind("pump", 170.0, 9.0, (0.55, 0.80), 0.42, 7.5, 38.0, 0.85, (120.0, 310.0, 395.0), 0.0, 0.06),
)


def kind_of(seed: int, device: str) -> Kind:
    """Which machine a device sits on."""
    return KINDS[int(_random(seed, device, "kind").integers(len(KINDS)))]


def tables(seed: int, devices: Sequence[str], *, minutes: float = MINUTES, row_ms: int = ROW_MS) -> dict[str, SignalTable]:
    """The hall's tables, device id -> table; about 20 ms a device at the default length.

    Args:
        minutes: length of the table, which is the hall's day.
        row_ms: how long a row is shown.
    """
    return {device: table(seed, device, minutes=minutes, row_ms=row_ms) for device in devices}


def table(seed: int, device: str, *, minutes: float = MINUTES, row_ms: int = ROW_MS) -> SignalTable:
    """One device's table; equal arguments give equal tables."""
    dt_s = row_ms / 1000
    rows = max(2, round(minutes * 60 / dt_s))
    columns = _machine(kind_of(seed, device), _air(seed, rows, dt_s), _random(seed, device, "machine"), rows, dt_s)
    _drop_out(columns, _random(seed, device, "dropouts"), dt_s)
    steps = [quantise(column, channel.resolution) for column, channel in zip(columns, CHANNELS, strict=True)]
    return SignalTable(row_ms, CHANNELS, np.column_stack(steps))


def _random(seed: int, device: str, purpose: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{device}/{purpose}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def _lag(signal: Floats, tau_s: float, dt_s: float) -> Floats:
    """First-order low pass of a signal that repeats for ever: no transient, and linear in the number of rows (nearly)."""
    keep = np.exp(-dt_s / tau_s)
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(len(signal)))
    return np.asarray(np.fft.irfft(np.fft.rfft(signal) * (1 - keep) / (1 - keep * turns), len(signal)), np.float64)


def _wander(random: np.random.Generator, rows: int, tau_s: float, dt_s: float) -> Floats:
    """A slow random walk around zero with a standard deviation of one."""
    slow = _lag(random.standard_normal(rows), tau_s, dt_s)
    return (slow - float(slow.mean())) / max(float(slow.std()), 1e-9)


def _air(seed: int, rows: int, dt_s: float) -> Floats:
    """The hall's air: cool at dawn, warm in the afternoon, colder for a while after each opening of the gate."""
    random = _random(seed, "hall", "air")
    phase = np.arange(rows) / rows
    day = 21.5 - 3.2 * np.cos(2 * np.pi * (phase - 0.14)) - 0.7 * np.cos(4 * np.pi * (phase - 0.05))
    gate = np.zeros(rows)
    for _ in range(GATES_PER_DAY):
        start, length = int(random.integers(rows)), round(random.uniform(25, 70) / dt_s)
        gate[np.arange(start, start + length) % rows] = random.uniform(2.0, 5.0)
    return day - _lag(gate, AIR_S, dt_s) + 0.12 * _wander(random, rows, 60.0, dt_s)


def _demand(phase: float) -> float:
    """How much work there is at a time of the day 0..1: two shifts with a break each, a skeleton crew at night."""
    for begin, pause, end in ((0.22, 0.40, 0.57), (0.57, 0.74, 0.90)):
        if begin <= phase < end:
            return 0.25 if pause <= phase < pause + 0.03 else 1.0
    return 0.12


def _jobs(kind: Kind, random: np.random.Generator, rows: int, dt_s: float) -> tuple[Floats, Floats, Floats]:
    """A chain of states over the day: off, waiting or at work. Returns (running 0/1, load 0..1, working 0/1)."""
    running, load, working = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    row, at_work = 0, False
    while row < rows:
        demand = _demand(row / rows)
        at_work = not at_work and random.random() < demand
        length_s = random.gamma(3.0, (kind.busy_s if at_work else kind.idle_s / max(demand, 0.2)) / 3.0)
        end = min(rows, row + max(1, round(length_s / dt_s)))
        on = at_work or random.random() < demand   # who has nothing to do at night switches the machine off
        running[row:end] = on
        working[row:end] = at_work
        load[row:end] = random.uniform(*kind.loads) if at_work else kind.idle_load * on
        row = end
    return running, load, working


def _strokes(kind: Kind, working: Floats, dt_s: float) -> Floats:
    """A press builds up force, holds and lets go; others work evenly: 1."""
    if not kind.stroke_s:
        return np.ones(len(working))
    begins = np.maximum.accumulate(np.where(np.diff(working, prepend=0.0) > 0, np.arange(len(working)), 0))
    phase = ((np.arange(len(working)) - begins) * dt_s / kind.stroke_s) % 1.0
    force = np.interp(phase, (0.0, 0.30, 0.55, 0.62, 1.0), (0.05, 1.0, 1.0, 0.05, 0.05))
    return np.where(working > 0, force, 1.0)


def _machine(kind: Kind, air: Floats, random: np.random.Generator, rows: int, dt_s: float) -> list[Floats]:
    """The four channels of one machine, before the sensor's resolution."""
    scatter = random.normal(1.0, 0.07, 4)   # no two machines are alike
    wear = float(random.beta(1.1, 6.0))     # most bearings are good, one in a dozen is not
    running, load, working = _jobs(kind, random, rows, dt_s)
    load = load * (1 + kind.gusts * working * _wander(random, rows, 3.0, dt_s)) * _strokes(kind, working, dt_s)
    load = np.clip(_lag(load, VALVE_S, dt_s), 0.0, 1.2)
    speed = np.clip(_lag(running, SPIN_S, dt_s), 0.0, 1.0)
    starts = np.maximum(np.diff(running, prepend=running[-1]), 0.0)
    inrush = _lag(starts, INRUSH_S, dt_s) / (1 - np.exp(-dt_s / INRUSH_S))
    current = kind.amps * scatter[0] * (speed * (0.18 + 0.82 * load) + INRUSH * 0.6 * inrush)
    loss = (current / kind.amps) ** 2 * 0.8 + 0.2 * speed
    heat = kind.heat_k * scatter[1] * (0.45 * _lag(loss, WINDING_S, dt_s) + 0.55 * _lag(loss, FRAME_S, dt_s))
    rough = 1 + 2.2 * wear * (1 + 0.35 * _wander(random, rows, 40.0, dt_s))
    vibration = kind.shake * scatter[2] * speed * (0.45 + 0.75 * load) * rough
    low, idle, full = kind.pressure
    pressure = low + speed * ((idle - low) + (full - idle) * scatter[3] * load)
    ripple = 1 + RIPPLE_SHARE * random.standard_normal(rows)
    noise = [size * random.standard_normal(rows) for size in NOISE]
    return [
        air + heat + noise[0],
        np.maximum(current + noise[1] * (0.3 + speed), 0.0),
        np.maximum(vibration * ripple, 0.0) + 0.02 + np.abs(noise[2]),   # the floor's own tremor
        pressure + noise[3] * (0.4 + speed),
    ]


def _drop_out(columns: list[Floats], random: np.random.Generator, dt_s: float) -> None:
    for _ in range(int(random.poisson(DROPOUTS))):
        column = columns[int(random.integers(len(columns)))]
        start = int(random.integers(len(column)))
        column[start:start + round(random.uniform(2.0, 12.0) / dt_s)] = np.nan

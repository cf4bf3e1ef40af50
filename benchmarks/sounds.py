"""Synthetic sounds without speech: float32 of shape (samples,), 16 kHz mono."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RATE = 16_000

_SECONDS = 40.0


def _time(seconds: float = _SECONDS) -> np.ndarray:
    return np.arange(round(seconds * RATE)) / RATE


def _level(samples: np.ndarray, dbfs: float) -> np.ndarray:
    """Scale the samples to a level (root mean square)."""
    return (samples * 10 ** (dbfs / 20) / np.sqrt(np.mean(np.square(samples)))).astype(np.float32)


def _coloured(power: float, seed: int, seconds: float = _SECONDS) -> np.ndarray:
    """Noise whose spectrum falls with this power of the frequency: 0 white, 1 pink, 2 brown."""
    random = np.random.default_rng(seed)
    size = round(seconds * RATE)
    spectrum = np.fft.rfft(random.standard_normal(size))
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 20)
    return np.fft.irfft(spectrum / hertz ** (power / 2), size)


def _bursts(rate: float, decay: float, seed: int) -> np.ndarray:
    """Short noises at random times, `rate` a second, that decay within `decay` seconds."""
    random = np.random.default_rng(seed)
    impulses = np.zeros(round(_SECONDS * RATE))
    places = random.integers(0, impulses.size, round(rate * _SECONDS))
    np.add.at(impulses, places, random.uniform(0.2, 1, places.size))
    length = round(6 * decay * RATE)
    shape = random.standard_normal(length) * np.exp(-np.arange(length) / (decay * RATE))
    size = impulses.size + length
    return np.fft.irfft(np.fft.rfft(impulses, size) * np.fft.rfft(shape, size), size)[: impulses.size]


def silence() -> np.ndarray:
    return np.zeros(round(_SECONDS * RATE), np.float32)


def dither() -> np.ndarray:
    return _level(_coloured(0, 1), -90)


def hiss() -> np.ndarray:
    return _level(_coloured(0, 2), -55)


def loud_hiss() -> np.ndarray:
    return _level(_coloured(0, 3), -25)


def room() -> np.ndarray:
    return _level(_coloured(1.5, 4), -50)


def ventilation() -> np.ndarray:
    return _level(_coloured(2, 5) + 0.2 * np.std(_coloured(2, 5)) * np.sin(2 * np.pi * 118 * _time()), -35)


def hum() -> np.ndarray:
    """Mains hum and its overtones."""
    t = _time()
    return _level(np.sum([np.sin(2 * np.pi * 50 * n * t + n) / n for n in range(1, 9)], axis=0), -30)


def wind() -> np.ndarray:
    gusts = 0.3 + np.abs(np.interp(_time(), np.linspace(0, _SECONDS, 30), np.random.default_rng(6).standard_normal(30)))
    return _level(_coloured(2, 7) * gusts, -28)


def ringing() -> np.ndarray:
    """A European ring tone: 425 Hz, one second on, four off."""
    t = _time()
    return (0.15 * np.sin(2 * np.pi * 425 * t) * (t % 5 < 1)).astype(np.float32)


def busy() -> np.ndarray:
    t = _time()
    return (0.15 * (np.sin(2 * np.pi * 480 * t) + np.sin(2 * np.pi * 620 * t)) * (t % 1 < 0.5)).astype(np.float32)


def dialling() -> np.ndarray:
    """Touch tones."""
    t, random = _time(), np.random.default_rng(8)
    rows, columns = (697, 770, 852, 941), (1209, 1336, 1477)
    keys = random.integers(0, 12, round(_SECONDS * 2) + 1)[(t * 2).astype(int)]
    low, high = np.array(rows)[keys // 3], np.array(columns)[keys % 3]
    return (0.1 * (np.sin(2 * np.pi * low * t) + np.sin(2 * np.pi * high * t)) * (t * 2 % 1 < 0.4)).astype(np.float32)


def applause() -> np.ndarray:
    rising = np.minimum(1, _time() / 2) * np.minimum(1, (_SECONDS - _time()) / 10)
    return _level(_bursts(120, 0.01, 9) * rising, -25)


def rain() -> np.ndarray:
    return _level(_bursts(600, 0.002, 10) + 0.2 * np.std(_bursts(600, 0.002, 10)) * _coloured(1, 11), -35)


def typing() -> np.ndarray:
    return (_level(_bursts(5, 0.008, 12), -32) + _level(_coloured(1.5, 13), -60)).astype(np.float32)


def breathing() -> np.ndarray:
    t = _time()
    breath = np.maximum(0, np.sin(2 * np.pi * 0.27 * t)) ** 2 + 0.6 * np.maximum(0, -np.sin(2 * np.pi * 0.27 * t)) ** 4
    return (_level(_coloured(0.7, 14) * breath, -42) + _level(_coloured(1.5, 15), -65)).astype(np.float32)


def laughter() -> np.ndarray:
    """Bursts of a falling voice, four a second, between breaths: glottal pulses through the resonances of an "a"."""
    t = _time()
    burst = t * 4 % 1
    laughs = (t % 3 < 2) & (burst < 0.55)
    hertz = (230 - 40 * (t % 3)) * (1.1 - 0.3 * burst)
    pulses = 2 * (np.cumsum(hertz) / RATE % 1) - 1
    spectrum = np.fft.rfft((pulses + 0.3 * _coloured(0, 19) / 3) * laughs)
    frequencies = np.fft.rfftfreq(t.size, 1 / RATE)
    formants = ((750, 80), (1200, 110), (2600, 160))
    throat = np.sum([1 / (1 + ((frequencies - peak) / width) ** 2) for peak, width in formants], axis=0)
    return _level(np.fft.irfft(spectrum * throat, t.size), -25)


def chords() -> np.ndarray:
    """Slow chords with a little vibrato, like an organ."""
    t, random = _time(), np.random.default_rng(16)
    samples = np.zeros_like(t)
    for bar in range(round(_SECONDS / 2)):
        root = 220 * 2 ** (random.choice([0, 5, 7, 9, -3]) / 12)
        within = (t >= 2 * bar) & (t < 2 * bar + 2)
        swell = np.sin(np.pi * (t[within] - 2 * bar) / 2) ** 0.5
        for interval in (0, 4, 7, 12):
            hertz = root * 2 ** (interval / 12)
            phase = 2 * np.pi * hertz * t[within] + 0.3 * np.sin(2 * np.pi * 5 * t[within])
            samples[within] += swell * sum(np.sin(n * phase) / n**1.5 for n in range(1, 6))
    return _level(samples, -22)


def plucked() -> np.ndarray:
    """A melody on plucked strings."""
    t, random = _time(), np.random.default_rng(17)
    samples = np.zeros_like(t)
    for start in np.arange(0, _SECONDS - 1, 0.25):
        hertz = 330 * 2 ** (random.choice([-12, -8, -5, -3, 0, 2, 4, 7, 9, 12]) / 12)
        first = round(start * RATE)
        note = t[: RATE // 2]
        samples[first : first + note.size] += np.exp(-5 * note) * sum(
            np.sin(2 * np.pi * hertz * n * note) / n for n in (1, 2, 3, 4)
        )
    return _level(samples, -20)


def drums() -> np.ndarray:
    t = _time()
    beat = t % 0.5
    kick = np.sin(2 * np.pi * 60 * beat * (1 + 2 * np.exp(-30 * beat))) * np.exp(-12 * beat)
    snare = np.random.default_rng(18).standard_normal(t.size) * np.exp(-25 * ((t + 0.5) % 1.0))
    return _level(kick + 0.5 * snare, -20)


#: All sounds by name.
NO_SPEECH: dict[str, Callable[[], np.ndarray]] = {
    made.__name__: made
    for made in (
        silence, dither, hiss, loud_hiss, room, ventilation, hum, wind, ringing, busy, dialling, applause, rain, typing,
        breathing, chords, plucked, drums,
    )
}  # fmt: skip

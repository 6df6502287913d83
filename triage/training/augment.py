"""Variations of training sound, so that a head learns the event and not how it was recorded.

Loudness gives RAVDESS's emotions away and bandwidth gives sources away; so gain and bandwidth
are varied, and noise, clipping and a silent lead are put in.
"""

from __future__ import annotations

import numpy as np

from triage.records import SAMPLE_RATE, Floats

LOW_PASS_SHARE, LOW_PASS_HZ = 0.4, (2500.0, 7000.0)
NOISE_SHARE, NOISE_SNR_DB = 0.5, (0.0, 30.0)
PEAK_DB = (-36.0, 0.0)  # below full scale
CLIP_SHARE, CLIP_GAIN = 0.2, (1.0, 6.0)
LEAD_SHARE, LEAD_SECONDS = 0.5, (0.0, 4.0)


def vary(samples: Floats, rng: np.random.Generator) -> tuple[Floats, int]:
    """One random variation.

    Args:
        samples: Shape (n,), 16 kHz.
        rng: Where all chance comes from.

    Returns:
        The varied sound, and how many samples of silence were put before it.
    """
    from scipy.signal import butter, sosfilt

    out = samples.astype(np.float64)
    if rng.random() < LOW_PASS_SHARE:
        cut = butter(6, rng.uniform(*LOW_PASS_HZ), fs=SAMPLE_RATE, output="sos")
        out = sosfilt(cut, out)
    if rng.random() < NOISE_SHARE:
        noise = rng.standard_normal(len(out))
        if rng.random() < 0.5:  # brown rather than white: rooms and engines
            noise = sosfilt(butter(1, 150, fs=SAMPLE_RATE, output="sos"), noise)
        level = np.std(out) * 10 ** (-rng.uniform(*NOISE_SNR_DB) / 20)
        out = out + noise * level / max(float(np.std(noise)), 1e-9)
    out = out / max(float(np.abs(out).max()), 1e-6) * 10 ** (rng.uniform(*PEAK_DB) / 20)
    if rng.random() < CLIP_SHARE:
        out = np.clip(out * rng.uniform(*CLIP_GAIN), -1, 1)
    lead = int(rng.uniform(*LEAD_SECONDS) * SAMPLE_RATE) if rng.random() < LEAD_SHARE else 0
    return np.concatenate((np.zeros(lead), out)).astype(np.float32), lead

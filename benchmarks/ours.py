"""Triage as a worker: each stage alone, and the whole guarded way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.protocol import Job, work
from triage.acoustic import pool
from triage.audio import decode
from triage.encoder import SpeechEncoder
from triage.process import Processor
from triage.records import SAMPLE_RATE, Outcome, Recording, Waveform
from triage.segment import Chunk, chunks, signal_flags, speech_spans, windows
from triage.settings import Settings
from triage.transcribe import Transcriber
from triage.weights import WHISPER_TINY_EN, resolve

WAY = "bench"


class Tasks:
    """What can be timed.

    Args:
        processor: The guarded way.
        speech: The encoder.
        threads: How many texts are scored side by side.
    """

    def __init__(self, processor: Processor, speech: SpeechEncoder, threads: int) -> None:
        self._processor = processor
        self._speech = speech
        self._transcriber = Transcriber(speech)
        self._threads = threads
"""

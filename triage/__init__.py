"""Triage: the software that listens first."""

import os

__version__ = "0.1.0"

# No telemetry leaves, whichever way Triage is used. Both are read when the library is first loaded:
# ONNX Runtime 1.32 reports its use over the network unless told not to, BentoML likewise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

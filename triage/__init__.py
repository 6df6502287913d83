"""Triage: the software that listens first."""

__version__ = "0.1.0"

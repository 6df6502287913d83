"""`triage serve`."""

from __future__ import annotations


def run(host: str, port: int) -> int:
    """Serves until stopped; gives the service's exit code."""
    from triage.http.run import serve

    return serve(host, port)

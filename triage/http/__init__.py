"""Triage over HTTP: what is asked, what is answered, and what is told when it can't be."""

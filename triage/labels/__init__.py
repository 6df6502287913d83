"""Labelled rows: read, checked, joined, kept, and what they are worth."""

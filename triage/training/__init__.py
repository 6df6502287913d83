"""From labelled rows to a model on disk."""

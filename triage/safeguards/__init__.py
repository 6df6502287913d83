"""What stands around the scoring: pseudonyms for callers' ids, a log that can't quietly change."""

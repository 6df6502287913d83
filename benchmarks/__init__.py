"""How fast Triage is, beside the pipeline that one would write in an afternoon: `make bench`."""

"""The command line. Only `app` and `exits` are imported before a command is chosen."""

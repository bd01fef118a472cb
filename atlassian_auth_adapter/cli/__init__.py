"""A terminal: a file per command."""

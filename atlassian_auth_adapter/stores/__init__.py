"""Stores keep texts under names, and own the lock of a name."""

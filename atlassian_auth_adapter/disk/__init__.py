"""Private files and kernel locks, for stores and profiles."""

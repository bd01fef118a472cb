"""Text from servers, before it is printed to a terminal or a log."""

from __future__ import annotations

__all__ = ["printable"]


def printable(value: object, limit: int | None = None) -> str:
    """A text on one line, without what could move the cursor, hide or reorder text; else "".

    Control characters, line separators, marks of direction and the like become spaces. `limit` is
    how many characters of it are used at most.
    """
    if not isinstance(value, str):
        return ""
    kept = "".join(char if char.isprintable() else " " for char in value[:limit])
    return " ".join(kept.split())
